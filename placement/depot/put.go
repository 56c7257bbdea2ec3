package depot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// maxStripes is for how many of his stripes an owner may hold one shard: its entry in the index names them all.
const maxStripes = 256

// maxRecord is the longest record that a put writes.
var maxRecord = recordLen(MaxShard, 1)

// Put announces a shard.
type Put struct {
	Owner crypt.OwnerKey
	Shard crypt.ID
	// Stripe is the owner's number for what the shard is part of; Generation counts his puts of it, so that a late
	// delete does not hit what was put again.
	Stripe, Generation uint64
	Size               int64 // of the shard, in bytes: 1 to MaxShard
}

func (p *Put) hold() hold { return hold{p.Owner, p.Shard, p.Stripe} }

// Reservation is a put under way: space that is taken, and the bytes that have come. It holds memory for the whole shard
// and ends with Commit, Abort or IdleTime without a Write; end it in any case. Its methods are safe for concurrent use,
// but bytes have an order.
type Reservation struct {
	d    *Depot
	put  Put
	cost int64         // what the ledger has reserved
	n    int64         // length of the record
	gone chan struct{} // closed when it has ended, and its commit with it

	mu     sync.Mutex
	record []byte // beginning and what has come of the shard; nil: over
	idle   *time.Timer
}

// Reserve takes space for a shard and waits, as long as ctx lets it, until there is memory for its bytes. It fails with
// ErrTooLarge, ErrShort, ErrQuota, ErrFull or ErrDiskFull. It does not depend on whether anybody else holds the shard.
func (d *Depot) Reserve(ctx context.Context, p Put) (*Reservation, error) {
	r, err := d.reserve(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("reserve %d bytes for shard %s of stripe %x: %w", p.Size, p.Shard, p.Stripe, err)
	}
	return r, nil
}

func (d *Depot) reserve(ctx context.Context, p Put) (*Reservation, error) {
	switch {
	case p.Size > MaxShard:
		return nil, fmt.Errorf("%w: at most %d bytes are taken", ErrTooLarge, MaxShard)
	case p.Size <= 0:
		return nil, ErrShort
	}
	if err := d.alive(); err != nil {
		return nil, err
	}
	cost, err := d.cost(&p)
	if err != nil {
		return nil, err
	}
	n := recordLen(p.Size, 1)
	if err := d.take(p.Owner, cost, n); err != nil {
		return nil, err
	}
	if err := d.memory.Acquire(ctx, n); err != nil {
		d.give(p.Owner, cost, n)
		return nil, err
	}
	r := &Reservation{d: d, put: p, cost: cost, n: n, gone: make(chan struct{})}
	r.record = appendHead(d.buffer(n), &head{ID: p.Shard, Size: uint32(p.Size), Holders: []holder{{
		Owner: p.Owner, Stripe: p.Stripe, Generation: p.Generation,
	}}})
	r.mu.Lock()
	defer r.mu.Unlock()
	d.mu.Lock()
	d.open[r] = struct{}{}
	d.mu.Unlock()
	r.idle = time.AfterFunc(IdleTime, r.Abort)
	return r, nil
}

// cost is what a put adds to what its owner is charged: nothing if he has the same claim already.
func (d *Depot) cost(p *Put) (int64, error) {
	h, others := p.hold(), 0
	_, mine, err := d.index.claim(&h)
	if err != nil || mine {
		return 0, err
	}
	err = d.index.each(claimPrefix(p.Owner, p.Shard), func(_, _ []byte) error {
		others++
		return nil
	})
	if err == nil && others >= maxStripes {
		err = fmt.Errorf("%w: he holds this shard for %d stripes already", ErrQuota, others)
	}
	return charge(p.Size), err
}

// buffer returns an empty slice with room for n bytes.
func (d *Depot) buffer(n int64) []byte {
	if b, ok := d.buffers.Get().(*[]byte); ok && int64(cap(*b)) >= n {
		return (*b)[:0]
	}
	return make([]byte, 0, n)
}

// over is what every call of a reservation that has ended says.
func (r *Reservation) over() error {
	return fmt.Errorf("put shard %s of stripe %x: %w", r.put.Shard, r.put.Stripe, ErrExpired)
}

