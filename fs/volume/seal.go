package volume

import (
	"context"
	"errors"
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

// sealing is a run that is being cut into chunks and sealed, or pages from here and
// there. Its bytes do not change any more; refs and err are set when done is closed.
type sealing struct {
	off   uint64
	buf   []byte
	pages []touched // what buf holds, if it is no run
	ends  []int     // where its chunks end
	hurry bool      // the writer is ahead
	refs  []crypt.Ref
	err   error
	done  chan struct{}
	taken runs // of a file's layer: the bytes, where they stand in the file
}

// free gives its buffers back.
func (s *sealing) free() {
	s.taken.clear()
	if s.pages != nil { // else the buffer was that of the run
		freeBuf(s.buf)
	}
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
	g, gctx := errgroup.WithContext(ctx)
	start := 0
	for i, end := range s.ends {
		chunk := s.buf[start:end]
		start = end
		select {
		case v.sealers <- struct{}{}:
		case <-gctx.Done():
			return errors.Join(g.Wait(), ctx.Err()) // Wait knows nothing of the caller's own end
		}
		g.Go(func() (err error) {
			defer func() { <-v.sealers }()
			s.refs[i], err = v.putChunk(gctx, chunk, s.hurry)
			return err
		})
	}
	return g.Wait()
}

// putChunk puts a chunk into a stripe. There was room when its bytes were taken;
// if metadata has taken that since, it waits while stripes leave.
func (v *Volume) putChunk(ctx context.Context, chunk []byte, hurry bool) (crypt.Ref, error) {
	put := v.cache.Put
	if hurry {
		put = v.cache.PutSoon
	}
	for {
		grows := v.cache.RoomGrows()
		ref, err := put(ctx, classData, chunk)
		if !errors.Is(err, ErrNoSpace) || v.awaitGrowth(ctx, grows, never) != nil {
			return ref, err
		}
	}
}

func never() bool { return false }

// startSealing hands the finished chunks of a long run to the background.
// in.mu is held.
func (v *Volume) startSealing(in *inode, r *run) {
	ends := v.cut(r.buf, false)
	if len(ends) == 0 {
		return
	}
	n := ends[len(ends)-1]
	s := &sealing{off: r.off, buf: r.buf[:n], ends: ends, done: make(chan struct{})}
	s.taken = runs{list: []*run{{off: s.off, buf: s.buf}}, bytes: int64(n)}
	rest := r.buf[n:]
	in.file.dirty.bytes -= int64(n)
	if len(rest) == 0 {
		in.file.dirty.take(r)
	} else {
		r.off += uint64(n)
		r.buf = newBuf(sealAt)[:len(rest)]
		copy(r.buf, rest)
	}
	in.file.sealing = append(in.file.sealing, s)
	v.done.Add(1)
	go func() {
		defer v.done.Done()
		s.err = v.seal(v.background, s)
		close(s.done)
	}()
}

// applySealed makes extents of the oldest n runs being sealed and of those
// behind them that are finished; it waits for the n. If one could not be
// sealed, it and those behind it become dirty again, and the error is returned.
// in.mu is held.
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
		err := s.err
		switch {
		case err != nil:
		case s.pages != nil:
			err = v.applyScattered(ctx, in, s)
		default:
			err = v.apply(ctx, in, s)
		}
		if err != nil {
			v.unseal(in)
			return fmt.Errorf("seal %d bytes of inode %d at %d: %w", len(s.buf), in.ino, s.off, err)
		}
		f.sealing = f.sealing[1:]
		if s.pages == nil {
			f.sealed = s.off + uint64(len(s.buf))
		}
		v.dirtyBytes.Add(-s.taken.bytes)
		s.free()
	}
	return nil
}

// unseal makes the bytes of all runs being sealed dirty again, beneath what was
// written since: the newest first, for what is dirty hides what is being
// sealed.
func (v *Volume) unseal(in *inode) {
	f := &in.file
	for i := len(f.sealing) - 1; i >= 0; i-- {
		s := f.sealing[i]
		<-s.done
		for _, r := range s.taken.list {
			v.dirtyBytes.Add(f.dirty.under(r.buf, r.off) - int64(len(r.buf)))
		}
		s.free()
	}
	f.sealing = nil
}

// apply makes extents of a run whose chunks are sealed. in.mu is held
// exclusively.
func (v *Volume) apply(ctx context.Context, in *inode, s *sealing) error {
	if err := v.loadPages(ctx, in); err != nil { // they count as blocks
		return err
	}
	start := 0
	for i, end := range s.ends {
		e := meta.Extent{Off: s.off + uint64(start), Len: uint32(end - start), Ref: s.refs[i]}
		if err := v.putExtent(ctx, in, e); err != nil {
			return err
		}
		start = end
	}
	in.file.solid = max(in.file.solid, s.off+uint64(len(s.buf)))
	return v.coverPages(ctx, in, s.buf, s.off)
}

// coverPages lets the bytes at off, which have become extents, be seen: pages
// hide extents, so those wholly under them go and those partly under them take
// their share of the bytes. in.mu is held exclusively; loadPages has been called.
func (v *Volume) coverPages(ctx context.Context, in *inode, buf []byte, off uint64) error {
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
		n += s.taken.bytes
	}
	f.sealing = nil
	return n
}
