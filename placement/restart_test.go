package placement_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hammockfs/hammock/placement"
	"github.com/hammockfs/hammock/placement/storetest"
)

// mortal is a journal, and what belongs to it, of a process that ends at one of its calls: before the call has an effect or
// right after. What comes later has none.
type mortal struct {
	w     *world
	book  *debtbook
	left  atomic.Int64 // calls until the end
	after bool
	dead  chan struct{}
}

var errDead = errors.New("the process has ended")

func (m *mortal) call(do func() error) error {
	switch left := m.left.Add(-1); {
	case left > 0:
		return do()
	case left == 0:
		defer close(m.dead)
		if m.after {
			_ = do()
		}
	}
	return errDead
}

func (m *mortal) Intend(ctx context.Context, stripe uint64, record []byte) error {
	return m.call(func() error { return m.w.Intend(ctx, stripe, record) })
}

func (m *mortal) Placed(ctx context.Context, stripe uint64, record []byte) error {
	return m.call(func() error { return m.w.Placed(ctx, stripe, record) })
}

func (m *mortal) Record(ctx context.Context, stripe uint64) ([]byte, error) {
	return m.w.Record(ctx, stripe)
}

func (m *mortal) Owe(ctx context.Context, debts []placement.Debt) error {
	return m.call(func() error { return m.book.Owe(ctx, debts) })
}

func (m *mortal) Paid(ctx context.Context, debts []placement.Debt) error {
	return m.call(func() error { return m.book.Paid(ctx, debts) })
}

func (m *mortal) Debts(ctx context.Context, after *placement.Debt, limit int) ([]placement.Debt, error) {
	return m.book.Debts(ctx, after, limit)
}

// TestKillAtAnyJournalCall ends the process at each call of its journal, before it or after it, while stripes are uploaded
// past a store whose answers get lost and another that is full, and while they are repaired after a store was emptied.
// Then a second process finds everything as it was left. Nothing is lost, nothing stays at a store for nothing, and no more
// is put again than what was under way.
func TestKillAtAnyJournalCall(t *testing.T) {
	const stripes = 3
	calm, _ := lifeUntil(t, 1<<40, false, stripes)
	for _, after := range []bool{false, true} {
		for n, died := int64(1), true; died; n++ {
			t.Run(fmt.Sprintf("call %d, after it %v", n, after), func(t *testing.T) {
				var puts int
				puts, died = lifeUntil(t, n, after, stripes)
				// Under way are one upload or two repairs; the store that answers nothing may have been asked once more.
				if most := calm + 2*6; puts > most {
					t.Errorf("%d puts, where %d are done without an end in the middle", puts, calm)
				}
			})
			if n > 200 {
				t.Fatal("the journal is called without end")
			}
		}
	}
}

// lifeUntil is one history, in which the process ends with the n-th call of its journal. It says how many puts were done.
func lifeUntil(t *testing.T, n int64, after bool, stripes uint64) (puts int, died bool) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 9)
		cfg := watched(w)
		cfg.Workers, cfg.Seed = 1, 1
		book := cfg.Debts.(*debtbook)
		m := &mortal{w: w, book: book, after: after, dead: make(chan struct{})}
		m.left.Store(n)
		first := cfg
		first.Journal, first.Debts = m, m
		w.faults(1, storetest.Faults{After: func(context.Context, placement.Put) error { return errors.New("the answer was lost") }})
		w.faults(2, storetest.Faults{Full: true})
		p, stop := w.start(first)
		for s := range stripes {
			w.addStripe(s+1, placement.ClassData, 40_000)
			p.Enqueue(s+1, placement.ClassData)
		}
		select {
		case <-m.dead:
		case <-time.After(time.Minute):
			w.faults(1, storetest.Faults{})
			w.emptyOne(p, stripes)
			select {
			case <-m.dead:
			case <-time.After(time.Hour):
			}
		}
		stop()
		died = m.left.Load() <= 0
		w.faults(1, storetest.Faults{})
		w.faults(2, storetest.Faults{})
		p, stop = w.start(cfg)
		defer stop()
		for s := range stripes {
			p.Enqueue(s+1, placement.ClassData)
		}
		time.Sleep(time.Hour)
		w.emptyOne(p, stripes) // if it was not, or not quite
		time.Sleep(time.Hour)
		for s := range stripes {
			w.expectWhole(s + 1)
			w.evict(s + 1)
			w.expectRead(p, s+1)
		}
		w.expectNoOrphans(book)
		for _, s := range w.numbers() {
			did, _, _ := w.mem[s].Counts()
			puts += did
		}
	})
	return puts, died
}

// emptyOne empties the store of the first stripe's first shard, unless one was emptied before, and asks for repairs.
func (w *world) emptyOne(p *placement.Placer, stripes uint64) {
	w.mu.Lock()
	if w.synced["spoilt"] == 0 {
		r, err := placement.ParseRecord(w.journal[1])
		if err != nil || !r.Placed {
			w.t.Errorf("stripe 1 is not placed: %v", err)
		} else {
			w.mem[r.Shards[0].Store].Clear()
		}
	}
	w.synced["spoilt"]++
	w.mu.Unlock()
	for s := range stripes {
		p.Heal(s + 1)
	}
}
