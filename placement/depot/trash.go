package depot

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// Delete moves an owner's claim on a shard to the trash, from where a later Put of the same takes it back within
// TrashTime; then it is gone. A delete of what is in the trash changes nothing. ErrNotFound: there is no such claim.
// ErrStale: it has been put with a higher generation since. When it returns nil it survives a power cut. A put of the
// same, or of an older generation, that has a reservation when Delete is called is ended, or was there before.
func (d *Depot) Delete(ctx context.Context, owner crypt.OwnerKey, shard crypt.ID, stripe, generation uint64) error {
	h := hold{owner, shard, stripe}
	err := d.endPuts(ctx, h, generation)
	if err == nil {
		err = d.delete(h, generation)
	}
	if err != nil {
		return fmt.Errorf("delete shard %s of stripe %x: %w", shard, stripe, err)
	}
	return nil
}

// endPuts aborts what is being put of a claim up to a generation, and waits for what is being stored already. Senders send
// bytes only to a reservation, so what has none yet comes to nothing if its sender has given up.
func (d *Depot) endPuts(ctx context.Context, h hold, generation uint64) error {
	var found []*Reservation
	d.mu.Lock()
	for r := range d.open {
		if r.put.Generation <= generation && r.put.hold() == h {
			found = append(found, r)
		}
	}
	d.mu.Unlock()
	for _, r := range found {
		r.Abort()
		select {
		case <-r.gone:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (d *Depot) delete(h hold, generation uint64) error {
	defer d.lock(h.id)()
	was, ok, err := d.index.claim(&h)
	switch {
	case err != nil:
		return err
	case !ok:
		return ErrNotFound
	case generation < was.generation:
		return fmt.Errorf("%w: it was put again as generation %d", ErrStale, was.generation)
	}
	now := claim{generation: generation, size: was.size, trashed: was.trashed}
	b := d.index.batch()
	if now.trashed == 0 {
		now.trashed = d.cfg.Now().UnixNano()
		b.set(h.trashKey(now.trashed), nil)
	}
	b.set(h.key(), now.value())
	if err := d.commit(b, true); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ledger.add(h.owner, was.account().negative())
	d.ledger.add(h.owner, now.account())
	return nil
}

// reapBatch is how many claims are collected before they are reaped, so that the index is not read for long.
const reapBatch = 256

// reap forgets what has been in the trash for TrashTime. Called with tidy held.
func (d *Depot) reap(ctx context.Context) error {
	now := d.cfg.Now()
	if err := d.redate(ctx, now); err != nil {
		return err
	}
	before := now.Add(-TrashTime).UnixNano()
	for {
		due, err := d.due(before)
		if err != nil {
			return err
		}
		if err := d.forgetAll(ctx, due); err != nil {
			return err
		}
		if len(due) < reapBatch {
			return nil
		}
	}
}

// forgetAll forgets claims. Their records may be there for long, and a start must not take them for puts that the index
// does not know: it passes them before. And a put of the same that comes before the index is synced is synced with it,
// for a power cut that brought the claim back would let its record count for nothing.
func (d *Depot) forgetAll(ctx context.Context, due []trashed) error {
	if len(due) == 0 {
		return nil
	}
	if err := d.pass(false); err != nil {
		return err
	}
	d.loose.Store(true)
	for i := range due {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := d.forget(due[i].hold, due[i].at); err != nil {
			return fmt.Errorf("reap shard %s: %w", due[i].id, err)
		}
	}
	if err := d.sync(); err != nil {
		return err
	}
	d.loose.Store(false)
	return nil
}

// ahead is how far in the future the time of a deletion may lie before it is not believed.
const ahead = 24 * time.Hour

// redate lets what seems to have been deleted in the future be deleted now: the clock was ahead then, and it would stay,
// and be charged, for as long. Called with tidy held.
func (d *Depot) redate(ctx context.Context, now time.Time) error {
	for {
		list, err := d.trashedFrom(now.Add(ahead).UnixNano())
		if err != nil || len(list) == 0 {
			return err
		}
		for i := range list {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := d.redateOne(list[i], now.UnixNano()); err != nil {
				return fmt.Errorf("date the deletion of shard %s anew: %w", list[i].id, err)
			}
		}
	}
}

func (d *Depot) redateOne(t trashed, now int64) error {
	defer d.lock(t.id)()
	was, ok, err := d.index.claim(&t.hold)
	if err != nil {
		return err
	}
	b := d.index.batch()
	b.delete(t.trashKey(t.at))
	if ok && was.trashed == t.at {
		was.trashed = now
		b.set(t.key(), was.value())
		b.set(t.trashKey(now), nil)
	}
	return d.commit(b, false)
}

// trashed is a claim and when it went to the trash.
type trashed struct {
	hold
	at int64
}

// due returns the first claims that went to the trash at or before a time.
func (d *Depot) due(before int64) (all []trashed, err error) {
	err = d.index.each([]byte{keyTrash}, func(k, _ []byte) error {
		t, err := parseTrash(k)
		if err != nil {
			return err
		}
		if t.at > before || len(all) == reapBatch {
			return io.EOF
		}
		all = append(all, t)
		return nil
	})
	return all, err
}

// trashedFrom returns some claims that went to the trash at a time or later.
func (d *Depot) trashedFrom(at int64) (all []trashed, err error) {
	from := binary.BigEndian.AppendUint64([]byte{keyTrash}, uint64(at))
	err = d.index.from(from, successor(from[:1]), func(k, _ []byte) error {
		if len(all) == reapBatch {
			return io.EOF
		}
		t, err := parseTrash(k)
		all = append(all, t)
		return err
	})
	return all, err
}

func parseTrash(k []byte) (trashed, error) {
	if len(k) < 9 {
		return trashed{}, fmt.Errorf("depot index: trash key of %d bytes", len(k))
	}
	h, err := parseHold(k[9:])
	return trashed{h, int64(binary.BigEndian.Uint64(k[1:]))}, err
}

// forget removes a claim that went to the trash at a time, unless it was taken out since, and the shard with the last of
// its claims. That need not survive a power cut: it would be found due again.
func (d *Depot) forget(h hold, at int64) error {
	defer d.lock(h.id)()
	was, mine, err := d.index.claim(&h)
	if err != nil {
		return err
	}
	e, had, err := d.index.entry(h.id)
	if err != nil {
		return err
	}
	b := d.index.batch()
	b.delete(h.trashKey(at))
	mine = mine && was.trashed == at
	if mine {
		b.delete(h.key())
		if i := e.find(&h); i >= 0 {
			e.holders = slices.Delete(e.holders, i, i+1)
		}
		if len(e.holders) > 0 {
			b.set(shardKey(h.id), e.value())
		} else {
			b.delete(shardKey(h.id))
		}
	}
	if err := d.commit(b, false); err != nil || !mine {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ledger.add(h.owner, was.account().negative())
	if had && len(e.holders) == 0 {
		d.ledger.shards--
		d.segments.account(&e.place, -e.record())
	}
	return nil
}
