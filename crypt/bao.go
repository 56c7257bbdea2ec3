package crypt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"slices"

	"lukechampine.com/blake3/guts"
)

// GroupSize is the unit of proofs over a shard, in bytes: a range that is proved consists of whole groups. It is what the
// widest vectors hash at once, 16 chunks of BLAKE3.
const GroupSize = 16 << 10

// MaxProved is the longest data that can be proved, in bytes; shards are far shorter.
const MaxProved = 1 << 40

// nodeSize is the length of an inner node of the tree: the chaining values of its two children.
const nodeSize = 64

// Outboard gives the root of data, which is Sum(data), and the tree of hashes that proofs are cut from: 8 bytes, and 64
// for each group but one (0.4 %).
func Outboard(data []byte) (ID, []byte) {
	return AppendOutboard(make([]byte, 0, OutboardSize(int64(len(data)))), data)
}

// AppendOutboard is Outboard that appends to dst, which may be what lies before data in memory or behind it.
func AppendOutboard(dst, data []byte) (ID, []byte) {
	at, n := len(dst), int(OutboardSize(int64(len(data))))
	dst = slices.Grow(dst, n)[:at+n]
	binary.LittleEndian.PutUint64(dst[at:], uint64(len(data)))
	return ID(wordsToBytes(growTree(dst[at+8:], data, 0, guts.FlagRoot))), dst
}

// growTree writes the nodes over data, which begins at pos, to tree in the order of Bao: parents before children.
func growTree(tree, data []byte, pos int, flags uint32) [8]uint32 {
	if len(data) <= GroupSize {
		return hashGroup(data, pos, flags)
	}
	mid := split(int64(len(data)))
	left := growTree(tree[nodeSize:], data[:mid], pos, 0)
	right := growTree(tree[nodeSize*groups(mid):], data[mid:], pos+int(mid), 0)
	l, r := wordsToBytes(left), wordsToBytes(right)
	copy(tree, l[:])
	copy(tree[nodeSize/2:], r[:])
	return guts.ChainingValue(guts.ParentNode(left, right, &guts.IV, flags))
}

// hashGroup is the chaining value of one group. A whole one is hashed where it lies.
func hashGroup(p []byte, pos int, flags uint32) [8]uint32 {
	var n guts.Node
	if len(p) == GroupSize {
		n = guts.CompressBuffer((*[GroupSize]byte)(p), GroupSize, &guts.IV, uint64(pos)/guts.ChunkSize, 0)
	} else {
		n = hashShort(p, pos)
	}
	n.Flags |= flags
	return guts.ChainingValue(n)
}

// hashShort hashes the last group, which is not whole.
func hashShort(p []byte, pos int) guts.Node {
	var buf [GroupSize]byte
	return guts.CompressBuffer(&buf, copy(buf[:], p), &guts.IV, uint64(pos)/guts.ChunkSize, 0)
}

// split is the length of the left part of n bytes, more than one group.
func split(n int64) int64 { return 1 << (bits.Len64(uint64(n-1)) - 1) }

