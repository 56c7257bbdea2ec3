package meta

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
)

// Numbers says which numbers of inodes and stripes have been given out.
type Numbers struct {
	Sessions []uint32 // all that the volume knows, ascending
	Session  uint32   // the one that runs
	Inodes   uint64   // how many it has given out
	Stripes  uint64
}

// Numbers returns what was given out until now.
func (d *DB) Numbers() Numbers {
	d.storeMu.Lock()
	defer d.storeMu.Unlock()
	return Numbers{slices.Clone(d.sessions), d.session, d.inoCount.Load(), d.stripeCount.Load()}
}

// Given says why the number of an inode or a stripe cannot have been given out; nil if it can. next is Inodes or Stripes.
func (n *Numbers) Given(number, next uint64) error {
	session, count := uint32(number>>counterBits), number&(1<<counterBits-1)
	if _, ok := slices.BinarySearch(n.Sessions, session); !ok && session != 0 {
		return fmt.Errorf("session %x, which numbered it, is not known, and may be used again", session)
	}
	if session == n.Session && count >= next {
		return fmt.Errorf("it is the number that comes %d after the next one", count-next)
	}
	return nil
}

// SessionOf is the session that gave out a number.
func SessionOf(number uint64) uint32 { return uint32(number >> counterBits) }

// AddSession notes that a session has been used, synced.
func (d *DB) AddSession(ctx context.Context, session uint32) error {
	b := newBatch()
	b.putLocal(localSession+string([]byte{byte(session >> 16), byte(session >> 8), byte(session)}), nil)
	if err := d.commitSynced(ctx, b); err != nil {
		return fmt.Errorf("note that session %x was used: %w", session, err)
	}
	d.addSession(session)
	return nil
}

// StripeMark is a note of this device about a stripe that it has not placed yet.
type StripeMark struct {
	Stripe uint64
	Own    bool // a checkpoint made it; else its shards were about to be put somewhere
}

// StripeMarks returns all such notes.
func (d *DB) StripeMarks() (marks []StripeMark, err error) {
	for _, own := range []bool{false, true} {
		err := d.locals(markPrefix(own), func(rest string, _ []byte) error {
			if len(rest) != 8 {
				return fmt.Errorf("%w: mark of a stripe", ErrFormat)
			}
			marks = append(marks, StripeMark{binary.BigEndian.Uint64([]byte(rest)), own})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return marks, nil
}

func markPrefix(own bool) string {
	if own {
		return localOwn
	}
	return localUnplaced
}

// DropMark takes such a note back.
func (d *DB) DropMark(ctx context.Context, m StripeMark) error {
	b := newBatch()
	b.deleteLocal(markPrefix(m.Own) + string(binary.BigEndian.AppendUint64(nil, m.Stripe)))
	if err := d.commitBatch(ctx, b); err != nil {
		return fmt.Errorf("drop the mark of stripe %x: %w", m.Stripe, err)
	}
	return nil
}
