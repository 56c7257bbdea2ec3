package meta

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/hammockfs/hammock/fs/meta/tree"
)

// known holds the records of stripes that hold nodes of the stripe table (and deltas): the head and the table's nodes say
// them. Its zero value is ready. The records are not changed.
type known struct {
	mu sync.RWMutex
	m  map[uint64][]byte
}

func (k *known) get(stripe uint64) ([]byte, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	r, ok := k.m[stripe]
	return r, ok
}

func (k *known) put(stripe uint64, record []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.m == nil {
		k.m = make(map[uint64][]byte)
	}
	k.m[stripe] = append([]byte{}, record...)
}

// update replaces the record of a stripe that is known.
func (k *known) update(stripe uint64, record []byte) {
	if _, ok := k.get(stripe); ok {
		k.put(stripe, record)
	}
}

// forget drops the stripes of these refs.
func (k *known) forget(refs [][]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, b := range refs {
		if r, err := parseWholeRef(b); err == nil {
			delete(k.m, r.Stripe)
		}
	}
}

// latest is the newest record of a stripe that is known without the trees. A head and the nodes of the table have records as
// they were when those were made, mostly before the stripe was placed; the overlay has what was recorded since.
func (d *DB) latest(stripe uint64, record []byte) ([]byte, error) {
	key := binary.BigEndian.AppendUint64(nil, stripe)
	lv := d.levels.Load()
	if lv.pending { // the overlay has, at most, what older deltas say
		return record, nil
	}
	for _, g := range lv.overlays() {
		if v, f, err := d.lookup(g, spaceTable, key, nil); err != nil || f == here {
			return v, err
		}
	}
	return record, nil
}

// meet makes a stripe known whose record a node of the table has, unless it is.
func (d *DB) meet(stripe uint64, record []byte) error {
	if _, ok := d.known.get(stripe); ok {
		return nil
	}
	record, err := d.latest(stripe, record)
	if err == nil {
		d.known.put(stripe, record)
	}
	return err
}

// noteMeta remembers that a stripe holds metadata, written by the checkpoint that runs.
func (d *DB) noteMeta(stripe uint64) {
	d.stripeMu.Lock()
	defer d.stripeMu.Unlock()
	if _, old := d.metaStripes[stripe]; !old {
		d.metaStripes[stripe] = struct{}{}
		d.newMeta = append(d.newMeta, stripe)
	}
	delete(d.unplaced, stripe)
	if d.touched != nil {
		d.touched[stripe] = struct{}{}
	}
}

// putOwn adds to b which stripes checkpoints have made since the last time, so that where they are placed is no reason for
// another checkpoint after a restart either.
func (d *DB) putOwn(b *Batch) {
	d.stripeMu.Lock()
	defer d.stripeMu.Unlock()
	for _, s := range d.newMeta {
		b.putLocal(ownName(s), nil)
	}
	d.newMeta = d.newMeta[:0]
}

func ownName(stripe uint64) string {
	return localOwn + string(binary.BigEndian.AppendUint64(nil, stripe))
}

func (d *DB) loadOwn() error {
	return d.locals(localOwn, func(rest string, _ []byte) error { return d.parseOwn(rest) })
}

func (d *DB) parseOwn(rest string) error {
	if len(rest) != 8 {
		return fmt.Errorf("%w: stripe of a checkpoint", ErrFormat)
	}
	d.stripeMu.Lock()
	defer d.stripeMu.Unlock()
	d.metaStripes[binary.BigEndian.Uint64([]byte(rest))] = struct{}{}
	return nil
}

func (d *DB) isMeta(stripe uint64) bool {
	d.stripeMu.Lock()
	defer d.stripeMu.Unlock()
	_, ok := d.metaStripes[stripe]
	return ok
}

// Intend notes, synced, that shards of the stripe are about to be put where record says. A record has at most 2 KiB. The
// stripe is synced before the journal hears of its record: what was only written may survive a power cut, and a stripe
// that was torn by it would never again have the shards that the record names.
func (d *DB) Intend(ctx context.Context, stripe uint64, record []byte) error {
	b, err := d.stripeBatch(stripe, record)
	if err != nil {
		return err
	}
	if err := d.syncStripes(ctx); err != nil {
		return err
	}
	b.putLocal(unplacedName(stripe), nil)
	if err := d.commitSynced(ctx, b); err != nil {
		return fmt.Errorf("note where stripe %x is meant to go: %w", stripe, err)
	}
	d.known.update(stripe, record)
	return nil
}

// Placed notes, synced, where the shards of the stripe are.
func (d *DB) Placed(ctx context.Context, stripe uint64, record []byte) error {
	b, err := d.stripeBatch(stripe, record)
	if err != nil {
		return err
	}
	b.deleteLocal(unplacedName(stripe))
	if d.isMeta(stripe) {
		b.deleteLocal(ownName(stripe))
	}
	if err := d.commitSynced(ctx, b); err != nil {
		return fmt.Errorf("note where stripe %x is: %w", stripe, err)
	}
	d.known.update(stripe, record)
	d.stripeMu.Lock()
	delete(d.unplaced, stripe)
	d.stripeMu.Unlock()
	return nil
}

func (d *DB) stripeBatch(stripe uint64, record []byte) (*Batch, error) {
	if len(record) > tree.MaxValue {
		return nil, fmt.Errorf("%w: record of stripe %x: %d bytes", ErrTooBig, stripe, len(record))
	}
	b := newBatch()
	b.putStripe(stripe, record)
	return b, nil
}

func (d *DB) commitSynced(ctx context.Context, b *Batch) error {
	if d.levels.Load().pending {
		return ErrNotReady
	}
	if err := d.commitBatch(ctx, b); err != nil {
		return err
	}
	return d.Sync(ctx)
}

func unplacedName(stripe uint64) string {
	return localUnplaced + string(binary.BigEndian.AppendUint64(nil, stripe))
}

// Unplaced returns the stripes intended but not placed, in the order of their numbers.
func (d *DB) Unplaced(context.Context) ([]uint64, error) {
	var list []uint64
	err := d.locals(localUnplaced, func(rest string, _ []byte) error {
		if len(rest) != 8 {
			return fmt.Errorf("%w: unplaced stripe", ErrFormat)
		}
		list = append(list, binary.BigEndian.Uint64([]byte(rest)))
		return nil
	})
	return list, err
}

// unplacedData counts the data stripes of this device that are not placed, as far as it knows: those of this run and
// those that were intended before.
func (d *DB) unplacedData(ctx context.Context) (uint64, error) {
	list, err := d.Unplaced(ctx)
	if err != nil {
		return 0, err
	}
	d.stripeMu.Lock()
	defer d.stripeMu.Unlock()
	n := uint64(len(d.unplaced))
	for _, s := range list {
		_, meta := d.metaStripes[s]
		_, counted := d.unplaced[s]
		if !meta && !counted {
			n++
		}
	}
	return n, nil
}
