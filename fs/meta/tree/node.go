package tree

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync/atomic"
)

const (
	nodeVersion = 1
	headSize    = 8       // version, level, count (2), length (4)
	maxNode     = 1 << 16 // offsets are 16 bits
	countSize   = 8       // of an inner entry: how many keys are below
)

// node is a checked node in memory. Its bytes are immutable; see FORMAT.md for their meaning.
type node struct {
	at    Pointer
	b     []byte
	level int // 0: leaf
	n     int
	kids  []atomic.Pointer[Pointer] // inner: children's pointers, once resolved
}

// parse checks everything about b that a reader relies on.
func parse(at Pointer, b []byte) (*node, error) {
	if len(b) < headSize || len(b) > maxNode {
		return nil, fmt.Errorf("%w: %d bytes", ErrNode, len(b))
	}
	n := &node{at: at, b: b, level: int(b[1]), n: int(binary.LittleEndian.Uint16(b[2:]))}
	switch {
	case b[0] != nodeVersion:
		return nil, fmt.Errorf("%w: version %d", ErrNode, b[0])
	case n.level >= MaxHeight:
		return nil, fmt.Errorf("%w: level %d", ErrNode, n.level)
	case int(binary.LittleEndian.Uint32(b[4:])) != len(b):
		return nil, fmt.Errorf("%w: its length is not the one it says", ErrNode)
	case n.n == 0 || n.level > 0 && n.n < 2:
		return nil, fmt.Errorf("%w: %d entries at level %d", ErrNode, n.n, n.level)
	case headSize+2*n.n > len(b) || n.start(0) != headSize+2*n.n:
		return nil, fmt.Errorf("%w: its table of offsets does not fit", ErrNode)
	}
	if err := n.check(); err != nil {
		return nil, err
	}
	if n.level > 0 {
		n.kids = make([]atomic.Pointer[Pointer], n.n)
	}
	return n, nil
}

// check looks at every entry: bounds, lengths, order of keys.
func (n *node) check() error {
	for i := range n.n {
		from, to := n.start(i), n.end(i)
		if from+2 > to || to > len(n.b) {
			return fmt.Errorf("%w: entry %d lies at %d to %d", ErrNode, i, from, to)
		}
		klen := int(binary.LittleEndian.Uint16(n.b[from:]))
		rest := to - from - 2 - klen
		if klen > MaxKey || rest < 0 {
			return fmt.Errorf("%w: entry %d has a key of %d bytes", ErrNode, i, klen)
		}
		if err := n.checkRest(i, klen, rest); err != nil {
			return err
		}
		if i > 0 && bytes.Compare(n.key(i-1), n.key(i)) >= 0 {
			return fmt.Errorf("%w: entry %d is out of order", ErrNode, i)
		}
	}
	return nil
}

// checkRest looks at what follows the key of entry i.
func (n *node) checkRest(i, klen, rest int) error {
	if n.level == 0 {
		if klen == 0 || rest > MaxValue {
			return fmt.Errorf("%w: entry %d has %d bytes of key and %d of value", ErrNode, i, klen, rest)
		}
		return nil
	}
	if rest <= countSize || rest > countSize+MaxLink {
		return fmt.Errorf("%w: entry %d has %d bytes of link", ErrNode, i, rest-countSize)
	}
	if n.count(i) == 0 || n.count(i) > 1<<48 {
		return fmt.Errorf("%w: entry %d says that %d keys are below it", ErrNode, i, n.count(i))
	}
	return nil
}

// start and end bound entry i in b; only check may find them senseless.
func (n *node) start(i int) int { return int(binary.LittleEndian.Uint16(n.b[headSize+2*i:])) }

func (n *node) end(i int) int {
	if i+1 < n.n {
		return n.start(i + 1)
	}
	return len(n.b)
}

func (n *node) key(i int) []byte {
	at := n.start(i)
	klen := int(binary.LittleEndian.Uint16(n.b[at:]))
	return n.b[at+2 : at+2+klen : at+2+klen]
}

// rest is what follows the key of entry i: a leaf's value, or count and link.
func (n *node) rest(i int) []byte {
	at, end := n.start(i), n.end(i)
	return n.b[at+2+int(binary.LittleEndian.Uint16(n.b[at:])) : end : end]
}

func (n *node) value(i int) []byte { return n.rest(i) }
func (n *node) count(i int) uint64 { return binary.LittleEndian.Uint64(n.rest(i)) }
func (n *node) link(i int) []byte  { return n.rest(i)[countSize:] }

// search returns the first entry whose key is not less than key, and whether it is key.
func (n *node) search(key []byte) (i int, found bool) {
	lo, hi := 0, n.n
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch c := bytes.Compare(n.key(mid), key); {
		case c == 0:
			return mid, true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return lo, false
}

// route returns the child that key belongs to: the last whose least key is not above it, else the first.
func (n *node) route(key []byte) int {
	i, found := n.search(key)
	if !found && i > 0 {
		i--
	}
	return i
}

// entries is the number of keys in and below n.
func (n *node) entries() (sum uint64) {
	if n.level == 0 {
		return uint64(n.n)
	}
	for i := range n.n {
		sum += n.count(i)
	}
	return sum
}

// encoder builds the bytes of one node.
type encoder struct {
	b []byte
	i int
}

// newEncoder begins a node of n entries that will have about size bytes.
func newEncoder(level, n, size int) *encoder {
	e := &encoder{b: make([]byte, headSize+2*n, max(headSize+2*n, size))}
	e.b[0], e.b[1] = nodeVersion, byte(level)
	binary.LittleEndian.PutUint16(e.b[2:], uint16(n))
	return e
}

func (e *encoder) key(key []byte) {
	binary.LittleEndian.PutUint16(e.b[headSize+2*e.i:], uint16(len(e.b)))
	e.i++
	e.b = binary.LittleEndian.AppendUint16(e.b, uint16(len(key)))
	e.b = append(e.b, key...)
}

func (e *encoder) finish() []byte {
	binary.LittleEndian.PutUint32(e.b[4:], uint32(len(e.b)))
	return e.b
}

// raw adds an entry that is encoded already.
func (e *encoder) raw(entry []byte) {
	binary.LittleEndian.PutUint16(e.b[headSize+2*e.i:], uint16(len(e.b)))
	e.i++
	e.b = append(e.b, entry...)
}

// kid adds an entry of an inner node.
func (e *encoder) kid(sep []byte, count uint64, link []byte) {
	e.key(sep)
	e.b = binary.LittleEndian.AppendUint64(e.b, count)
	e.b = append(e.b, link...)
}
