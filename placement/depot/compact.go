package depot

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/hammockfs/hammock/crypt"
)

const (
	// victims is how many segments are rewritten in one pass over the index.
	victims = 8
	// moveBytes is how much is copied before it is synced and the index changed.
	moveBytes = 32 << 20
)

// Tidy reaps what has been in the trash for long enough and rewrites segments that are mostly dead. The depot does this
// by itself; calling it is for those who cannot wait. Everything else goes on meanwhile.
func (d *Depot) Tidy(ctx context.Context) error {
	d.tidy.Lock()
	defer d.tidy.Unlock()
	if err := d.reap(ctx); err != nil {
		return err
	}
	for {
		all := d.segments.sparse(d.cfg.Capacity)
		if len(all) == 0 {
			return nil
		}
		if err := d.compact(ctx, all); err != nil {
			return fmt.Errorf("rewrite segments: %w", err)
		}
	}
}

// account changes how many bytes of a segment are alive.
func (s *segments) account(p *place, by int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.all[p.seg]; g != nil {
		g.live += by
	}
}

// sparse picks segments to rewrite, the emptiest first: those less than half alive, or, when the files take more than
// nine tenths of the capacity, less than fifteen sixteenths. The active one is retired for it when half a segment's
// size is dead in it.
func (s *segments) sparse(capacity int64) (picked []*segment) {
	s.write.Lock()
	defer s.write.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	num, den := int64(1), int64(2)
	if s.size > capacity/10*9 {
		num, den = 15, 16
	}
	for _, g := range s.all {
		all := g.end - segmentHeader
		if g.puts > 0 || g.live >= all*num/den && all > 0 || g == s.last && all-g.live < s.target/2 {
			continue
		}
		picked = append(picked, g)
	}
	slices.SortFunc(picked, func(a, b *segment) int { return cmp.Compare(a.live, b.live) })
	picked = picked[:min(len(picked), victims)]
	if s.last != nil && slices.Contains(picked, s.last) {
		s.last = nil
	}
	return picked
}

// lying is a shard and where it lies.
type lying struct {
	id crypt.ID
	place
}

// compact copies what is alive in segments elsewhere and removes them.
func (d *Depot) compact(ctx context.Context, all []*segment) error {
	found, err := d.lying(all)
	if err != nil {
		return err
	}
	m := mover{d: d}
	defer m.settle()
	for i := range found {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := m.move(&found[i]); err != nil {
			return fmt.Errorf("move shard %s: %w", found[i].id, err)
		}
	}
	if err := m.flush(); err != nil {
		return err
	}
	return d.discard(all)
}

// lying returns what the index says to lie in segments, in the order of the files.
func (d *Depot) lying(in []*segment) (found []lying, err error) {
	nums := map[uint64]bool{}
	for _, g := range in {
		nums[g.num] = true
	}
	err = d.index.each([]byte{keyShard}, func(k, v []byte) error {
		id := crypt.ID(k[1:])
		e, err := parseEntry(id, v)
		if err == nil && nums[e.seg] {
			found = append(found, lying{id, e.place})
		}
		return err
	})
	slices.SortFunc(found, func(a, b lying) int {
		return cmp.Or(cmp.Compare(a.seg, b.seg), cmp.Compare(a.off, b.off))
	})
	return found, err
}

// discard removes segments that nothing points to any more.
func (d *Depot) discard(all []*segment) error {
	// The index must have forgotten a segment for good before its file goes.
	if err := d.sync(); err != nil {
		return err
	}
	for _, g := range all {
		d.segments.mu.Lock()
		live := g.live
		d.segments.mu.Unlock()
		if live != 0 {
			return fmt.Errorf("segment %016x is not empty: %d bytes", g.num, live)
		}
		if err := d.segments.remove(g); err != nil {
			return err
		}
	}
	return syncDir(d.cfg.FS, d.segments.dir)
}

// mover copies shards to the active segment. What it has copied is pointed to after a flush.
type mover struct {
	d      *Depot
	moved  []move
	bytes  int64
	buffer []byte
}

// move is one shard that was copied.
type move struct {
	id       crypt.ID
	from, to place
	seg      *segment
}

