package placement

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/hammockfs/hammock/crypt"
)

// A Shard is one piece of a stripe: its ID, and the store that it went to.
type Shard struct {
	ID    crypt.ID
	Store uint32 // number of a store; 0: nowhere yet
	Held  bool   // the store said that it has it; before that Store is only an intention
}

// A Record says everything needed to find and to rebuild the bytes of one stripe. It has no secrets in it.
type Record struct {
	Stripe     uint64
	Class      uint8
	Code       Code
	ShardSize  uint32 // bytes, of each shard
	Payload    uint32 // bytes of the stripe before padding
	Live       uint32 // bytes of the payload that something still refers to
	Birth      int64  // Unix nanoseconds
	Generation uint64 // of the newest puts: a late delete of an older one does not hit what repair put back
	Placed     bool   // enough shards are held for the local copy to go
	Shards     []Shard
}

// ErrRecord is wrapped by every failure to parse a record.
var ErrRecord = errors.New("not a valid stripe record")

// recordVersion is the first byte of every record.
const recordVersion = 1

const (
	placedFlag = 0x80 // in the byte of the class
	maxClass   = 0x0f
)

// Append appends the record's bytes to dst. Layout: version, class (| 0x80 if placed), k, m; then unsigned varints (LEB128)
// of stripe, shard size / 1 KiB, payload, live, birth (zigzag), generation; then for each shard the varint of store<<1
// | held and the 32 bytes of its ID. At most 37 bytes for a shard and 50 for the rest.
func (r *Record) Append(dst []byte) []byte {
	class := r.Class
	if r.Placed {
		class |= placedFlag
	}
	dst = append(dst, recordVersion, class, byte(r.Code.K), byte(r.Code.M))
	dst = binary.AppendUvarint(dst, r.Stripe)
	dst = binary.AppendUvarint(dst, uint64(r.ShardSize/shardSizeUnit))
	dst = binary.AppendUvarint(dst, uint64(r.Payload))
	dst = binary.AppendUvarint(dst, uint64(r.Live))
	dst = binary.AppendVarint(dst, r.Birth)
	dst = binary.AppendUvarint(dst, r.Generation)
	for _, s := range r.Shards {
		v := uint64(s.Store) << 1
		if s.Held {
			v |= 1
		}
		dst = binary.AppendUvarint(dst, v)
		dst = append(dst, s.ID[:]...)
	}
	return dst
}

// ParseRecord reads what Append wrote and nothing else: trailing bytes, numbers longer than they need be, and codes or
// sizes beyond the limits are errors (ErrRecord). The result shares no memory with b.
func ParseRecord(b []byte) (Record, error) {
	r, err := parseRecord(b)
	if err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return r, nil
}

func parseRecord(b []byte) (Record, error) {
	if len(b) < 4 {
		return Record{}, errors.New("shorter than its first four bytes")
	}
	if b[0] != recordVersion {
		return Record{}, fmt.Errorf("version %d is not known", b[0])
	}
	r := Record{Class: b[1] &^ placedFlag, Placed: b[1]&placedFlag != 0, Code: Code{int(b[2]), int(b[3])}}
	if r.Class == 0 || r.Class > maxClass {
		return Record{}, fmt.Errorf("class %d is not known", r.Class)
	}
	if !r.Code.valid() {
		return Record{}, fmt.Errorf("code %v is out of bounds", r.Code)
	}
	s := scanner{b: b[4:]}
	r.Stripe = s.uvarint(math.MaxUint64)
	r.ShardSize = uint32(s.uvarint(MaxShardSize/shardSizeUnit)) * shardSizeUnit
	r.Payload = uint32(s.uvarint(MaxPayload))
	r.Live = uint32(s.uvarint(MaxPayload))
	r.Birth = s.varint()
	r.Generation = s.uvarint(math.MaxUint64)
	s.shards(&r)
	if s.err == nil && len(s.b) != 0 {
		s.err = fmt.Errorf("%d bytes too many", len(s.b))
	}
	if s.err != nil {
		return Record{}, s.err
	}
	return r, r.check()
}

// check holds what every other part of the package relies on.
func (r *Record) check() error {
	switch {
	case len(r.Shards) != r.Code.N():
		return fmt.Errorf("%d shards for code %v", len(r.Shards), r.Code)
	case r.ShardSize < minShardSize:
		return errors.New("shards of no size")
	case uint64(r.Payload) > uint64(r.Code.K)*uint64(r.ShardSize):
		return fmt.Errorf("payload of %d bytes in %d shards of %d", r.Payload, r.Code.K, r.ShardSize)
	case r.Live > r.Payload:
		return fmt.Errorf("%d live bytes of %d", r.Live, r.Payload)
	}
	return nil
}

// scanner reads from the front of b; after the first error it reads zeros.
type scanner struct {
	b   []byte
	err error
}

func (s *scanner) uvarint(limit uint64) uint64 {
	if s.err != nil {
		return 0
	}
	v, n := binary.Uvarint(s.b)
	switch {
	case n <= 0:
		s.err = errors.New("ends or overflows within a number")
	case n > 1 && s.b[n-1] == 0:
		s.err = errors.New("a number is longer than it need be")
	case v > limit:
		s.err = fmt.Errorf("%d is above the limit of %d", v, limit)
	default:
		s.b = s.b[n:]
		return v
	}
	return 0
}

func (s *scanner) varint() int64 {
	u := s.uvarint(math.MaxUint64)
	return int64(u>>1) ^ -int64(u&1)
}

func (s *scanner) shards(r *Record) {
	if s.err != nil {
		return
	}
	if n := r.Code.N(); len(s.b) < n*(1+len(crypt.ID{})) {
		s.err = fmt.Errorf("too short for %d shards", n)
		return
	}
	r.Shards = make([]Shard, r.Code.N())
	for i := range r.Shards {
		v := s.uvarint(math.MaxUint32<<1 | 1)
		sh := &r.Shards[i]
		sh.Store, sh.Held = uint32(v>>1), v&1 != 0
		if s.err == nil && len(s.b) < len(sh.ID) {
			s.err = errors.New("ends within a shard's ID")
		}
		if s.err == nil && sh.Held && sh.Store == 0 {
			s.err = errors.New("a shard is held by no store")
		}
		if s.err != nil {
			return
		}
		s.b = s.b[copy(sh.ID[:], s.b):]
	}
}

// held is how many shards a store has said to have.
func (r *Record) held() int {
	n := 0
	for _, s := range r.Shards {
		if s.Held {
			n++
		}
	}
	return n
}
