package wire_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/wire"
)

func TestStreamsPerOwner(t *testing.T) {
	l := wire.DefaultLimits()
	l.Streams = 3
	bubble(t, l, func(t *testing.T, w *world) {
		var kept []wire.Stream
		for range 3 {
			kept = append(kept, w.raw(t, wire.ProtoSmall, nil))
		}
		synctest.Wait()
		s := w.raw(t, wire.ProtoSmall, nil)
		if _, got := ends(t, s); codeIn(t, got) != 8 {
			t.Errorf("the fourth stream got %x", got)
		}
		_, err := w.bobPeer().Info(t.Context())
		want(t, err, wire.ErrBusy)
		kept[0].Close()
		synctest.Wait()
		_, err = w.bobPeer().Info(t.Context())
		check(t, err)
	})
}

// Two puts of 16 MiB fill the limit of 32: the third waits, then is told to
// come later.
func TestBytesInFlight(t *testing.T) {
	bubble(t, wire.Limits{}, func(t *testing.T, w *world) {
		put := frame(t, map[int]any{1: 1, 2: 16 << 20, 3: make([]byte, 32)})
		one, two := w.raw(t, wire.ProtoShard, put), w.raw(t, wire.ProtoShard, put)
		synctest.Wait()
		three := w.raw(t, wire.ProtoShard, put)
		synctest.Wait()
		if n := w.depot.opened(); n != 2 {
			t.Errorf("%d reservations for 48 MiB within a limit of 32", n)
		}
		three.CloseWrite()
		if after, got := ends(t, three); codeIn(t, got) != 8 || after != 10*time.Second {
			t.Errorf("after %v: %x", after, got)
		}
		one.Reset()
		two.Reset()
		synctest.Wait()
		w.put(t, 1, 16<<20)
	})
}

func TestRequestRate(t *testing.T) {
	l := wire.DefaultLimits()
	l.Requests, l.Burst = 10, 5
	bubble(t, l, func(t *testing.T, w *world) {
		start := time.Now()
		for range 25 {
			_, err := w.bobPeer().Info(t.Context())
			check(t, err)
		}
		if took := time.Since(start); took != 2100*time.Millisecond { // the stream counts, too
			t.Errorf("25 requests took %v", took)
		}
	})
}

func TestByteRate(t *testing.T) {
	l := wire.DefaultLimits()
	l.BytesPerSecond = 1 << 20
	bubble(t, l, func(t *testing.T, w *world) {
		start := time.Now()
		for i := range uint64(24) { // the first 16 MiB are the burst
			w.put(t, i, 1<<20)
		}
		if took := time.Since(start); took < 7*time.Second || took > 9*time.Second {
			t.Errorf("24 MiB took %v", took)
		}
	})
}

func TestStrangerRate(t *testing.T) {
	bubble(t, wire.Limits{}, func(t *testing.T, w *world) {
		carol := newPerson(t)
		s := &wire.Stranger{Open: w.stranger(t, carol)}
		start := time.Now()
		for range 20 {
			_, err := s.Join(t.Context(), []byte("guess"), carol.raw, "carol")
			want(t, err, wire.ErrTicket)
			synctest.Wait() // until bob has seen that the stream is closed
		}
		if took := time.Since(start); took < 4*time.Second {
			t.Errorf("20 guesses took %v", took)
		}
	})
}

// A caller beyond the pool's streams waits for one; it does not open more.
func TestPoolBounds(t *testing.T) {
	bubble(t, wire.Limits{}, func(t *testing.T, w *world) {
		w.put(t, 1, 1000)
		w.depot.writing = make(chan struct{})
		data := randomBytes(2, 1000)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { check(t, w.bobPeer().Put(t.Context(), wire.Put{Shard: crypt.Sum(data)}, data)) })
		}
		synctest.Wait()
		if n := w.depot.opened(); n != 8 {
			t.Errorf("%d puts at once", n)
		}
		for range 20 {
			<-w.depot.writing
		}
		wg.Wait()
		if n := w.opened.Load(); n != 8 {
			t.Errorf("%d streams", n)
		}
	})
}

// Idle streams go away at the client's end first.
func TestIdleStreamsClose(t *testing.T) {
	bubble(t, wire.Limits{}, func(t *testing.T, w *world) {
		w.put(t, 1, 1000)
		_, err := w.bobPeer().Info(t.Context())
		check(t, err)
		streams := w.dialer.(interface{ Streams() int })
		if n := streams.Streams(); n != 2 {
			t.Errorf("%d streams", n)
		}
		time.Sleep(91 * time.Second)
		if n := streams.Streams(); n != 0 {
			t.Errorf("%d streams after a pause", n)
		}
		w.put(t, 2, 1000)
	})
}
