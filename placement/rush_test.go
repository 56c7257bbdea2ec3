package placement_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/placement"
	"github.com/hammockfs/hammock/placement/storetest"
)

// narrow is a world behind one line: what all stores send comes one after the other.
type narrow struct {
	*world
	mu   sync.Mutex
	free time.Time // when the line has carried what was asked for so far
	sent int64
}

type narrowStore struct {
	placement.Store
	line *narrow
}

const narrowRate = 10 << 20 // bytes a second

func (l *narrow) Store(n uint32) (placement.Store, bool) {
	s, ok := l.world.Store(n)
	return narrowStore{s, l}, ok
}

func (s narrowStore) ReadRange(ctx context.Context, id crypt.ID, size, off, n int64, dst []byte) ([]byte, error) {
	s.line.mu.Lock()
	if now := time.Now(); s.line.free.Before(now) {
		s.line.free = now
	}
	s.line.free = s.line.free.Add(time.Duration(n) * time.Second / narrowRate)
	s.line.sent += n
	wait := time.Until(s.line.free)
	s.line.mu.Unlock()
	select {
	case <-time.After(wait):
		return s.Store.ReadRange(ctx, id, size, off, n, dst)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestFullLine: where everything is slow because much is asked for, nothing is asked for twice; but a store that is slow
// beside the others is still overtaken.
func TestFullLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 6)
		cfg := w.config()
		line := &narrow{world: w}
		cfg.Stores = line
		p, _ := w.start(cfg)
		w.placeAll(p, placement.ClassData, 4<<20)
		// Small reads between the large ones, so that what reads take on the average says nothing.
		read := func(rounds int) (asked int64) {
			for range rounds {
				for range 8 {
					w.mustFetch(p, 0, 16<<10)
					asked += 16 << 10
				}
				var wg sync.WaitGroup
				for range 4 {
					wg.Go(func() { w.mustFetch(p, 0, 4<<20) })
					asked += 4 << 20
				}
				wg.Wait()
			}
			return asked
		}
		read(4) // learns how fast it is
		before := line.sent
		asked := read(10)
		if got := line.sent - before; got > asked*3/2 {
			t.Errorf("%d bytes were asked for to read %d", got, asked)
		}

		w.faults(w.storesOf(1)[0], storetest.Faults{Silent: true})
		start := time.Now()
		w.mustFetch(p, 0, 4<<20) // without that store, whether it was expected to be late or turned out to be
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("a read beside a silent store took %v", took)
		}
		p.Close()
	})
}

func (w *world) mustFetch(p *placement.Placer, off, n int) {
	w.t.Helper()
	if got, err := p.Fetch(w.t.Context(), 1, nil, off, n, nil); err != nil || len(got) != n {
		w.t.Errorf("%d bytes, %v", len(got), err)
	}
}
