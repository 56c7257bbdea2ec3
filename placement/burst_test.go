package placement_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hammockfs/hammock/placement"
)

// Uploads give way to programs that write, but neither for ever nor where
// somebody waits for them.
func TestUploadsGiveWay(t *testing.T) {
	w := newWorld(t, 6)
	synctest.Test(t, func(t *testing.T) {
		w.t = t
		var busy atomic.Bool
		cfg := w.config()
		cfg.Busy = busy.Load
		p, _ := w.start(cfg)
		stripe := uint64(0)
		// after says how many stripes are placed some time after one more is queued.
		after := func(d time.Duration) int64 {
			stripe++
			w.addStripe(stripe, placement.ClassData, 10_000)
			p.Enqueue(stripe, placement.ClassData)
			time.Sleep(d)
			synctest.Wait()
			return p.Stats().Placed
		}
		busy.Store(true)
		if n := after(2 * time.Second); n != 0 {
			t.Errorf("%d stripes placed in a burst of writes", n)
		}
		if !p.Uploading() {
			t.Error("what gives way does not count as leaving")
		}
		busy.Store(false)
		if n := after(time.Second); n != 2 {
			t.Errorf("%d stripes placed after the burst", n)
		}
		busy.Store(true)
		if n := after(2 * time.Second); n != 2 {
			t.Errorf("%d stripes placed in the next burst", n)
		}
		if err := p.Wait(t.Context()); err != nil || p.Stats().Placed != 3 {
			t.Errorf("%d stripes placed when somebody waits, %v", p.Stats().Placed, err)
		}
		if n := after(10 * time.Second); n != 4 {
			t.Errorf("%d stripes placed while writes go on and on", n)
		}
		p.Close()
	})
}
