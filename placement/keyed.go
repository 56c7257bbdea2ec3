package placement

import (
	"context"
	"sync"
)

// keyed is a lock for each stripe that somebody works on.
type keyed struct {
	mu   sync.Mutex
	held map[uint64]*keyedLock
}

type keyedLock struct {
	token chan struct{} // holds one element while the lock is taken
	users int           // guarded by keyed.mu
}

// lock waits for the stripe's lock; the result unlocks it.
func (k *keyed) lock(ctx context.Context, stripe uint64) (func(), error) {
	k.mu.Lock()
	if k.held == nil {
		k.held = map[uint64]*keyedLock{}
	}
	l := k.held[stripe]
	if l == nil {
		l = &keyedLock{token: make(chan struct{}, 1)}
		k.held[stripe] = l
	}
	l.users++
	k.mu.Unlock()
	select {
	case l.token <- struct{}{}:
		return func() { <-l.token; k.leave(stripe, l) }, nil
	case <-ctx.Done():
		k.leave(stripe, l)
		return nil, ctx.Err()
	}
}

func (k *keyed) leave(stripe uint64, l *keyedLock) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(k.held, stripe)
	}
}
