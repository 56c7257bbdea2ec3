package volume

import (
	"context"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta"
)

const (
	// ahead is how far in front of a sequential reader chunks are fetched, in
	// bytes.
	ahead = 8 << 20
	// sequel is how much a reader has read in a row before he counts as one.
	sequel = 1 << 20
)

// progress is how far somebody has read a file who reads all of it. Of such a
// reader the kernel has several requests on their way, which come here in any
// order.
type progress struct {
	next    uint64 // the end of what was read
	run     uint64 // bytes that were read since the last leap
	fetched uint64 // up to where chunks have been asked for
}

// read notes a read of [off, end) and returns what to fetch ahead of the next
// ones, of a file of that size; nothing if from is not below to.
func (p *progress) read(off, end, size uint64) (from, to uint64) {
	if off > p.next+ahead || off+ahead < p.next {
		*p = progress{next: end, run: end - off}
		return 0, 0
	}
	if end > p.next {
		p.run += min(end-p.next, end-off)
		p.next = end
	}
	if p.run < sequel || p.next+ahead/2 <= p.fetched || p.fetched >= size {
		return 0, 0
	}
	from, to = max(p.fetched, p.next), min(p.next+ahead, size)
	p.fetched = to
	return from, to
}

// readAhead returns the chunks that a sequential reader will want next, once
// for each half of the distance. in.mu is held.
func (v *Volume) readAhead(ctx context.Context, in *inode, off uint64, n int) []crypt.Ref {
	f := &in.file
	f.cached.Lock()
	from, to := f.reader.read(off, off+uint64(n), in.attr.Size)
	f.cached.Unlock()
	var refs []crypt.Ref
	for w := from / meta.Window; w*meta.Window < to; w++ {
		win, err := v.window(ctx, in, w)
		if err != nil {
			return refs
		}
		for i := range win.extents {
			if x := &win.extents[i]; x.Off >= from && x.Off < to {
				refs = append(refs, x.Ref)
			}
		}
	}
	return refs
}
