package crypt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"lukechampine.com/blake3/bao"
)

// GroupSize is the unit of proofs over a shard, in bytes: a range that is proved consists of whole groups.
const GroupSize = 16 << 10

// baoGroup is GroupSize as the Bao library counts: 2^4 BLAKE3 chunks of 1 KiB.
const baoGroup = 4

// MaxProved is the longest data that can be proved, in bytes; shards are far shorter.
const MaxProved = 1 << 40

// Outboard gives the root of data, which is Sum(data), and the tree of hashes that proofs are cut from: 8 bytes, and 64
// for each group but one (0.4 %).
func Outboard(data []byte) (ID, []byte) {
	tree, root := bao.EncodeBuf(data, baoGroup, true)
	return root, tree
}

// OutboardSize is the length of the outboard of size bytes.
func OutboardSize(size int64) int64 { return 8 + 64*(max(groups(size), 1)-1) }

func groups(size int64) int64 { return (size + GroupSize - 1) / GroupSize }

// ExtractSlice gives the bytes [off, off+n) of data, whose whole length is size, together with their proof. off must be
// a multiple of GroupSize, off+n too or be size, and n at least 1. Only that range of data is read.
func ExtractSlice(data io.ReaderAt, outboard []byte, size, off, n int64) ([]byte, error) {
	if err := checkRange(size, off, n); err != nil {
		return nil, err
	}
	if int64(len(outboard)) != OutboardSize(size) || binary.LittleEndian.Uint64(outboard) != uint64(size) {
		return nil, fmt.Errorf("%w: the outboard is not one of %d bytes", ErrMalformed, size)
	}
	out := bytes.NewBuffer(make([]byte, 0, SliceSize(size, off, n)))
	part := io.NewSectionReader(data, off, n)
	err := bao.ExtractSlice(out, part, bytes.NewReader(outboard), baoGroup, uint64(off), uint64(n))
	if err != nil {
		return nil, fmt.Errorf("extract bytes %d to %d of %d: %w", off, off+n, size, err)
	}
	return out.Bytes(), nil
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
	w := appender{dst}
	if err := decodeSlice(&w, slice, root, size, off, n); err != nil {
		return nil, err
	}
	return w.b, nil
}

// CheckSlice is VerifySlice for who does not need the bytes: nothing is allocated for them.
func CheckSlice(slice []byte, root ID, size, off, n int64) error {
	return decodeSlice(io.Discard, slice, root, size, off, n)
}

func decodeSlice(w io.Writer, slice []byte, root ID, size, off, n int64) error {
	if err := checkRange(size, off, n); err != nil {
		return err
	}
	if want := SliceSize(size, off, n); int64(len(slice)) != want {
		return fmt.Errorf("%w: the slice has %d bytes, %d expected", ErrProof, len(slice), want)
	}
	if binary.LittleEndian.Uint64(slice) != uint64(size) {
		return fmt.Errorf("%w: the slice is of data of another length", ErrProof)
	}
	ok, err := bao.DecodeSlice(w, bytes.NewReader(slice), baoGroup, uint64(off), uint64(n), root)
	if err != nil || !ok {
		return fmt.Errorf("%w: bytes %d to %d of %s", ErrProof, off, off+n, root)
	}
	return nil
}

type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
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
func SliceSize(size, off, n int64) int64 { return 8 + n + 64*nodesAbove(0, size, off, off+n) }

// nodesAbove counts the inner nodes of the tree over length bytes at pos that lie above some byte of [from, to).
func nodesAbove(pos, length, from, to int64) int64 {
	if length <= GroupSize || pos >= to || from >= pos+length {
		return 0
	}
	if from <= pos && pos+length <= to {
		return groups(length) - 1
	}
	mid := int64(1) << (bits.Len64(uint64(length-1)) - 1)
	return 1 + nodesAbove(pos, mid, from, to) + nodesAbove(pos+mid, length-mid, from, to)
}
