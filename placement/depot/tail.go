package depot

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// catchUp enters what puts have appended behind the index's mark and the index does not know, because it was not synced
// for them. An index without a mark knows all records: it was synced for each, or was made of the segments just now.
func (d *Depot) catchUp(sizes map[uint64]int64) error {
	var from mark
	marked, err := d.index.get([]byte{keyMark}, func(v []byte) (err error) {
		from, err = parseMark(v)
		return err
	})
	if err != nil || !marked {
		return err
	}
	n := 0
	for _, num := range slices.Sorted(maps.Keys(sizes)) {
		if num < from.seg {
			continue
		}
		off := int64(segmentHeader)
		if num == from.seg {
			off = max(off, from.off)
		}
		found, err := d.catchUpIn(d.segments.all[num], off, sizes[num])
		if err != nil {
			return fmt.Errorf("read the end of segment %016x: %w", num, err)
		}
		n += found
	}
	if n > 0 {
		d.log.Info("the depot's index has caught up with its segments", "records", n)
	}
	return nil
}

// catchUpIn does it for the records of one segment from off, and returns how many were new. A record whose beginning is
// whole counts, whatever has become of its shard, so that what follows it is found. Behind the last one lies what was
// never acknowledged; a segment that has such a thing is not continued, for it might be taken for records later.
func (d *Depot) catchUpIn(g *segment, off, size int64) (n int, err error) {
	if g.sealed {
		return 0, nil
	}
	// What a killed process has written, and not synced, can be read: it is synced before the index says that it is there.
	file, err := d.segments.fs.OpenReadWrite(d.segments.path(g.num), category)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if off < size {
		if err := file.SyncData(); err != nil {
			return 0, err
		}
	}
	end := off
	err = scan(g, file, off, size, func(h *head, at place) error {
		end = at.end()
		entered, err := d.enterTail(file, h, at)
		if entered {
			n++
		}
		return err
	})
	g.clean = err == nil && end == size
	return n, err
}

// enterTail enters a put's record if nothing is known of its claim; else the claim was made by it, or is newer, for a put
// to a claim that is known is synced. A copy says nothing new: its claims are known, or their own records are there.
func (d *Depot) enterTail(file io.ReaderAt, h *head, at place) (bool, error) {
	x := &h.Holders[0]
	if len(h.Holders) != 1 || x.Trashed != 0 {
		return false, nil // no put's
	}
	name := hold{x.Owner, h.ID, x.Stripe}
	if _, known, err := d.index.claim(&name); err != nil || known {
		return false, err
	}
	if ok, err := whole(file, h, at); err != nil || !ok {
		return false, err
	}
	e, _, err := d.index.entry(h.ID)
	if err != nil {
		return false, err
	}
	e.place = at
	if e.find(&name) < 0 {
		e.holders = append(e.holders, name)
	}
	c := claim{generation: x.Generation, size: h.Size}
	b := d.index.batch()
	b.set(name.key(), c.value())
	b.set(shardKey(h.ID), e.value())
	return true, d.commit(b, false)
}

// setMark says that all there is is known, and by which version of the index, unless it says so already.
func (d *Depot) setMark() error {
	now := d.segments.known(mark{})
	said, err := d.index.get([]byte{keyMark}, func(v []byte) error {
		if m, err := parseMark(v); err != nil || m != now {
			return errors.Join(err, io.EOF)
		}
		return nil
	})
	if said && err == nil {
		return nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	b := d.index.batch()
	b.set([]byte{keyForm}, []byte{form})
	b.set([]byte{keyMark}, now.value())
	return d.commit(b, true)
}