// move copies one shard with its proof, after checking it.
func (m *mover) move(l *lying) error {
	e, ok, err := m.d.index.entry(l.id)
	if err != nil || !ok || e.place != l.place {
		return err // it went, or was put again elsewhere, since the index was read
	}
	h := head{ID: l.id, Size: l.size}
	if h.Holders, err = m.d.holders(&e); err != nil {
		return err
	}
	record, n, err := m.read(l, &h)
	if err != nil || record == nil {
		return err
	}
	seg, off, err := m.d.segments.append(record, n, false)
	if err != nil {
		return err
	}
	to := place{seg: seg.num, off: off, head: uint32(n), size: l.size}
	m.moved = append(m.moved, move{l.id, l.place, to, seg})
	if m.bytes += int64(len(record)); m.bytes >= moveBytes {
		return m.flush()
	}
	return nil
}

// read makes the new record of a shard; nil: its bytes had rotted, and the depot has dropped it, so that its owners see
// that it is missing and can put it again.
func (m *mover) read(l *lying, h *head) (record []byte, n int, err error) {
	seg, ok, err := m.d.segments.acquire(l.seg)
	if err != nil || !ok {
		return nil, 0, err
	}
	defer m.d.segments.release(seg)
	record = appendHead(m.buffer[:0], h)
	n = len(record)
	record = slices.Grow(record, int(recordLen(int64(l.size), 0)))[:n+int(l.size)]
	m.buffer = record
	if _, err := seg.file.ReadAt(record[n:], l.off+int64(l.head)); err != nil {
		return nil, 0, err
	}
	root, outboard := crypt.Outboard(record[n:])
	if root != l.id {
		if err := m.d.pass(false); err != nil {
			return nil, 0, err
		}
		return nil, 0, m.d.drop(l, ErrRotten, true)
	}
	return append(record, outboard...), n, nil
}

// flush syncs what was copied and lets the index point to it.
func (m *mover) flush() error {
	defer m.settle()
	for i := range m.moved {
		seg := m.moved[i].seg
		if i > 0 && seg == m.moved[i-1].seg {
			continue
		}
		if err := m.d.segments.flush(seg); err != nil {
			return err
		}
	}
	for i := range m.moved {
		if err := m.d.repoint(&m.moved[i]); err != nil {
			return err
		}
	}
	return nil
}

// settle gives back the segments that were appended to.
func (m *mover) settle() {
	for i := range m.moved {
		m.d.segments.settle(m.moved[i].seg, m.moved[i].to.off)
	}
	m.moved, m.bytes = nil, 0
}

// repoint lets a shard's entry point to its copy, unless it has changed meanwhile. A power cut may undo it: the old
// segment is still there then.
func (d *Depot) repoint(m *move) error {
	defer d.lock(m.id)()
	e, ok, err := d.index.entry(m.id)
	if err != nil || !ok || e.place != m.from {
		return err
	}
	e.place = m.to
	b := d.index.batch()
	b.set(shardKey(m.id), e.value())
	if err := d.commit(b, false); err != nil {
		return err
	}
	d.segments.account(&m.from, -m.from.record())
	d.segments.account(&m.to, m.to.record())
	return nil
}

// holders returns what a record says of a shard's holders.
func (d *Depot) holders(e *entry) (all []holder, err error) {
	for i := range e.holders[:min(len(e.holders), maxHolders)] {
		h := &e.holders[i]
		c, ok, err := d.index.claim(h)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, holder{h.owner, h.stripe, c.generation, c.trashed})
		}
	}
	return all, nil
}

// drop forgets a shard whose bytes are lost, with all claims on it. That has to be synced before anybody puts the same
// again: see forgetAll.
func (d *Depot) drop(l *lying, why error, sync bool) error {
	defer d.lock(l.id)()
	e, ok, err := d.index.entry(l.id)
	if err != nil || !ok || e.place != l.place {
		return err
	}
	d.log.Warn("a shard that is kept for others is lost", "shard", l.id.String(), "holders", len(e.holders), "err", why)
	b := d.index.batch()
	b.delete(shardKey(l.id))
	var gone []claim
	for i := range e.holders {
		h := &e.holders[i]
		c, _, err := d.index.claim(h)
		if err != nil {
			return err
		}
		gone = append(gone, c)
		b.delete(h.key())
		b.delete(h.trashKey(c.trashed))
	}
	if err := d.commit(b, sync); err != nil {
		return err
	}
	d.segments.account(&l.place, -l.record())
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ledger.shards--
	for i := range gone {
		d.ledger.add(e.holders[i].owner, gone[i].account().negative())
	}
	return nil
}
