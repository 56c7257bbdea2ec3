package volume

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta"
)

const (
	// sealAt is how long a run grows, in bytes, before its chunks are sealed
	// while the program goes on writing.
	sealAt = 4 << 20
	// smallData is the length below which a run goes into pages, in bytes.
	smallData = 64 << 10
	// classData is the class of stripe that file content goes to.
	classData = 1
	// maxSealing is how many runs of one file are sealed at a time.
	maxSealing = 2
)

// sealing is a run that is being cut into chunks and sealed. Its bytes do not
// change any more; refs and err are set when done is closed.
type sealing struct {
	off  uint64
	buf  []byte
	ends []int // where its chunks end
	refs []crypt.Ref
	err  error
	done chan struct{}
}

// cut finds the chunks of buf: all of it where the run is final, else only
// those whose end does not depend on what follows. Some bytes may remain.
func (v *Volume) cut(buf []byte, final bool) (ends []int) {
	at := 0
	for len(buf)-at > 0 && (final || len(buf)-at >= v.maxChunk) {
		at += v.table.Cut(buf[at:])
		ends = append(ends, at)
	}
	return ends
}

// seal puts the chunks of s into stripes.
func (v *Volume) seal(ctx context.Context, s *sealing) error {
	s.refs = make([]crypt.Ref, len(s.ends))
	g, ctx := errgroup.WithContext(ctx)
	start := 0
	for i, end := range s.ends {
		chunk := s.buf[start:end]
		start = end
		select {
		case v.sealers <- struct{}{}:
		case <-ctx.Done():
			return g.Wait()
		}
		g.Go(func() (err error) {
			defer func() { <-v.sealers }()
			s.refs[i], err = v.cache.Put(ctx, classData, chunk)
			return err
		})
	}
	return g.Wait()
}

// startSealing hands the finished chunks of a long run to the background.
// in.mu is held.
func (v *Volume) startSealing(ctx context.Context, in *inode, r *run) error {
	if len(in.file.sealing) >= maxSealing {
		if err := v.applySealed(ctx, in, len(in.file.sealing)-maxSealing+1); err != nil {
			return err
		}
	}
	ends := v.cut(r.buf, false)
	n := ends[len(ends)-1]
	s := &sealing{off: r.off, buf: r.buf[:n], ends: ends, done: make(chan struct{})}
	rest := r.buf[n:]
	r.off += uint64(n)
	r.buf = newBuf(sealAt)[:len(rest)]
	copy(r.buf, rest)
	in.file.dirty.bytes -= int64(n)
	in.file.sealing = append(in.file.sealing, s)
	v.done.Add(1)
	go func() {
		defer v.done.Done()
		s.err = v.seal(v.background, s)
		close(s.done)
	}()
	return nil
}

// applySealed makes extents of the oldest n runs being sealed and of those
// behind them that are finished; it waits for the n. A run that could not be
// sealed becomes dirty again, and the error is returned. in.mu is held.
func (v *Volume) applySealed(ctx context.Context, in *inode, n int) error {
	f := &in.file
	for ; len(f.sealing) > 0; n-- {
		s := f.sealing[0]
		if n <= 0 {
			select {
			case <-s.done:
			default:
				return nil
			}
		}
		select {
		case <-s.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		f.sealing = f.sealing[1:]
		err := s.err
		if err == nil {
			err = v.apply(ctx, in, s)
		}
		if err != nil {
			v.unseal(in, s)
			return fmt.Errorf("seal %d bytes of inode %d at %d: %w", len(s.buf), in.ino, s.off, err)
		}
		v.dirtyBytes.Add(-int64(len(s.buf)))
		freeBuf(s.buf[:0])
	}
	return nil
}

// unseal makes the bytes of s dirty again, beneath what was written since.
func (v *Volume) unseal(in *inode, s *sealing) {
	grown := in.file.dirty.under(s.buf, s.off)
	v.dirtyBytes.Add(grown - int64(len(s.buf)))
}

// apply makes extents of a run whose chunks are sealed. in.mu is held
// exclusively.
func (v *Volume) apply(ctx context.Context, in *inode, s *sealing) error {
	start := 0
	for i, end := range s.ends {
		e := meta.Extent{Off: s.off + uint64(start), Len: uint32(end - start), Ref: s.refs[i]}
		if err := v.putExtent(ctx, in, e); err != nil {
			return err
		}
		start = end
	}
	end := s.off + uint64(len(s.buf))
	in.file.solid = max(in.file.solid, end)
	in.file.sealed = end
	return v.coverPages(ctx, in, s.buf, s.off)
}

// coverPages lets the bytes at off, which have become extents, be seen: pages
// hide extents, so those wholly under them go and those partly under them take
// their share of the bytes. in.mu is held exclusively.
func (v *Volume) coverPages(ctx context.Context, in *inode, buf []byte, off uint64) error {
	if err := v.loadPages(ctx, in); err != nil {
		return err
	}
	f := &in.file
	end := off + uint64(len(buf))
	for p := off / meta.Page; f.hasPages() && p*meta.Page < end; p++ {
		if p%windowPages == 0 && f.pages[p/windowPages] == nil {
			p += windowPages - 1
			continue
		}
		if !f.hasPage(p) {
			continue
		}
		lo, hi := max(off, p*meta.Page), min(end, (p+1)*meta.Page)
		if lo == p*meta.Page && (hi == (p+1)*meta.Page || hi >= in.attr.Size) {
			f.dropPage(p)
			continue
		}
		data := make([]byte, meta.Page)
		if err := v.page(ctx, in, p, data); err != nil {
			return err
		}
		copy(data[lo-p*meta.Page:], buf[lo-off:hi-off])
		f.putPage(p, data[:min(meta.Page, in.attr.Size-p*meta.Page)])
	}
	return nil
}

// drain waits for what is being sealed and forgets it. It returns how many
// bytes that were.
func (f *content) drain() (n int64) {
	for _, s := range f.sealing {
		<-s.done
		n += int64(len(s.buf))
	}
	f.sealing = nil
	return n
}
