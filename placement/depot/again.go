package depot

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// again answers a put of what its owner holds already, for the same stripe: if the stored record is whole, byte for byte
// that which came, nothing is written but the claim, should that change. Records that nobody is charged for would fill
// the segments otherwise. done: there is nothing more to do. Nothing but the owner's own claim decides about it, so that
// he learns nothing of what others hold.
func (r *Reservation) again(record []byte) (done bool, err error) {
	d, h := r.d, r.put.hold()
	was, mine, err := d.index.claim(&h)
	if err != nil || !mine {
		return false, err
	}
	if err := was.stale(r.put.Generation); err != nil {
		return true, err
	}
	at, ok, err := d.same(&h, record[headLen(1):])
	if err != nil || !ok {
		return false, err
	}
	return d.renew(h, r.put.Generation, at)
}

// stale refuses a put that was deleted before it came.
func (c *claim) stale(generation uint64) error {
	if c.trashed != 0 && generation < c.generation {
		return fmt.Errorf("%w: generation %d was deleted", ErrStale, c.generation)
	}
	return nil
}

// same says where the record of a held shard lies, if all of it can be read and is what it was: its beginning by the
// checksum, and shard and outboard by comparison with rest. What cannot be read is to be written anew.
func (d *Depot) same(h *hold, rest []byte) (at place, ok bool, err error) {
	e, ok, err := d.index.entry(h.id)
	if err != nil || !ok {
		return place{}, false, err
	}
	seg, ok, err := d.segments.acquire(e.seg)
	if err != nil || !ok {
		return place{}, false, err
	}
	defer d.segments.release(seg)
	head := make([]byte, e.head)
	if _, err := seg.file.ReadAt(head, e.off); err != nil {
		return place{}, false, nil
	}
	b, err := parseHead(head, &seg.salt)
	ok = err == nil && b.ID == h.id && e.record() == int64(len(head)+len(rest)) && equal(seg.file, e.off+int64(e.head), rest)
	return e.place, ok, nil
}

// equal compares a part of a file with bytes.
func equal(file io.ReaderAt, off int64, with []byte) bool {
	buffer := make([]byte, min(len(with), 64<<10))
	for len(with) > 0 {
		b := buffer[:min(len(buffer), len(with))]
		if _, err := file.ReadAt(b, off); err != nil || !bytes.Equal(b, with[:len(b)]) {
			return false
		}
		off, with = off+int64(len(b)), with[len(b):]
	}
	return true
}

// renew is enter for a shard that lies where it was, unless it has been moved meanwhile.
func (d *Depot) renew(h hold, generation uint64, at place) (done bool, err error) {
	defer d.lock(h.id)()
	e, ok, err := d.index.entry(h.id)
	if err != nil || !ok || e.place != at {
		return false, err
	}
	was, mine, err := d.index.claim(&h)
	if err != nil || !mine {
		return false, err
	}
	if err := was.stale(generation); err != nil {
		return true, err
	}
	now := claim{generation: max(generation, was.generation), size: was.size}
	if now == was {
		return true, nil // it was synced before its put was answered, or its record was
	}
	b := d.index.batch()
	if was.trashed != 0 {
		b.delete(h.trashKey(was.trashed))
	}
	b.set(h.key(), now.value())
	if err := d.commit(b, true); err != nil {
		return true, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ledger.add(h.owner, was.account().negative())
	d.ledger.add(h.owner, now.account())
	return true, nil
}

// turns lets one put of a hold store at a time: of two at once, the second finds what the first has written.
type turns struct {
	mu  sync.Mutex
	all map[hold]*turn
}

type turn struct {
	sync.Mutex
	users int // guarded by turns.mu
}

// take waits for the turn of a hold and returns what ends it.
func (t *turns) take(h hold) (end func()) {
	t.mu.Lock()
	if t.all == nil {
		t.all = map[hold]*turn{}
	}
	x := t.all[h]
	if x == nil {
		x = &turn{}
		t.all[h] = x
	}
	x.users++
	t.mu.Unlock()
	x.Lock()
	return func() {
		x.Unlock()
		t.mu.Lock()
		defer t.mu.Unlock()
		if x.users--; x.users == 0 {
			delete(t.all, h)
		}
	}
}