func bytesToWords(b []byte) (w [8]uint32) {
	for i := range w {
		w[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return w
}

func wordsToBytes(w [8]uint32) (b [32]byte) {
	for i := range w {
		binary.LittleEndian.PutUint32(b[4*i:], w[i])
	}
	return b
}

// OutboardSize is the length of the outboard of size bytes.
func OutboardSize(size int64) int64 { return 8 + nodeSize*(max(groups(size), 1)-1) }

func groups(size int64) int64 { return (size + GroupSize - 1) / GroupSize }

// ExtractSlice gives the bytes [off, off+n) of data, whose whole length is size, together with their proof. off must be
// a multiple of GroupSize, off+n too or be size, and n at least 1. Only that range of data is read, at once. The slice is
// checked on the way: if data or outboard are not those of root, it is ErrProof.
func ExtractSlice(data io.ReaderAt, outboard []byte, root ID, size, off, n int64) ([]byte, error) {
	return AppendSlice(nil, data, outboard, root, size, off, n)
}

// AppendSlice is ExtractSlice that appends to dst; on an error dst is not returned.
func AppendSlice(dst []byte, data io.ReaderAt, outboard []byte, root ID, size, off, n int64) ([]byte, error) {
	return appendSlice(dst, data, outboard, root, size, off, n, false)
}

// AppendUnchecked is AppendSlice that compares nothing with the root: whoever gets the slice will.
func AppendUnchecked(dst []byte, data io.ReaderAt, outboard []byte, size, off, n int64) ([]byte, error) {
	return appendSlice(dst, data, outboard, ID{}, size, off, n, true)
}

func appendSlice(dst []byte, data io.ReaderAt, outboard []byte, root ID, size, off, n int64, trusting bool) ([]byte, error) {
	if err := checkRange(size, off, n); err != nil {
		return nil, err
	}
	if int64(len(outboard)) != OutboardSize(size) || binary.LittleEndian.Uint64(outboard) != uint64(size) {
		return nil, fmt.Errorf("%w: the outboard is not one of %d bytes", ErrMalformed, size)
	}
	// The data is read to the end of the slice, from where each group moves forward to its place.
	base, want := len(dst), int(SliceSize(size, off, n))
	dst = slices.Grow(dst, want)[:base+want]
	slice := dst[base:]
	rest := slice[len(slice)-int(n):]
	if m, err := data.ReadAt(rest, off); m < len(rest) {
		return nil, fmt.Errorf("read bytes %d to %d of %d: %w", off, off+n, size, err)
	}
	e := extraction{part: part{off, off + n}, trusting: trusting, data: rest, out: slice[:copy(slice, outboard[:8])]}
	if !e.walk(outboard[8:], bytesToWords(root[:]), 0, size, guts.FlagRoot) {
		return nil, e.wrong(root)
	}
	return dst, nil // e.out has filled it
}

// part is the range [from, to) of what a tree stands over.
type part struct{ from, to int64 }

// touches says whether any of the n bytes at pos is in the part.
func (p part) touches(pos, n int64) bool { return pos < p.to && p.from < pos+n }

func (p part) wrong(root ID) error {
	return fmt.Errorf("%w: bytes %d to %d of %s", ErrProof, p.from, p.to, root)
}

// extraction makes a slice of an outboard and of the data of a part.
type extraction struct {
	part
	trusting bool   // nothing is checked
	data     []byte // what has not been taken
	out      []byte
}

// walk appends what belongs to n bytes at pos, whose nodes tree begins with and whose chaining value is cv.
func (e *extraction) walk(tree []byte, cv [8]uint32, pos, n int64, flags uint32) bool {
	if !e.touches(pos, n) {
		return true
	}
	if n <= GroupSize {
		at := len(e.out)
		e.out = append(e.out, e.data[:n]...)
		e.data = e.data[n:]
		return e.trusting || hashGroup(e.out[at:], int(pos), flags) == cv
	}
	left, right, ok := [8]uint32{}, [8]uint32{}, true
	if !e.trusting {
		left, right, ok = children(tree, cv, flags)
	}
	e.out = append(e.out, tree[:nodeSize]...)
	mid := split(n)
	return ok && e.walk(tree[nodeSize:], left, pos, mid, 0) && e.walk(tree[nodeSize*groups(mid):], right, pos+mid, n-mid, 0)
}

// children reads an inner node, and says whether it has that chaining value.
func children(node []byte, cv [8]uint32, flags uint32) (left, right [8]uint32, ok bool) {
	left, right = bytesToWords(node), bytesToWords(node[nodeSize/2:])
	return left, right, guts.ChainingValue(guts.ParentNode(left, right, &guts.IV, flags)) == cv
}

// VerifySlice checks a slice from elsewhere against the root and gives the bytes [off, off+n) that it proves. The range
// obeys the rules of ExtractSlice. A slice of another range, length or content is ErrProof.
func VerifySlice(slice []byte, root ID, size, off, n int64) ([]byte, error) {
	if err := checkRange(size, off, n); err != nil {
		return nil, err
	}
	return AppendVerified(make([]byte, 0, min(n, int64(len(slice)))), slice, root, size, off, n)
}

// AppendVerified is VerifySlice that appends to dst; on an error dst is not returned, and what lies behind it is not to
// be used.
func AppendVerified(dst, slice []byte, root ID, size, off, n int64) ([]byte, error) {
	if err := checkRange(size, off, n); err != nil {
		return nil, err
	}
	if want := SliceSize(size, off, n); int64(len(slice)) != want {
		return nil, fmt.Errorf("%w: the slice has %d bytes, %d expected", ErrProof, len(slice), want)
	}
	return ReadVerified(dst, bytes.NewReader(slice), root, size, off, n)
}

// ReadVerified is AppendVerified of a slice that comes from r: each group lands where it stays and is checked while it is
// near. Of r exactly the slice is read, SliceSize bytes, unless there is an error: r's, or ErrProof.
func ReadVerified(dst []byte, r io.Reader, root ID, size, off, n int64) ([]byte, error) {
	if err := checkRange(size, off, n); err != nil {
		return nil, err
	}
	p := proof{part: part{off, off + n}, in: r, out: slices.Grow(dst, int(n))}
	length := p.next(p.node[:8])
	if p.err == nil && binary.LittleEndian.Uint64(length) != uint64(size) {
		return nil, fmt.Errorf("%w: the slice is of data of another length", ErrProof)
	}
	ok := p.walk(bytesToWords(root[:]), 0, size, guts.FlagRoot)
	if p.err != nil {
		return nil, fmt.Errorf("read a slice: %w", p.err)
	}
	if !ok {
		return nil, p.wrong(root)
	}
	return p.out, nil
}

// proof checks a slice of a part.
type proof struct {
	part
	in   io.Reader
	out  []byte
	err  error // of in
	node [nodeSize]byte
}

// walk appends those of the n bytes at pos that are in the part, if cv is their chaining value.
func (p *proof) walk(cv [8]uint32, pos, n int64, flags uint32) bool {
	if !p.touches(pos, n) {
		return true
	}
	if n <= GroupSize {
		at := len(p.out)
		p.out = p.out[:at+int(n)]
		group := p.next(p.out[at:])
		return p.err == nil && hashGroup(group, int(pos), flags) == cv
	}
	node := p.next(p.node[:])
	if p.err != nil {
		return false
	}
	left, right, ok := children(node, cv, flags)
	mid := split(n)
	return ok && p.walk(left, pos, mid, 0) && p.walk(right, pos+mid, n-mid, 0)
}

// next fills b with what comes next.
func (p *proof) next(b []byte) []byte {
	if p.err == nil {
		_, p.err = io.ReadFull(p.in, b)
	}
	return b
}

func checkRange(size, off, n int64) error {
	switch {
	case size < 0 || size > MaxProved || off < 0 || n < 1 || off > size || n > size-off:
		return fmt.Errorf("%w: range of %d bytes at %d, of %d", ErrMalformed, n, off, size)
	case off%GroupSize != 0, (off+n)%GroupSize != 0 && off+n != size:
		return fmt.Errorf("%w: range of %d bytes at %d is not of whole groups", ErrMalformed, n, off)
	}
	return nil
}

// SliceSize is the exact length of the slice of a range that obeys the rules of ExtractSlice: 8 bytes, the range, and 64
// bytes for each node of the tree above it.
func SliceSize(size, off, n int64) int64 { return 8 + n + nodeSize*nodesAbove(0, size, off, off+n) }

// nodesAbove counts the inner nodes of the tree over length bytes at pos that lie above some byte of [from, to).
func nodesAbove(pos, length, from, to int64) int64 {
	if length <= GroupSize || pos >= to || from >= pos+length {
		return 0
	}
	if from <= pos && pos+length <= to {
		return groups(length) - 1
	}
	mid := split(length)
	return 1 + nodesAbove(pos, mid, from, to) + nodesAbove(pos+mid, length-mid, from, to)
}
