package meta

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/hammockfs/hammock/crypt"
)

// deltaPiece is the longest piece of a delta, in bytes.
const deltaPiece = 1 << 20

// delta publishes what changed since the last checkpoint, record by record.
func (d *DB) delta(ctx context.Context, o CheckpointOptions) (err error) {
	d.commit.Lock()
	taken := d.changed
	d.changed = d.newChanges()
	gen := d.levels.Load().cur
	// The overlay as it is now. To close one of Pebble's snapshots would wait for its manifest, and so for a full disk.
	it, err := d.pebble.NewIterWithContext(ctx, nil)
	d.commit.Unlock()
	defer func() {
		if it != nil {
			err = errors.Join(err, it.Close())
		}
		if err != nil {
			d.takeBack(taken)
		}
	}()
	if err != nil {
		return err
	}
	if taken.lost { // too much was changed since it was asked whether to fold
		return errHeadFull
	}
	w := deltaWriter{d: d, ctx: ctx, it: it, buf: []byte{batchVersion}}
	if err := w.all(gen, taken); err != nil {
		return err
	}
	cited, err := d.cited(ctx, o)
	if err != nil {
		return err
	}
	if err := w.records(cited); err != nil {
		return err
	}
	p := d.pub
	p.Deltas = append(slices.Clone(p.Deltas), w.refs...)
	records, err := d.closeStripes(ctx, ClassMeta)
	if err != nil {
		return err
	}
	p.Records = append(slices.Clone(p.Records), records...)
	return d.publish(ctx, &p, nil)
}

// takeBack makes the changes of a failed checkpoint part of the next one.
func (d *DB) takeBack(taken *changes) {
	d.commit.Lock()
	defer d.commit.Unlock()
	taken.merge(d.changed)
	d.changed = taken
}

// deltaWriter packs changes into pieces. A piece is a batch that holds removals and clips first, so that applying the
// pieces in order gives the state of the cut.
type deltaWriter struct {
	d    *DB
	ctx  context.Context
	it   *pebble.Iterator // over the overlay at the cut
	buf  []byte
	val  []byte // the key being looked up
	refs [][]byte
}

func (w *deltaWriter) all(gen *generation, c *changes) error {
	for _, ino := range slices.Sorted(maps.Keys(c.marks)) {
		if err := w.mark(ino, c.marks[ino]); err != nil {
			return err
		}
	}
	for _, k := range slices.Sorted(maps.Keys(c.keys)) {
		if err := w.key(gen, c, k[0], []byte(k[1:])); err != nil {
			return err
		}
	}
	return w.flush()
}

// records adds what was recorded of stripes since the cut.
func (w *deltaWriter) records(list []stripeRecord) error {
	for _, r := range list {
		if err := w.add(opStripe, binary.BigEndian.AppendUint64(nil, r.Stripe), r.Record); err != nil {
			return err
		}
	}
	return w.flush()
}

func (w *deltaWriter) mark(ino uint64, m mark) error {
	var key, size [8]byte
	binary.BigEndian.PutUint64(key[:], ino)
	if m.removed {
		return w.add(opRemove, key[:], nil)
	}
	binary.BigEndian.PutUint64(size[:], m.clip)
	return w.add(opClip, key[:], size[:])
}

func (w *deltaWriter) key(gen *generation, c *changes, space byte, rk []byte) error {
	v, here, err := w.value(gen, space, rk)
	switch {
	case err != nil:
		return err
	case space == spaceTable && here:
		return w.add(opStripe, rk, v)
	case space == spaceTable:
		return nil // stripes are not removed
	case here:
		return w.add(opPut, rk, v)
	}
	if m, ok := c.marks[keyIno(rk)]; ok && m.hides(rk) {
		return nil // the mark says so already
	}
	return w.add(opDelete, rk, nil)
}

// value returns the record as it was at the cut; it is valid until the next call.
func (w *deltaWriter) value(gen *generation, space byte, rk []byte) (v []byte, here bool, err error) {
	w.val = append(appendSpace(w.val[:0], space, gen.num), rk...)
	// A plain seek would walk from a deleted record over all deleted ones behind it, for each of them anew.
	if !w.it.SeekPrefixGE(w.val) || !bytes.Equal(w.it.Key(), w.val) {
		return nil, false, w.it.Error()
	}
	return w.d.openValue(w.val, w.it.Value())
}

func (w *deltaWriter) add(o op, key, value []byte) error {
	if len(w.buf)+len(key)+len(value)+16 > deltaPiece {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.buf = appendOp(w.buf, o, key, value)
	return nil
}

func (w *deltaWriter) flush() error {
	if len(w.buf) == 1 {
		return nil
	}
	if len(w.d.pub.Deltas)+len(w.refs) >= 2*maxDeltas {
		return errHeadFull
	}
	r, err := w.d.putChunk(w.ctx, ClassMeta, w.buf)
	if err != nil {
		return err
	}
	w.refs = append(w.refs, crypt.AppendRef(nil, &r))
	w.buf = w.buf[:1]
	return nil
}
