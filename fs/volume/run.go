package volume

import (
	"slices"
	"sort"
	"sync"
)

// run is written bytes that stand together: [off, off+len(buf)) of a file.
type run struct {
	off uint64
	buf []byte
}

func (r *run) end() uint64 { return r.off + uint64(len(r.buf)) }

// runs are the dirty bytes of one file: ordered, never overlapping.
type runs struct {
	list  []*run
	bytes int64 // sum of their lengths
}

// write lays p over the runs at off. It returns by how many bytes they grew,
// and the run that now holds p.
func (d *runs) write(p []byte, off uint64) (grown int64, at *run) {
	before := d.bytes
	end := off + uint64(len(p))
	i := d.touching(off)
	if i < len(d.list) && d.list[i].off <= off {
		at = d.list[i]
	} else {
		at = &run{off: off, buf: newBuf(len(p))[:0]}
		d.list = append(d.list, nil)
		copy(d.list[i+1:], d.list[i:])
		d.list[i] = at
	}
	old := len(at.buf)
	if end > at.end() {
		at.buf = growBuf(at.buf, int(end-at.off))
	}
	d.bytes += int64(len(at.buf) - old)
	copy(at.buf[off-at.off:], p)
	d.absorb(i, at)
	return d.bytes - before, at
}

// reach is how long the run would be at least that a write of n bytes at off
// goes to.
func (d *runs) reach(off uint64, n int) int {
	if i := d.touching(off); i < len(d.list) && d.list[i].off <= off {
		return int(max(off+uint64(n), d.list[i].end()) - d.list[i].off)
	}
	return n
}

// touching is the index of the first run that ends at or behind off.
func (d *runs) touching(off uint64) int {
	n := len(d.list)
	if n > 0 && d.list[n-1].end() < off { // appending: the usual case
		return n
	}
	return sort.Search(n, func(i int) bool { return d.list[i].end() >= off })
}

// absorb takes the runs that the i-th, just written, overlaps into it.
func (d *runs) absorb(i int, at *run) {
	j := i + 1
	for ; j < len(d.list) && d.list[j].off < at.end(); j++ {
		next := d.list[j]
		d.bytes -= int64(len(next.buf))
		if next.end() > at.end() {
			tail := next.buf[at.end()-next.off:]
			n := len(at.buf)
			at.buf = growBuf(at.buf, n+len(tail))
			copy(at.buf[n:], tail)
			d.bytes += int64(len(tail))
		}
		freeBuf(next.buf)
	}
	d.list = append(d.list[:i+1], d.list[j:]...)
}

// under lays p beneath the runs at off: only where nothing newer is written.
func (d *runs) under(p []byte, off uint64) (grown int64) {
	end := off + uint64(len(p))
	var gaps []run
	at := off
	for _, r := range d.list {
		if r.end() <= at || r.off >= end {
			continue
		}
		if r.off > at {
			gaps = append(gaps, run{at, p[at-off : r.off-off]})
		}
		at = min(end, r.end())
	}
	if at < end {
		gaps = append(gaps, run{at, p[at-off:]})
	}
	for _, g := range gaps {
		n, _ := d.write(g.buf, g.off)
		grown += n
	}
	return grown
}

// read copies what the runs hold of [off, off+len(p)) into p and tells fill
// which parts of it they do not hold.
func (d *runs) read(p []byte, off uint64, fill func(p []byte, off uint64)) {
	end := off + uint64(len(p))
	at := off
	for i := d.touching(off); i < len(d.list) && d.list[i].off < end; i++ {
		r := d.list[i]
		if r.end() <= at {
			continue
		}
		if r.off > at {
			fill(p[at-off:r.off-off], at)
			at = r.off
		}
		at += uint64(copy(p[at-off:], r.buf[at-r.off:]))
	}
	if at < end {
		fill(p[at-off:], at)
	}
}

