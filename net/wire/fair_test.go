package wire

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

var anna, bert, carl = crypt.OwnerKey{1}, crypt.OwnerKey{2}, crypt.OwnerKey{3}

// One owner has fifty requests waiting. Two who come later, with a few each, are
// served in turn with it.
func TestFairTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFair(1, 1, 0)
		block, err := f.acquire(t.Context(), anna, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []byte
		ask := func(owner crypt.OwnerKey, n int, cost int64) {
			for range n {
				go func() {
					done, err := f.acquire(context.Background(), owner, cost, nil)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					order = append(order, owner[0])
					mu.Unlock()
					time.Sleep(time.Second)
					done()
				}()
			}
			synctest.Wait()
		}
		ask(anna, 50, 1)
		ask(bert, 8, 1)
		ask(carl, 8, 1)
		block()
		time.Sleep(16 * time.Second)
		synctest.Wait()
		mu.Lock()
		first := slices.Clone(order)
		mu.Unlock()
		count := func(who crypt.OwnerKey) (n int) {
			for _, o := range first {
				if o == who[0] {
					n++
				}
			}
			return n
		}
		if a, b, c := count(anna), count(bert), count(carl); a > 6 || b < 5 || c < 5 {
			t.Errorf("of the first %d turns anna had %d, bert %d, carl %d", len(first), a, b, c)
		}
		time.Sleep(200 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if len(order) != 66 {
			t.Errorf("%d turns in all", len(order))
		}
	})
}

// An owner holds at most his own bound, and another gets the rest at once.
func TestFairBounds(t *testing.T) {
	f := newFair(4, 2, 0)
	ctx, stop := context.WithCancel(t.Context())
	stop() // nobody waits
	take := func(owner crypt.OwnerKey) (func(), bool) {
		release, err := f.acquire(ctx, owner, 1, nil)
		return release, err == nil
	}
	var held []func()
	for range 2 {
		for _, who := range []crypt.OwnerKey{anna, bert} {
			release, ok := take(who)
			if !ok {
				t.Fatal("there was room")
			}
			held = append(held, release)
		}
	}
	if _, ok := take(anna); ok {
		t.Error("anna has more than her bound")
	}
	if _, ok := take(carl); ok {
		t.Error("carl has what is not there")
	}
	held[0]()
	held[0]() // once more does nothing
	if _, ok := take(carl); !ok {
		t.Error("what anna gave back is lost")
	}
	if f.held != 4 || f.lines[anna].held != 1 {
		t.Errorf("%d are held, %d of them by anna", f.held, f.lines[anna].held)
	}
}

// Who holds more than his part for long, while another waits, is cut off; one
// who waits for more than his part waits on.
func TestFairCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFair(64, 32, 4*time.Second)
		var cut []int
		hold := func(owner crypt.OwnerKey, n int64, i int) {
			var release func()
			release, err := f.acquire(t.Context(), owner, n, func() {
				cut = append(cut, i)
				release()
			})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		hold(anna, 16, 0)
		hold(anna, 16, 1)
		hold(bert, 16, 2)
		hold(bert, 16, 3)
		start := time.Now()
		release, err := f.acquire(t.Context(), carl, 16, nil)
		if err != nil || time.Since(start) != 4*time.Second || !slices.Equal(cut, []int{0}) {
			t.Fatalf("carl got his part after %v, %v; cut were %v", time.Since(start), err, cut)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if _, err := f.acquire(ctx, carl, 16, nil); !errors.Is(err, context.DeadlineExceeded) || len(cut) != 1 {
			t.Errorf("carl got more than his part: %v; cut were %v", err, cut)
		}
		release()
	})
}
