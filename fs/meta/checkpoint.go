package meta

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// CheckpointOptions says how to publish.
type CheckpointOptions struct {
	Fold bool // put everything into the tree instead of writing a delta
	// Cited, if given, is called once what is published is fixed. It closes the stripes of data which that may cite and
	// sees to it that each has a record. The head then has their records, though they were made later than what it
	// publishes: whoever has only the head can find the data.
	Cited func(ctx context.Context) error
}

const (
	foldBytes = 8 << 20   // of deltas, after which everything is folded
	foldAfter = time.Hour // likewise
)

// Checkpoint publishes the volume as it is now: it returns a signed head, synced here before it returns, and its counter.
// The caller sends it to the keepers. If nothing changed, it is the head of before. One runs at a time; commits go on
// meanwhile. Everything that the head cites is synced, but only its metadata stripes are sure to be closed.
func (d *DB) Checkpoint(ctx context.Context, o CheckpointOptions) (head []byte, counter uint64, err error) {
	d.checkpoint.Lock()
	defer d.checkpoint.Unlock()
	if d.levels.Load().pending {
		return nil, 0, ErrNotReady
	}
	if err := d.broken(); err != nil {
		return nil, 0, err
	}
	d.takeTouched()
	if !d.upToDate(o) {
		err := errHeadFull
		if !d.mustFold(o) {
			err = d.delta(ctx, o)
		}
		if errors.Is(err, errHeadFull) {
			err = d.fold(ctx, o)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("checkpoint: %w", err)
		}
	}
	return d.syncedHead(ctx)
}

func (d *DB) upToDate(o CheckpointOptions) bool {
	return d.Head() != nil && !d.Dirty() && (!o.Fold || len(d.pub.Deltas) == 0) && d.levels.Load().frozen == nil
}

func (d *DB) mustFold(o CheckpointOptions) bool {
	d.commit.Lock()
	lost := d.changed.lost
	d.commit.Unlock()
	age := d.cfg.Now().Sub(d.folded) // below zero: the clock went back
	return o.Fold || lost || d.levels.Load().frozen != nil || len(d.pub.Deltas) >= maxDeltas ||
		d.pub.deltaBytes() >= foldBytes || age < 0 || age >= foldAfter
}

func (p *published) deltaBytes() (n int) {
	for _, b := range p.Deltas {
		if r, err := parseWholeRef(b); err == nil {
			n += int(r.Len)
		}
	}
	return n
}

// syncedHead syncs the newest head and returns it.
func (d *DB) syncedHead(ctx context.Context) ([]byte, uint64, error) {
	if err := d.Sync(ctx); err != nil {
		return nil, 0, fmt.Errorf("checkpoint: %w", err)
	}
	d.headMu.Lock()
	defer d.headMu.Unlock()
	d.head = d.newest
	return d.head, d.counter, nil
}

// publish makes p the published state: a new head, and if drop is not nil the end of that frozen generation, in one
// journal record.
func (d *DB) publish(ctx context.Context, p *published, drop *generation) error {
	if err := d.refreshRecords(ctx, p); err != nil {
		return err
	}
	head, err := d.sealHead(ctx, p)
	if err != nil {
		return err
	}
	b := newBatch()
	b.putLocal(localHead, head)
	d.putOwn(b)
	if err := d.commitPublished(ctx, b, p, drop); err != nil {
		return err
	}
	d.headMu.Lock()
	d.newest, d.counter, d.deltas = head, d.counter+1, len(p.Deltas)
	d.headMu.Unlock()
	return nil
}

// commitPublished needs a batch that nothing was added to but the head. A power cut may keep the record of the journal
// without anybody having synced it. Replay mends what it can look at, which a tree and a head are not: so all that they
// cite is synced first.
func (d *DB) commitPublished(ctx context.Context, b *Batch, p *published, drop *generation) error {
	if err := d.syncStripes(ctx); err != nil {
		return err
	}
	v, err := crypt.EncodeCBOR(p)
	if err != nil {
		return err
	}
	b.putLocal(localPublished, v)
	if drop != nil {
		b.generation(opDrop, drop.num)
	}
	d.commit.Lock()
	defer d.commit.Unlock()
	b.putLocal(localDirty, []byte{byte(d.changed.level)}) // what was committed since the cut is still to be published
	if err := d.commitLocked(b); err != nil {
		return err
	}
	if drop != nil { // their pieces are in the tree; what is known about their stripes is in the table
		d.known.forget(d.pub.Deltas)
	}
	d.pub = *p
	for _, r := range p.Records {
		d.known.put(r.Stripe, r.Record)
	}
	return nil
}

// refreshRecords keeps the records of the stripes that p cites, as they are known by now. Without one of them nobody else
// could read what p leads to.
func (d *DB) refreshRecords(ctx context.Context, p *published) error {
	cited := make(map[uint64]bool)
	for _, b := range append([][]byte{p.Table.Ref}, p.Deltas...) {
		if r, err := parseWholeRef(b); err == nil {
			cited[r.Stripe] = true
		}
	}
	var list []stripeRecord
	for _, r := range p.Records {
		if !cited[r.Stripe] {
			continue
		}
		delete(cited, r.Stripe)
		if newer, ok := d.known.get(r.Stripe); ok {
			r.Record = newer
		}
		list = append(list, r)
	}
	for s := range cited {
		if err := d.learn(ctx, s); err != nil {
			return err
		}
		r, _ := d.known.get(s)
		list = append(list, stripeRecord{s, r})
	}
	slices.SortFunc(list, func(a, b stripeRecord) int {
		if a.Stripe < b.Stripe {
			return -1
		}
		return 1
	})
	p.Records = list
	return nil
}

// cited gives the records, made since what is published was fixed, of the stripes of data that it may cite: those that
// were not placed at the cut, and those that were open then and have been closed, placed and even evicted since.
func (d *DB) cited(ctx context.Context, o CheckpointOptions) (list []stripeRecord, err error) {
	if o.Cited == nil {
		return nil, nil
	}
	if err := o.Cited(ctx); err != nil {
		return nil, fmt.Errorf("close the stripes of data that a head names: %w", err)
	}
	since, err := d.recordedSince(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range since {
		r, err := d.Record(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("find the record of stripe %x, which a head names: %w", s, err)
		}
		list = append(list, stripeRecord{s, r})
	}
	return list, nil
}

// recordedSince lists the stripes of data that got a record, or another one, since what is published was fixed, in the
// order of their numbers. Where that is not known one by one it lists all that the newest generation has.
func (d *DB) recordedSince(ctx context.Context) ([]uint64, error) {
	d.commit.Lock()
	list, lost := slices.Collect(maps.Keys(d.changed.stripes)), d.changed.lost
	d.commit.Unlock()
	if !lost {
		slices.Sort(list)
		return list, nil
	}
	it, err := d.generationIter(ctx, d.levels.Load().cur, spaceTable)
	if err != nil {
		return nil, err
	}
	list = list[:0]
	for ok := it.First(); ok; ok = it.Next() {
		list = append(list, binary.BigEndian.Uint64(it.Key()[spacePrefix:]))
	}
	return list, errors.Join(it.Error(), it.Close())
}

// learn makes sure that the record of a closed stripe of checkpoints is known.
func (d *DB) learn(ctx context.Context, stripe uint64) error {
	if _, ok := d.known.get(stripe); ok {
		return nil
	}
	if d.encode == nil {
		return errNoChunks
	}
	r, err := d.encode(ctx, stripe)
	if err != nil {
		return fmt.Errorf("find the record of stripe %x, which a head names: %w", stripe, err)
	}
	d.known.put(stripe, r)
	return nil
}
