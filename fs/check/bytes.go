package check

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta"
)

// readers is how many chunks, or stripes, are worked on at a time.
const readers = 4

// chunkPlace names the bytes of a chunk.
type chunkPlace struct {
	stripe uint64
	offset uint32
}

// reading is one run over all bytes of all files.
type reading struct {
	p    *pass
	done map[chunkPlace]bool // chunks that were read: many files may have the same

	mu  sync.Mutex // guards the pass, and what follows
	bad map[uint64]bool
}

// readAll opens every byte of every file.
func (p *pass) readAll(ctx context.Context) error {
	if p.Verify == nil || p.stuck {
		return nil
	}
	r := &reading{p: p, done: map[chunkPlace]bool{}, bad: map[uint64]bool{}}
	total, n := p.nodes.len(), 0
	for i := range total {
		x := p.nodes.at(i)
		if n++; n%100 == 0 {
			p.Progress("bytes of files", n, total)
		}
		if !x.is(hasData) {
			continue
		}
		if err := r.file(ctx, x.ino); err != nil {
			return err
		}
	}
	p.tell(ctx)
	return nil
}

// file reads one file, window by window.
func (r *reading) file(ctx context.Context, ino uint64) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	err := r.p.DB.SurveyInode(ctx, ino, func(rec *meta.Record) error {
		if rec.Bad != nil || rec.Kind != meta.KindWindow {
			return nil
		}
		for i := range rec.Extents {
			e := &rec.Extents[i]
			at := chunkPlace{e.Ref.Stripe, e.Ref.Offset}
			if r.done[at] {
				continue
			}
			r.done[at] = true
			ref, off := e.Ref, e.Off
			g.Go(func() error { r.chunk(gctx, ino, off, &ref); return gctx.Err() })
		}
		return gctx.Err()
	})
	if werr := g.Wait(); err == nil {
		err = werr
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("read inode %d: %w", ino, err)
	}
	return ctx.Err()
}

// chunk opens one chunk, which shows at a place of a file.
func (r *reading) chunk(ctx context.Context, ino, off uint64, ref *crypt.Ref) {
	rotten, err := r.p.Verify(ctx, ref)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case ctx.Err() != nil:
	case err != nil && r.bad[ino]: // one finding for a file
	case err != nil:
		r.bad[ino] = true
		var fix repair
		if r.gone(ctx, ref.Stripe, err) {
			fix = r.p.fixGone(ino)
		}
		r.p.problem(Data, ino, fix, "inode %d: %d bytes at %d cannot be read: %v", ino, ref.Len, off, err)
	case rotten:
		r.p.note(Data, ino, nil, "inode %d: bytes at %d were rotten here; good ones of peers have replaced them", ino, off)
		r.p.read += int64(ref.Len)
	default:
		r.p.read += int64(ref.Len)
	}
}

// gone says whether bytes that could not be read are nowhere else either.
func (r *reading) gone(ctx context.Context, stripe uint64, err error) bool {
	if r.p.Unreachable != nil && r.p.Unreachable(err) {
		return false
	}
	s, _, serr := r.p.stripe(ctx, stripe)
	return serr == nil && !s.Placed
}

// askPeers asks for the shards of every stripe that is on peers.
func (p *pass) askPeers(ctx context.Context) error {
	if p.Shards == nil || p.stuck {
		return nil
	}
	numbers, err := p.placed(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex // guards the pass
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, stripe := range numbers {
		mu.Lock()
		p.Progress("stripes on peers", i, len(numbers))
		mu.Unlock()
		g.Go(func() error {
			s, record, err := p.stripe(gctx, stripe)
			if err != nil {
				return err
			}
			x, err := p.Shards(gctx, stripe, record)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			p.judgeShards(stripe, &s, &x)
			return gctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if p.report.Away > 0 {
		p.note(Shard, 0, nil, "%d shards are at peers that cannot be asked now", p.report.Away)
	}
	if p.report.Missing > 0 {
		p.note(Shard, 0, nil, "%d shards wait for a peer that takes them", p.report.Missing)
	}
	p.tell(ctx)
	return nil
}

// placed lists the stripes that are on peers, by number.
func (p *pass) placed(ctx context.Context) (numbers []uint64, err error) {
	err = p.DB.Stripes(ctx, func(stripe uint64, record []byte) error {
		if p.Stripe(stripe, record).Placed {
			numbers = append(numbers, stripe)
		}
		return nil
	})
	return numbers, err
}

func (p *pass) judgeShards(stripe uint64, s *Stripe, x *Shards) {
	p.report.Shards += x.Good
	p.report.Away += x.Away
	p.report.Missing += x.Missing
	for _, lost := range x.Lost {
		var fix repair
		if p.Heal != nil {
			fix = func(ctx context.Context) (outcome, error) {
				if err := p.Heal(ctx, stripe); err != nil {
					return left, ctx.Err()
				}
				return mended, nil
			}
		}
		p.problem(Shard, 0, fix, "stripe %x: %s", stripe, lost).live = true
	}
	if x.Good < x.Need && s.Here < 0 {
		p.problem(Shard, 0, nil, "stripe %x cannot be read now: %d of its shards are there, and %d are needed", stripe, x.Good, x.Need)
	}
}
