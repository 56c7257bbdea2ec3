package meta

import (
	"context"
	"errors"
	"fmt"

	"github.com/hammockfs/hammock/crypt"
)

// ErrNotEmpty says that a state to restore into holds a volume already.
var ErrNotEmpty = errors.New("the state already holds a volume")

// Restore makes an empty state the volume of this head, synced, and opens it. The caller has verified the head. Nothing is
// fetched: after Attach, Ready fetches the deltas; until then reads say ErrNotReady. The tree's nodes come as they are read.
func Restore(ctx context.Context, cfg Config, head []byte) (*DB, error) {
	h, body, err := cfg.openHead(head)
	if err != nil {
		return nil, fmt.Errorf("restore from a head: %w", err)
	}
	d, err := openFiles(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("restore in %s: %w", cfg.Dir, err)
	}
	err = d.install(h, &body, head)
	if err == nil {
		err = d.begin(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("restore in %s: %w", cfg.Dir, err), d.closeFiles())
	}
	return d, nil
}

// HeadPolicy returns the name of the placement policy that a head was published under.
func HeadPolicy(cfg Config, head []byte) (string, error) {
	_, body, err := cfg.openHead(head)
	if err != nil {
		return "", fmt.Errorf("read a head: %w", err)
	}
	return body.Policy, nil
}

// install writes what a head says into an empty state. The session that begin reserves next syncs it.
func (d *DB) install(h *crypt.Head, body *headBody, head []byte) error {
	if v, err := d.local(localVolume); err != nil || v != nil {
		return errors.Join(err, ErrNotEmpty)
	}
	sessions, err := parseSessions(body.Sessions)
	if err != nil {
		return err
	}
	b := newBatch()
	for _, s := range sessions {
		b.putLocal(localSession+string([]byte{byte(s >> 16), byte(s >> 8), byte(s)}), nil)
	}
	for i := range body.Stores {
		v, err := body.Stores[i].encode()
		if err != nil {
			return err
		}
		b.putLocal(storeName(body.Stores[i].Number), v)
	}
	p := published{
		Names: body.Names, Table: body.Table, Deltas: body.Deltas, Records: body.Records,
		Pending: len(body.Deltas) > 0, Folded: body.Time, Vector: seeHead(body.Vector, h),
	}
	v, err := crypt.EncodeCBOR(&p)
	if err != nil {
		return err
	}
	b.putLocal(localPublished, v)
	b.putLocal(localHead, head)
	b.putLocal(localVolume, d.cfg.Volume[:])
	d.commit.Lock()
	defer d.commit.Unlock()
	return d.commitLocked(b)
}

// seeHead notes the newest head seen of the head's device.
func seeHead(vector []seenHead, h *crypt.Head) []seenHead {
	out := make([]seenHead, 0, len(vector)+1)
	for _, s := range vector {
		if s.Device != h.Device {
			out = append(out, s)
		}
	}
	return append(out, seenHead{h.Device, h.Counter})
}

// Ready finishes what Open or Restore could not do without chunks: it puts the deltas of a restored head into the overlay
// and heals windows that a power cut tore. Call it once after Attach, before the first use; it returns at once if there
// is nothing to do, and may be called again if it failed.
func (d *DB) Ready(ctx context.Context) error {
	d.checkpoint.Lock()
	defer d.checkpoint.Unlock()
	if d.levels.Load().pending {
		if err := d.applyDeltas(ctx); err != nil {
			return fmt.Errorf("fetch the volume's newest changes: %w", err)
		}
	}
	return d.healTorn(ctx)
}

// applyDeltas puts the pieces into the overlay, in order. After a crash it begins again: the end is the same.
func (d *DB) applyDeltas(ctx context.Context) error {
	var buf []byte
	for i, b := range d.pub.Deltas {
		r, err := parseWholeRef(b)
		if err != nil {
			return err
		}
		if buf, err = d.getChunk(ctx, &r, buf[:0]); err != nil {
			return fmt.Errorf("delta %d of %d: %w", i+1, len(d.pub.Deltas), err)
		}
		if err := d.applyDelta(ctx, buf); err != nil {
			return fmt.Errorf("delta %d of %d: %w", i+1, len(d.pub.Deltas), err)
		}
	}
	b := newBatch()
	for _, r := range d.pub.Records { // the head was made later than its deltas, and so were its records
		b.putStripe(r.Stripe, r.Record)
	}
	if err := d.commitBatch(ctx, b); err != nil {
		return fmt.Errorf("records of the head: %w", err)
	}
	p := d.pub
	p.Pending = false
	d.commit.Lock()
	d.changed = d.newChanges() // all of it is in the head already
	d.commit.Unlock()
	return d.commitPublished(ctx, newBatch(), &p, nil)
}

func (d *DB) applyDelta(ctx context.Context, piece []byte) error {
	if err := checkDelta(piece); err != nil {
		return err
	}
	return d.commitBatch(ctx, &Batch{buf: piece, n: 1})
}

// checkDelta says whether a piece can be applied: it holds nothing but records, marks and stripes.
func checkDelta(piece []byte) error {
	if len(piece) > deltaPiece {
		return fmt.Errorf("%w: delta piece of %d bytes", ErrTooBig, len(piece))
	}
	s := readSteps(piece, opStripe)
	for {
		st, ok := s.next()
		if !ok {
			return s.err
		}
		if st.op != opPut {
			continue
		}
		if _, err := parseRecord(st.key, st.value); err != nil {
			return err
		}
	}
}
