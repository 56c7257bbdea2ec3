package depot

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/hammockfs/hammock/crypt"
)

const (
	// MaxHeads is how many heads of an owner are kept: the newest of his volume, and the sides of a fork.
	MaxHeads = 4
	// MaxJump is how far the counter of a head may be above the highest that is known.
	MaxJump = 1_000_000
)

// kept is a bundle that is kept, parsed.
type kept struct {
	id     crypt.ID // of the head
	bundle crypt.Bundle
	head   *crypt.Head
}

func headPrefix(owner crypt.OwnerKey) []byte { return append([]byte{keyHead}, owner[:]...) }

func (k *kept) key() []byte { return append(headPrefix(k.bundle.Owner), k.id[:]...) }

// Heads returns the bundles that are kept of an owner, newest first by volume: more than one of a volume when it has
// forked.
func (d *Depot) Heads(ctx context.Context, owner crypt.OwnerKey) ([]crypt.Bundle, error) {
	all, err := d.kept(owner)
	if err != nil {
		return nil, fmt.Errorf("read the heads of owner %s: %w", owner, err)
	}
	bundles := make([]crypt.Bundle, len(all))
	for i := range all {
		bundles[i] = all[i].bundle
	}
	return bundles, nil
}

func (d *Depot) kept(owner crypt.OwnerKey) (all []kept, err error) {
	err = d.index.each(headPrefix(owner), func(_, v []byte) error {
		b, err := crypt.ParseBundle(bytes.Clone(v))
		if err != nil {
			return err
		}
		h, err := crypt.ParseHead(b.Head)
		all = append(all, kept{crypt.HeadID(b.Head), b, h})
		return err
	})
	slices.SortStableFunc(all, func(a, b kept) int {
		return cmp.Or(bytes.Compare(a.head.Volume[:], b.head.Volume[:]), -compare(a.head, b.head))
	})
	return all, err
}

// compare orders heads of a volume: by writer epoch, then by counter.
func compare(a, b *crypt.Head) int {
	return cmp.Or(cmp.Compare(a.WriterEpoch, b.WriterEpoch), cmp.Compare(a.Counter, b.Counter))
}

// PutHead keeps the newest head of a volume, with what belongs to it, after verifying all that can be verified without a
// secret. A head of a higher writer epoch takes the place of all others. In the same epoch the counter counts: a higher
// one takes the place of the one head that is kept, at most MaxJump above it (else ErrCounter). An equal counter with
// other bytes is a fork: both are kept, and from then on a head takes the place of the one that it names as the one
// before, so that neither side is lost. What is older is ErrStale; at most MaxHeads of an owner are kept, of which the
// oldest side of a fork goes first and another volume never (ErrTooManyHeads). The same head again is welcome. When it
// returns nil the head survives a power cut.
func (d *Depot) PutHead(ctx context.Context, b crypt.Bundle) error {
	if err := d.putHead(b); err != nil {
		return fmt.Errorf("keep a head of owner %s: %w", b.Owner, err)
	}
	return nil
}

func (d *Depot) putHead(b crypt.Bundle) error {
	v, err := b.Parse(d.cfg.Now())
	if err != nil {
		return err
	}
	value, err := b.Marshal()
	if err != nil {
		return err
	}
	d.heads.Lock()
	defer d.heads.Unlock()
	all, err := d.kept(b.Owner)
	if err != nil {
		return err
	}
	k := kept{crypt.HeadID(b.Head), b, v.Head}
	gone, err := displaced(all, &k)
	if err != nil {
		return err
	}
	batch := d.index.batch()
	for i := range gone {
		batch.delete(gone[i].key())
	}
	batch.set(k.key(), value)
	return d.commit(batch, true)
}

// displaced says which of the heads that are kept go for a new one, or why it is not taken.
func displaced(all []kept, k *kept) (gone []kept, err error) {
	var same []kept // of the volume, newest first
	for i := range all {
		if all[i].head.Volume == k.head.Volume {
			same = append(same, all[i])
		}
	}
	if len(same) == 0 {
		return nil, oneMore(all)
	}
	for i := range same {
		if same[i].id == k.id {
			return nil, resent(&same[i], k)
		}
	}
	top := same[0].head
	switch c := k.head; {
	case c.WriterEpoch > top.WriterEpoch:
		return same, nil
	case c.WriterEpoch < top.WriterEpoch:
		return nil, fmt.Errorf("%w: of writer epoch %d", ErrStale, top.WriterEpoch)
	case c.Counter > top.Counter && c.Counter-top.Counter > MaxJump:
		return nil, fmt.Errorf("%w: from %d to %d", ErrCounter, top.Counter, c.Counter)
	}
	return beside(all, same, k)
}

// resent looks at a head that is kept already: what it comes with may have grown, by the secrets of a new device, but
// not shrunk.
func resent(old, k *kept) error {
	if len(k.bundle.Secrets) < len(old.bundle.Secrets) {
		return fmt.Errorf("%w: the same head with more wrapped secrets", ErrStale)
	}
	return nil
}

// beside is displaced for a head of the same volume and writer epoch.
func beside(all, same []kept, k *kept) ([]kept, error) {
	for i := range same {
		if same[i].id == k.head.Prev && same[i].head.Counter < k.head.Counter {
			return same[i : i+1], nil
		}
	}
	switch top := same[0].head.Counter; {
	case k.head.Counter < top && !slices.ContainsFunc(same, func(s kept) bool { return s.head.Counter == k.head.Counter }):
		return nil, fmt.Errorf("%w: counter %d", ErrStale, top)
	case k.head.Counter > top && len(same) == 1:
		return same, nil
	}
	if len(all) < MaxHeads {
		return nil, nil
	}
	if last := same[len(same)-1:]; last[0].head.Counter < k.head.Counter {
		return last, nil
	}
	return nil, oneMore(all)
}

// oneMore says whether one more head of an owner may be kept.
func oneMore(all []kept) error {
	if len(all) >= MaxHeads {
		return fmt.Errorf("%w: %d are kept", ErrTooManyHeads, len(all))
	}
	return nil
}
