package journal

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hammockfs/hammock/crypt"
)

const (
	headerSize    = 72   // magic, number, first LSN, salt, tag
	frameStart    = 4096 // the first frame; the header has its sectors for itself and is never rewritten in use
	tagSize       = 16
	frameOverhead = 4 + tagSize
	suffix        = ".journal"
	unready       = ".new" // behind the name of a segment that is being made
)

var magic = [8]byte{'h', 'm', 'k', 'j', 'r', 'n', 'l', 1}

// headerNonce seals the header; no frame has it, since 2^64-1 frames do not fit in a file.
var headerNonce = bytes.Repeat([]byte{0xff}, 12)

// segment is one file: the zero number means that it is not in use.
type segment struct {
	name    string // within the journal's folder
	file    vfs.File
	size    int64 // of the file
	number  uint64
	first   LSN // of the first frame
	records uint64
	off     int64 // where the next frame goes
	spent   bool  // a write failed here: nothing may follow
	aead    cipher.AEAD
}

// last returns the LSN of the newest record in s, or the one before its first if it is empty.
func (s *segment) last() LSN { return s.first + LSN(s.records) - 1 }

// start makes a pre-written file the segment of this number. It writes the header and syncs nothing: the first sync of
// a record in the file covers the header too.
func (s *segment) start(key *crypt.Key, number uint64, first LSN) error {
	var salt [32]byte
	_, _ = rand.Read(salt[:]) // never fails
	s.number, s.first, s.records, s.off, s.spent = number, first, 0, frameStart, false
	s.aead = crypt.NewSegmentCipher(key, salt)
	block := make([]byte, frameStart) // whole, as appends are
	copy(block, encodeHeader(s.aead, number, first, salt))
	if _, err := s.file.WriteAt(block, 0); err != nil {
		return fmt.Errorf("write header of %s: %w", s.name, err)
	}
	return nil
}

func encodeHeader(aead cipher.AEAD, number uint64, first LSN, salt [32]byte) []byte {
	h := append(make([]byte, 0, headerSize), magic[:]...)
	h = binary.LittleEndian.AppendUint64(h, number)
	h = binary.LittleEndian.AppendUint64(h, uint64(first))
	h = append(h, salt[:]...)
	return aead.Seal(h, headerNonce, nil, h)
}

var errNotSegment = errors.New("is not a segment of this journal, or the key is another one, or its header is damaged")

// readHeader fills in s from the header of its file; used is false for a file that never had one.
func (s *segment) readHeader(key *crypt.Key, h []byte) (used bool, err error) {
	if len(h) != headerSize {
		return false, errNotSegment
	}
	if bytes.Equal(h, make([]byte, headerSize)) {
		return false, nil
	}
	if !bytes.Equal(h[:8], magic[:]) {
		return false, errNotSegment
	}
	aead := crypt.NewSegmentCipher(key, [32]byte(h[24:56]))
	if _, err := aead.Open(nil, headerNonce, h[56:], h[:56]); err != nil {
		return false, errNotSegment
	}
	s.number = binary.LittleEndian.Uint64(h[8:])
	s.first = LSN(binary.LittleEndian.Uint64(h[16:]))
	s.aead, s.off = aead, frameStart
	if s.number == 0 || s.first == 0 {
		return false, errNotSegment
	}
	return true, nil
}

// seal appends the next frame of s to dst: length of what follows, then the sealed record.
func (s *segment) seal(dst []byte, nonce *[12]byte, rec []byte) []byte {
	binary.LittleEndian.PutUint64(nonce[:], s.records)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(rec)+tagSize))
	return s.aead.Seal(dst, nonce[:], rec, nil)
}

// create writes a new file of size zeros, so that later writes into it allocate nothing, and makes its name durable. It
// has the name only once it is synced: what a power cut leaves in a file before that need not be zeros.
func create(fs vfs.FS, dir, name string, size int64) (*segment, error) {
	path := fs.PathJoin(dir, name)
	f, err := fs.Create(path+unready, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("create segment %s: %w", name, err)
	}
	made := path + unready
	if err = fill(f, size); err == nil {
		if err = fs.Rename(made, path); err == nil {
			made, err = path, syncDir(fs, dir)
		}
	}
	if err == nil {
		return &segment{name: name, file: f, size: size}, nil
	}
	err = errors.Join(err, f.Close(), fs.Remove(made))
	return nil, fmt.Errorf("prepare segment %s of %d bytes: %w", name, size, err)
}

func fill(f vfs.File, size int64) error {
	if err := f.Preallocate(0, size); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	zeros := make([]byte, min(size, 1<<20))
	for done := int64(0); done < size; {
		n, err := f.Write(zeros[:min(size-done, int64(len(zeros)))])
		if err != nil {
			return err
		}
		done += int64(n)
		clear(zeros) // a vfs.File may scribble over what it was given to write
	}
	return f.Sync()
}

// makeDir makes dir and its name durable.
func makeDir(fs vfs.FS, dir string) error {
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make folder %s: %w", dir, err)
	}
	return syncDir(fs, fs.PathDir(dir))
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("open folder %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}

func fileName(n uint64) string { return fmt.Sprintf("%08d%s", n, suffix) }

// parseFileName returns the number in a segment's file name.
func parseFileName(name string) (n uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) < 8 {
		return 0, false
	}
	_, err := fmt.Sscanf(digits, "%d", &n)
	return n, err == nil && fileName(n) == name
}
