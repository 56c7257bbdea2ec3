package depot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/room"
)

// start opens index and segments and brings them into agreement.
func (d *Depot) start(ctx context.Context) (err error) {
	fs, dir := d.cfg.FS, d.cfg.Dir
	files, index := fs.PathJoin(dir, "segments"), fs.PathJoin(dir, "index")
	for _, path := range []string{files, index} {
		if err := fs.MkdirAll(path, 0o700); err != nil {
			return err
		}
	}
	for _, path := range []string{fs.PathDir(dir), dir} {
		if err := syncDir(fs, path); err != nil {
			return err
		}
	}
	if err := d.makeWay(); err != nil {
		return err
	}
	patient := room.NewPatient(ctx, fs, d.ballast, vital)
	if d.index, err = openIndex(patient, index, d.cfg.Files, d.log); err != nil {
		return fmt.Errorf("open the index (if it is damaged and not just in use, remove %s: it is made anew): %w", index, err)
	}
	d.segments = newSegments(fs, files, d.cfg.SegmentSize)
	if err = d.agree(); err != nil {
		return errors.Join(err, d.index.close(), d.segments.close())
	}
	return nil
}

// agree loads the segments, makes the index if there is none, and counts what both say.
func (d *Depot) agree() error {
	sizes, err := d.segments.list()
	if err != nil {
		return err
	}
	made, err := d.index.get([]byte{keyForm}, func(v []byte) error {
		if len(v) != 1 || v[0] != form && v[0] != formOld {
			return errors.New("the index is of another version of hammock")
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !made {
		if err := d.rebuild(sizes); err != nil {
			return fmt.Errorf("make the index from the segments: %w", err)
		}
	}
	if err := d.catchUp(sizes); err != nil {
		return err
	}
	if err := d.countShards(sizes); err != nil {
		return err
	}
	if err := d.countClaims(); err != nil {
		return err
	}
	if err := d.clear(); err != nil {
		return err
	}
	return d.setMark()
}

// list loads all segments there are and returns the lengths of their files.
func (s *segments) list() (sizes map[uint64]int64, err error) {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return nil, err
	}
	sizes = map[uint64]int64{}
	for _, name := range names {
		num, ok := number(name)
		if !ok {
			continue
		}
		info, err := s.fs.Stat(s.path(num))
		if err != nil {
			return nil, err
		}
		if err := s.load(num, info); err != nil {
			return nil, fmt.Errorf("segment %016x: %w", num, err)
		}
		sizes[num] = info.Size()
		s.next = max(s.next, num+1)
	}
	return sizes, nil
}

// load reads the header of a segment that was there before. One that is torn has no records, or, should it have rotted
// since, records that can still be read but nothing can be appended to.
func (s *segments) load(num uint64, info vfs.FileInfo) error {
	file, err := s.fs.Open(s.path(num))
	if err != nil {
		return err
	}
	defer file.Close()
	b := make([]byte, min(segmentHeader, info.Size()))
	if _, err := file.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	g := &segment{num: num, end: max(segmentHeader, info.Size())}
	g.salt, err = parseSegment(b)
	g.sealed = err != nil
	s.all[num] = g
	return nil
}

// countShards counts what is alive in each segment, and drops entries whose bytes are not there.
func (d *Depot) countShards(sizes map[uint64]int64) error {
	var lost []lying
	err := d.index.each([]byte{keyShard}, func(k, v []byte) error {
		if len(k) != 33 {
			return fmt.Errorf("depot index: shard key of %d bytes", len(k))
		}
		e, err := parseEntry(crypt.ID(k[1:]), v)
		if err != nil {
			return err
		}
		d.ledger.shards++
		if g := d.segments.all[e.seg]; g != nil {
			g.live += e.record()
			if sizes[e.seg] >= e.end() {
				return nil
			}
		}
		lost = append(lost, lying{crypt.ID(k[1:]), e.place})
		return nil
	})
	for i := range lost {
		if err == nil {
			err = d.lose(&lost[i])
		}
	}
	if err == nil && len(lost) > 0 {
		err = d.sync()
	}
	return err
}

// lose drops a shard before claims are counted.
func (d *Depot) lose(l *lying) error {
	ledger := d.ledger
	d.ledger = newLedger()
	err := d.drop(l, errors.New("its segment is gone or cut off"), false)
	ledger.shards--
	d.ledger = ledger
	return err
}

// countClaims counts what the owners are charged.
func (d *Depot) countClaims() error {
	return d.index.each([]byte{keyClaim}, func(k, v []byte) error {
		h, err := parseHold(k[1:])
		if err != nil {
			return err
		}
		c, err := parseClaim(v)
		if err != nil {
			return err
		}
		d.ledger.add(h.owner, c.account())
		return nil
	})
}

// clear removes segments that nothing points to, and makes the newest of the others the active one, if it may be.
func (d *Depot) clear() error {
	var empty []*segment
	newest := (*segment)(nil)
	for _, g := range d.segments.all {
		d.segments.size += g.end
		if g.live == 0 {
			empty = append(empty, g)
		} else if newest == nil || g.num > newest.num {
			newest = g
		}
	}
	if len(empty) > 0 {
		if err := d.discard(empty); err != nil {
			return err
		}
	}
	if newest == nil || !newest.clean {
		return nil
	}
	return d.segments.reopen(newest)
}

// rebuild makes the index of what the segments hold: their records, older ones first, those that are whole.
func (d *Depot) rebuild(sizes map[uint64]int64) error {
	nums := slices.Sorted(func(yield func(uint64) bool) {
		for num := range sizes {
			if !yield(num) {
				return
			}
		}
	})
	for _, num := range nums {
		g, _, err := d.segments.acquire(num)
		if err != nil {
			return err
		}
		n, err := d.adopt(g, sizes[num])
		d.segments.release(g)
		if err != nil {
			return err
		}
		d.log.Warn("the depot's index is made anew", "segment", num, "records", n)
	}
	b := d.index.batch()
	b.set([]byte{keyForm}, []byte{form})
	return d.commit(b, true)
}

// adopt enters the records of a segment in the index, as far as their beginnings are whole, and returns how many.
func (d *Depot) adopt(g *segment, size int64) (n int, err error) {
	if g.sealed {
		return 0, nil
	}
	return n, scan(g, g.file, segmentHeader, size, func(h *head, at place) error {
		ok, err := whole(g.file, h, at)
		if err != nil || !ok {
			return err
		}
		n++
		return d.adoptRecord(h, at)
	})
}

// adoptRecord enters one record: it is the newest of its shard, and adds to its holders.
func (d *Depot) adoptRecord(h *head, at place) error {
	e, _, err := d.index.entry(h.ID)
	if err != nil {
		return err
	}
	e.place = at
	b := d.index.batch()
	for i := range h.Holders {
		x := &h.Holders[i]
		name := hold{x.Owner, h.ID, x.Stripe}
		was, ok, err := d.index.claim(&name)
		if err != nil {
			return err
		}
		if ok && was.trashed != 0 {
			b.delete(name.trashKey(was.trashed))
		}
		c := claim{generation: max(was.generation, x.Generation), size: h.Size, trashed: x.Trashed}
		b.set(name.key(), c.value())
		if c.trashed != 0 {
			b.set(name.trashKey(c.trashed), nil)
		}
		if e.find(&name) < 0 {
			e.holders = append(e.holders, name)
		}
	}
	b.set(shardKey(h.ID), e.value())
	return d.commit(b, false)
}
