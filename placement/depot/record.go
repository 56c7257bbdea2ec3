package depot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/hammockfs/hammock/crypt"
)

// MaxShard is the largest shard that is taken, in bytes.
const MaxShard = 16 << 20

const (
	segmentMagic  = "hammock depot 1\n"
	segmentHeader = 32 // magic, salt
	recordMagic   = 0x31524448
	recordHeader  = 64
	holderSize    = 56
	// maxHolders bounds what a record says of holders. The index alone counts; a record's list is for its loss.
	maxHolders = 4096
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errRecord: at this place of a segment no record begins. Behind the last one that is the normal case.
var errRecord = errors.New("no whole record here")

// salt is drawn for each segment and goes into the checksums of its records, so that nobody can put a shard whose bytes
// look like records.
type salt [16]byte

// holder is one owner's hold on a shard: for one of his stripes, since the unix nanosecond Trashed (0: not) in the trash.
type holder struct {
	Owner              crypt.OwnerKey
	Stripe, Generation uint64
	Trashed            int64
}

// head is a record's beginning: everything before the shard's bytes.
type head struct {
	ID      crypt.ID
	Size    uint32 // of the shard
	Holders []holder
}

// headLen is how many bytes the beginning of a record with n holders has.
func headLen(n int) int { return recordHeader + n*holderSize }

// recordLen is the length of a whole record with n holders.
func recordLen(size int64, n int) int64 { return int64(headLen(n)) + size + crypt.OutboardSize(size) }

// appendHead appends the beginning of a record, its checksum still missing.
func appendHead(dst []byte, h *head) []byte {
	var b [recordHeader]byte
	binary.LittleEndian.PutUint32(b[0:], recordMagic)
	binary.LittleEndian.PutUint32(b[4:], h.Size)
	binary.LittleEndian.PutUint32(b[8:], uint32(crypt.OutboardSize(int64(h.Size))))
	binary.LittleEndian.PutUint32(b[12:], uint32(len(h.Holders)))
	copy(b[16:48], h.ID[:])
	dst = append(dst, b[:]...)
	for i := range h.Holders {
		dst = append(dst, h.Holders[i].Owner[:]...)
		dst = binary.LittleEndian.AppendUint64(dst, h.Holders[i].Stripe)
		dst = binary.LittleEndian.AppendUint64(dst, h.Holders[i].Generation)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(h.Holders[i].Trashed))
	}
	return dst
}

// signHead puts the checksum into the n bytes of a record's beginning.
func signHead(b []byte, s *salt) { binary.LittleEndian.PutUint32(b[60:], headSum(b, s)) }

// headSum is the checksum of a record's beginning: CRC-32C of salt, first 60 bytes and holders.
func headSum(b []byte, s *salt) uint32 {
	sum := crc32.Update(0, castagnoli, s[:])
	sum = crc32.Update(sum, castagnoli, b[:60])
	return crc32.Update(sum, castagnoli, b[recordHeader:])
}

// parseSizes reads the fixed part of a record's beginning: how long the whole beginning is, and the shard.
func parseSizes(b []byte) (headBytes int, size uint32, err error) {
	if len(b) < recordHeader || binary.LittleEndian.Uint32(b) != recordMagic {
		return 0, 0, errRecord
	}
	size, holders := binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[12:])
	if size == 0 || size > MaxShard || holders == 0 || holders > maxHolders {
		return 0, 0, fmt.Errorf("%w: %d bytes, %d holders", errRecord, size, holders)
	}
	if int64(binary.LittleEndian.Uint32(b[8:])) != crypt.OutboardSize(int64(size)) {
		return 0, 0, fmt.Errorf("%w: outboard of another length", errRecord)
	}
	return headLen(int(holders)), size, nil
}

// parseHead reads a whole beginning: exactly the bytes that parseSizes says.
func parseHead(b []byte, s *salt) (h head, err error) {
	n, size, err := parseSizes(b)
	if err != nil {
		return head{}, err
	}
	if len(b) != n || binary.LittleEndian.Uint32(b[60:]) != headSum(b, s) {
		return head{}, fmt.Errorf("%w: checksum", errRecord)
	}
	h = head{ID: crypt.ID(b[16:48]), Size: size, Holders: make([]holder, 0, (n-recordHeader)/holderSize)}
	for b = b[recordHeader:]; len(b) > 0; b = b[holderSize:] {
		h.Holders = append(h.Holders, holder{
			Owner:      crypt.OwnerKey(b[:32]),
			Stripe:     binary.LittleEndian.Uint64(b[32:]),
			Generation: binary.LittleEndian.Uint64(b[40:]),
			Trashed:    int64(binary.LittleEndian.Uint64(b[48:])),
		})
	}
	return h, nil
}

// parseSegment reads the header of a segment file.
func parseSegment(b []byte) (s salt, err error) {
	if len(b) != segmentHeader || string(b[:16]) != segmentMagic {
		return salt{}, errors.New("not a segment of a depot")
	}
	return salt(b[16:]), nil
}
