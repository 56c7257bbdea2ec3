package cache

import (
	"context"
	"errors"
	"sync"
)

// flights lets one goroutine do what several want at the same time.
type flights[K comparable, V any] struct {
	mu sync.Mutex
	m  map[K]*flight[V]
}

type flight[V any] struct {
	done chan struct{}
	v    V
	err  error
}

// errAlone is what waiters see when their leader panicked; they try themselves.
var errAlone = errors.New("the goroutine that did this work died")

// do calls f unless another goroutine is in f for the same key; then it waits
// for that one and takes its result. A leader whose own context ended, or that
// failed, decides nothing for the others: each of them tries in turn.
func (g *flights[K, V]) do(ctx context.Context, k K, f func() (V, error)) (V, error) {
	for {
		g.mu.Lock()
		fl, busy := g.m[k]
		if !busy {
			fl = g.board(k)
			g.mu.Unlock()
			return g.fly(k, fl, f)
		}
		g.mu.Unlock()
		select {
		case <-fl.done:
			if fl.err == nil {
				return fl.v, nil
			}
		case <-ctx.Done():
			var zero V
			return zero, ctx.Err()
		}
	}
}

func (g *flights[K, V]) board(k K) *flight[V] {
	if g.m == nil {
		g.m = make(map[K]*flight[V])
	}
	fl := &flight[V]{done: make(chan struct{}), err: errAlone}
	g.m[k] = fl
	return fl
}

func (g *flights[K, V]) fly(k K, fl *flight[V], f func() (V, error)) (V, error) {
	defer func() {
		g.mu.Lock()
		delete(g.m, k)
		g.mu.Unlock()
		close(fl.done)
	}()
	fl.v, fl.err = f()
	return fl.v, fl.err
}
