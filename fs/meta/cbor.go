package meta

import "encoding/binary"

// cborMap writes what crypt.EncodeCBOR makes of a struct whose fields have small numbers for keys and are left out if they
// are zero. Inodes and directory entries are encoded with every change, and this needs no memory and a tenth of the time.
// Fields are added in the order of their keys, which are at most 23, as is their number.
type cborMap struct {
	dst   []byte
	start int
}

// Major types, as the upper three bits of a head.
const (
	cborUint  = 0 << 5
	cborNeg   = 1 << 5
	cborBytes = 2 << 5
	cborFull  = 5 << 5 // a map
)

// newCBORMap begins a map behind dst.
func newCBORMap(dst []byte) cborMap {
	return cborMap{dst: append(dst, cborFull), start: len(dst)}
}

// field begins a field: the map's head has the count of its fields in its lower bits.
func (m *cborMap) field(key byte) {
	m.dst[m.start]++
	m.dst = append(m.dst, cborUint|key)
}

func (m *cborMap) uint(key byte, v uint64) {
	if v != 0 {
		m.field(key)
		m.head(cborUint, v)
	}
}

func (m *cborMap) int(key byte, v int64) {
	switch {
	case v > 0:
		m.uint(key, uint64(v))
	case v < 0:
		m.field(key)
		m.head(cborNeg, uint64(-1-v))
	}
}

func (m *cborMap) bytes(key byte, v string) {
	if v != "" {
		m.field(key)
		m.head(cborBytes, uint64(len(v)))
		m.dst = append(m.dst, v...)
	}
}

// head writes a type and its number in the shortest form.
func (m *cborMap) head(major byte, n uint64) {
	switch {
	case n < 24:
		m.dst = append(m.dst, major|byte(n))
	case n < 1<<8:
		m.dst = append(m.dst, major|24, byte(n))
	case n < 1<<16:
		m.dst = binary.BigEndian.AppendUint16(append(m.dst, major|25), uint16(n))
	case n < 1<<32:
		m.dst = binary.BigEndian.AppendUint32(append(m.dst, major|26), uint32(n))
	default:
		m.dst = binary.BigEndian.AppendUint64(append(m.dst, major|27), n)
	}
}

func (m *cborMap) end() []byte { return m.dst }