// Write takes further bytes of the shard. It fails with ErrExpired, or with ErrTooLarge beyond the reserved size, and
// then takes none.
func (r *Reservation) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.record == nil {
		return 0, r.over()
	}
	if int64(len(r.record)-headLen(1)+len(p)) > r.put.Size {
		return 0, fmt.Errorf("put shard %s of stripe %x: %w: more than the %d bytes reserved",
			r.put.Shard, r.put.Stripe, ErrTooLarge, r.put.Size)
	}
	r.record = append(r.record, p...)
	r.idle.Reset(IdleTime)
	return len(p), nil
}

// Abort gives back what the reservation took. After the end of a reservation it does nothing.
func (r *Reservation) Abort() {
	if record := r.finish(); record != nil {
		r.free(record)
	}
}

// finish ends the reservation for all other callers and returns its bytes; nil: it was over before.
func (r *Reservation) finish() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	record := r.record
	r.record = nil
	if record != nil {
		r.idle.Stop()
	}
	return record
}

func (r *Reservation) free(record []byte) {
	r.d.give(r.put.Owner, r.cost, r.n)
	r.d.mu.Lock()
	delete(r.d.open, r)
	r.d.mu.Unlock()
	r.d.buffers.Put(&record)
	r.d.memory.Release(r.n)
	close(r.gone)
}

// Commit checks the bytes and stores them. When it returns nil they survive a power cut. ErrWrongBytes, ErrShort and
// ErrStale are the sender's; ErrExpired says that the reservation was over. It ends the reservation in any case. Once it
// has begun to write it does not heed ctx.
func (r *Reservation) Commit(ctx context.Context) error {
	record := r.finish()
	if record == nil {
		return r.over()
	}
	defer func() { r.free(record) }()
	err := ctx.Err()
	if err == nil {
		record, err = r.check(record)
	}
	if err == nil {
		err = r.store(record)
	}
	if err != nil {
		return fmt.Errorf("put shard %s of stripe %x: %w", r.put.Shard, r.put.Stripe, err)
	}
	return nil
}

// check compares the bytes with the ID and appends the outboard.
func (r *Reservation) check(record []byte) ([]byte, error) {
	data := record[headLen(1):]
	if int64(len(data)) < r.put.Size {
		return record, fmt.Errorf("%w: %d bytes came, %d were reserved", ErrShort, len(data), r.put.Size)
	}
	root, outboard := crypt.Outboard(data)
	if !bytes.Equal(root[:], r.put.Shard[:]) {
		return record, ErrWrongBytes
	}
	return append(record, outboard...), nil
}

// store appends the record, syncs it, and enters it in the index; all that only if it is not there already. A record that
// could not be synced is left behind for good, for its owner is told that it is not here.
func (r *Reservation) store(record []byte) error {
	d := r.d
	defer d.turns.take(r.put.hold())()
	if done, err := r.again(record); done || err != nil {
		return err
	}
	seg, off, err := d.segments.append(record, headLen(1), true)
	if err != nil {
		return err
	}
	err = d.segments.flush(seg)
	if err != nil {
		d.segments.settle(seg, off)
		return errors.Join(err, d.pass(true))
	}
	defer d.segments.settle(seg, off)
	at := place{seg: seg.num, off: off, head: uint32(headLen(1)), size: uint32(r.put.Size)}
	return d.enter(r.put.hold(), r.put.Generation, at)
}

// enter makes a claim on a shard that has just been written and synced at a place. Whoever held the shard before is
// served from there, too.
func (d *Depot) enter(h hold, generation uint64, at place) error {
	defer d.lock(h.id)()
	old, had, err := d.index.entry(h.id)
	if err != nil {
		return err
	}
	was, mine, err := d.index.claim(&h)
	if err != nil {
		return err
	}
	if err := was.stale(generation); err != nil {
		return err
	}
	now := claim{generation: max(generation, was.generation), size: at.size}
	e := entry{place: at, holders: old.holders}
	if e.find(&h) < 0 {
		e.holders = append(e.holders, h)
	}
	b := d.index.batch()
	if mine && was.trashed != 0 {
		b.delete(h.trashKey(was.trashed))
	}
	b.set(h.key(), now.value())
	b.set(shardKey(h.id), e.value())
	if err := d.commitPut(b, &at, !mine); err != nil {
		return err
	}
	d.segments.account(&at, at.record())
	d.mu.Lock()
	defer d.mu.Unlock()
	if had {
		d.segments.account(&old.place, -old.record())
	} else {
		d.ledger.shards++
	}
	if mine {
		d.ledger.add(h.owner, was.account().negative())
	}
	d.ledger.add(h.owner, now.account())
	return nil
}