// cut drops what is at or behind size and returns how many bytes that were.
func (d *runs) cut(size uint64) (dropped int64) {
	before := d.bytes
	for n := len(d.list); n > 0 && d.list[n-1].end() > size; n = len(d.list) {
		r := d.list[n-1]
		if r.off < size {
			d.bytes -= int64(r.end() - size)
			r.buf = r.buf[:size-r.off]
			break
		}
		d.remove(n - 1)
	}
	return before - d.bytes
}

// erase zeroes [lo, hi): whole pages within are dropped, what it has of the
// pages at its two edges stays, as zeros. It returns how many bytes were dropped.
func (d *runs) erase(lo, hi uint64) (dropped int64) {
	before := d.bytes
	from, to := pageUp(lo), pageDown(hi)
	if from >= to { // no whole page
		from, to = hi, hi
	}
	var kept []*run
	i := d.touching(lo)
	j := i
	for ; j < len(d.list) && d.list[j].off < hi; j++ {
		r := d.list[j]
		clear(r.part(lo, from))
		clear(r.part(to, hi))
		if r.off >= to || r.end() <= from {
			kept = append(kept, r)
			continue
		}
		d.bytes -= int64(min(r.end(), to) - max(r.off, from))
		kept = append(kept, r.split(from, to)...)
	}
	d.list = slices.Replace(d.list, i, j, kept...)
	return before - d.bytes
}

// split drops [from, to) of a run and returns what is left of it: none, one or
// two runs, each with a buffer of its own.
func (r *run) split(from, to uint64) (left []*run) {
	if r.end() > to {
		tail := &run{off: to, buf: newBuf(int(r.end() - to))}
		copy(tail.buf, r.buf[to-r.off:])
		left = append(left, tail)
	}
	if r.off >= from {
		freeBuf(r.buf)
		return left
	}
	r.buf = r.buf[:from-r.off]
	return append([]*run{r}, left...)
}

// part is the run's bytes in [lo, hi).
func (r *run) part(lo, hi uint64) []byte {
	lo, hi = max(lo, r.off), min(hi, r.end())
	if lo >= hi {
		return nil
	}
	return r.buf[lo-r.off : hi-r.off]
}

// remove drops the i-th run, whose buffer is free afterwards.
func (d *runs) remove(i int) {
	d.bytes -= int64(len(d.list[i].buf))
	freeBuf(d.list[i].buf)
	d.list = append(d.list[:i], d.list[i+1:]...)
}

// take drops a run whose bytes are no longer counted and whose buffer is in use
// elsewhere.
func (d *runs) take(r *run) {
	i := slices.Index(d.list, r)
	d.list = slices.Delete(d.list, i, i+1)
}

// clear drops everything and returns how many bytes that were.
func (d *runs) clear() int64 {
	n := d.bytes
	for _, r := range d.list {
		freeBuf(r.buf)
	}
	*d = runs{}
	return n
}

// Buffers of runs come in a few sizes, each with a pool of its own: a small
// file takes little, and a long run grows in few steps to the last size, where
// it is sealed before it is full.
const (
	smallBuf = 4 << 10
	bigBuf   = sealAt + 2<<20
)

var bufSizes = [...]int{smallBuf, 32 << 10, 256 << 10, 1 << 20, bigBuf}

var bufPools [len(bufSizes)]sync.Pool

func newBuf(n int) []byte {
	for i, size := range bufSizes {
		if n <= size {
			if b, ok := bufPools[i].Get().(*[]byte); ok {
				return (*b)[:n]
			}
			return make([]byte, n, size)
		}
	}
	return make([]byte, n)
}

// growBuf makes a buffer n bytes long, keeping what it holds.
func growBuf(b []byte, n int) []byte {
	if n <= cap(b) {
		return b[:n]
	}
	grown := newBuf(n)
	copy(grown, b)
	freeBuf(b)
	return grown
}

func freeBuf(b []byte) {
	for i, size := range bufSizes {
		if cap(b) == size {
			b = b[:0]
			bufPools[i].Put(&b)
			return
		}
	}
}
