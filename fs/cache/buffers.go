package cache

import (
	"math/bits"
	"sync"
)

// buffers hands out byte slices by powers of two from 4 KiB to 8 MiB, so that
// sealing and reading allocate nothing once warm. The garbage collector takes
// what is idle. Safe for concurrent use.
type buffers struct {
	pools [maxShift - minShift + 1]sync.Pool
}

const (
	minShift = 12
	maxShift = 23
)

// get returns a buffer of length n with any content.
func (b *buffers) get(n int) *[]byte {
	shift := max(minShift, bits.Len(uint(max(n, 1)-1)))
	if shift > maxShift {
		buf := make([]byte, n)
		return &buf
	}
	if p, ok := b.pools[shift-minShift].Get().(*[]byte); ok {
		*p = (*p)[:n]
		return p
	}
	buf := make([]byte, n, 1<<shift)
	return &buf
}

// put takes a buffer back; the caller must not touch it afterwards. One that
// has been replaced by another of an odd size is dropped.
func (b *buffers) put(p *[]byte) {
	shift := bits.Len(uint(cap(*p))) - 1
	if cap(*p) == 1<<max(shift, 0) && shift >= minShift && shift <= maxShift {
		b.pools[shift-minShift].Put(p)
	}
}
