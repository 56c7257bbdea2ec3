package storm

import (
	"bytes"
	"slices"
)

// blockSize is the unit in which versions of a file share bytes.
const blockSize = 16 << 10

// content is one version of a file's bytes. It never changes: what changes it
// makes another one, which shares the blocks that stay.
type content struct {
	size   int64
	blocks [][]byte // each of blockSize, zero behind the size; nil is zeros
}

func contentOf(b []byte) *content { return new(content).write(0, b) }

// block is a block as it is read.
func (c *content) block(i int) []byte {
	if i < len(c.blocks) && c.blocks[i] != nil {
		return c.blocks[i]
	}
	return zeros
}

var zeros = make([]byte, blockSize)

// at is the byte at an offset; zero behind the end.
func (c *content) at(off int64) byte { return c.block(int(off / blockSize))[off%blockSize] }

// resize is the version after a truncation.
func (c *content) resize(size int64) *content {
	n := int((size + blockSize - 1) / blockSize)
	next := &content{size: size, blocks: slices.Clone(c.blocks)}
	if n > len(next.blocks) {
		next.blocks = append(next.blocks, make([][]byte, n-len(next.blocks))...)
	}
	next.blocks = next.blocks[:n]
	if tail := int(size % blockSize); tail > 0 && size < c.size && next.blocks[n-1] != nil {
		last := make([]byte, blockSize)
		copy(last, next.blocks[n-1][:tail])
		next.blocks[n-1] = last
	}
	return next
}

// write is the version after bytes were written at an offset.
func (c *content) write(off int64, b []byte) *content {
	next := c.resize(max(c.size, off+int64(len(b))))
	for len(b) > 0 {
		i, in := int(off/blockSize), int(off%blockSize)
		n := min(len(b), blockSize-in)
		changed := slices.Clone(c.block(i))
		copy(changed[in:], b[:n])
		next.blocks[i] = changed
		b, off = b[n:], off+int64(n)
	}
	return next
}

// bytes is a range of it, cut at its end.
func (c *content) bytes(off, n int64) []byte {
	n = max(0, min(n, c.size-off))
	b := make([]byte, 0, n)
	for n > 0 {
		in := off % blockSize
		piece := c.block(int(off / blockSize))[in:min(blockSize, in+n)]
		b, off, n = append(b, piece...), off+int64(len(piece)), n-int64(len(piece))
	}
	return b
}

func (c *content) equal(d *content) bool { return c.size == d.size && len(c.differing(d, 1)) == 0 }

// differing lists blocks that are not equal, at most so many.
func (c *content) differing(d *content, most int) (list []int) {
	for i := range max(len(c.blocks), len(d.blocks)) {
		a, b := c.block(i), d.block(i)
		if &a[0] != &b[0] && !bytes.Equal(a, b) {
			if list = append(list, i); len(list) == most {
				break
			}
		}
	}
	return list
}
