package placement_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hammockfs/hammock/placement"
)

// readings counts how often payloads are read.
type readings struct {
	*world
	n atomic.Int64
}

func (r *readings) Payload(ctx context.Context, stripe uint64, dst []byte) ([]byte, uint8, error) {
	r.n.Add(1)
	return r.world.Payload(ctx, stripe, dst)
}

// A week without any store costs neither reads of what waits nor a log full of
// it, however often it is tried.
func TestNobodyOnline(t *testing.T) {
	const stripes = 50
	w := newWorld(t, 6)
	synctest.Test(t, func(t *testing.T) {
		w.t = t
		online := func(yes bool) {
			for _, n := range w.numbers() {
				w.set(n, func(s *placement.StoreInfo) { s.Online = yes })
			}
		}
		online(false)
		payloads := &readings{world: w}
		var log strings.Builder
		cfg := w.config()
		cfg.Payloads, cfg.Log = payloads, slog.New(slog.NewTextHandler(&log, nil))
		p, _ := w.start(cfg)
		for i := range uint64(stripes) {
			w.addStripe(i+1, placement.ClassData, 10_000)
			p.Enqueue(i+1, placement.ClassData)
		}
		for range 100 {
			p.Kick()
			time.Sleep(5 * time.Second)
		}
		synctest.Wait()
		if n := payloads.n.Load(); n > 0 {
			t.Errorf("%d reads for nobody", n)
		}
		if n := strings.Count(log.String(), "waits for its next try"); n != 1 {
			t.Errorf("%d lines in the log", n)
		}
		if s := p.Stats(); s.Queued != stripes || s.LastError == nil || !strings.Contains(s.LastError.Error(), "peer-1: it is offline") {
			t.Errorf("%+v", s)
		}
		online(true)
		p.Kick()
		if err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range uint64(stripes) {
			w.expectWhole(i + 1)
		}
		p.Close()
	})
}
