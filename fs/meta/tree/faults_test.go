package tree

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// rotten changes bytes of what its nodes give back, and can refuse to serve.
type rotten struct {
	memNodes
	rng    *rand.Rand
	refuse func() error
}

func (r *rotten) Get(ctx context.Context, p Pointer) ([]byte, error) {
	if r.refuse != nil {
		if err := r.refuse(); err != nil {
			return nil, err
		}
	}
	b, err := r.memNodes.Get(ctx, p)
	if err != nil || r.rng == nil || r.rng.IntN(8) > 0 {
		return b, err
	}
	b = slices.Clone(b)
	for range 1 + r.rng.IntN(3) {
		b[r.rng.IntN(len(b))] = byte(r.rng.IntN(256))
	}
	return b, nil
}

func (r *rotten) Put(ctx context.Context, leaf bool, b []byte) (Pointer, error) {
	if r.refuse != nil {
		if err := r.refuse(); err != nil {
			return nil, err
		}
	}
	return r.memNodes.Put(ctx, leaf, b)
}

// TestForgedNodes reads and folds trees whose nodes were changed at random. Whatever comes of it, it comes to an end,
// and what a fold writes can be read.
func TestForgedNodes(t *testing.T) {
	ctx := context.Background()
	for seed := range uint64(100) {
		m := &rotten{}
		s := small(m, 200)
		s.cache = newCache(0) // so that every visit reads anew
		r, err := s.Fold(ctx, Root{}, sequence(0, 500, 3))
		if err != nil {
			t.Fatal(err)
		}
		m.rng = rand.New(rand.NewPCG(seed, 9))
		for it := s.Seek(ctx, r, key8(20)); it.Next(); {
			_, _ = it.Key(), it.Value()
		}
		_, _, _ = s.Get(ctx, r, key8(300), nil)
		got, err := s.Fold(ctx, r, listed([]Edit{
			{Op: Put, Key: key8(100)}, {Op: DeleteRange, Key: key8(200), End: key8(700)}, {Op: Delete, Key: key8(900)},
		}))
		if err != nil {
			continue
		}
		n := m.nodes[len(m.nodes)-1]
		if _, err := parse(nil, n); err != nil {
			t.Errorf("seed %d: a node was written that cannot be read: %v (%v)", seed, err, got)
		}
	}
}

func TestErrorsOfNodes(t *testing.T) {
	ctx, boom := context.Background(), errors.New("boom")
	m := &rotten{}
	s := small(m, 200)
	r, err := s.Fold(ctx, Root{}, sequence(0, 500, 3))
	if err != nil {
		t.Fatal(err)
	}
	s = small(m, 200)
	edits := []Edit{{Op: Put, Key: key8(100)}, {Op: Delete, Key: key8(900)}}
	for calls := 0; ; calls++ { // the n-th call of the nodes fails
		left := calls
		m.refuse = func() error {
			if left--; left < 0 {
				return boom
			}
			return nil
		}
		s.cache = newCache(1 << 20)
		got, err := s.Fold(ctx, r, listed(edits))
		if err == nil {
			if got.Entries != r.Entries || calls < 10 {
				t.Errorf("%v after %d calls", got, calls)
			}
			break
		}
		if !errors.Is(err, boom) {
			t.Fatalf("call %d: %v", calls, err)
		}
	}
	m.refuse = func() error { return boom }
	s.cache = newCache(1 << 20)
	if _, _, err := s.Get(ctx, r, key8(0), nil); !errors.Is(err, boom) {
		t.Errorf("get: %v", err)
	}
	m.refuse = nil
	if _, ok, err := s.Get(ctx, r, key8(0), nil); !ok || err != nil {
		t.Errorf("an error stayed in the cache: %v", err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Fold(gone, r, listed(edits)); !errors.Is(err, context.Canceled) {
		t.Errorf("a fold without a caller: %v", err)
	}
}

// TestGivingUpIsNotAnAnswer has the one who loads a node give up while another waits for it.
func TestGivingUpIsNotAnAnswer(t *testing.T) {
	m := &rotten{}
	s := small(m, 200)
	r, err := s.Fold(context.Background(), Root{}, sequence(0, 3, 1))
	if err != nil {
		t.Fatal(err)
	}
	s.cache = newCache(1 << 20)
	first, entered, leave := true, make(chan struct{}), make(chan struct{})
	var mu sync.Mutex
	m.refuse = func() error {
		mu.Lock()
		defer mu.Unlock()
		if !first {
			return nil
		}
		first = false
		close(entered)
		<-leave
		return context.Canceled
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, _, err := s.Get(context.Background(), r, key8(1), nil); !errors.Is(err, context.Canceled) {
			t.Errorf("the first: %v", err)
		}
	})
	<-entered
	wg.Go(func() {
		if _, ok, err := s.Get(context.Background(), r, key8(1), nil); !ok || err != nil {
			t.Errorf("the second: %v", err)
		}
	})
	close(leave)
	wg.Wait()
}
