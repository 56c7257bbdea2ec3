package placement

import (
	"sync"
	"time"
)

// speeds remembers how fast stores answered lately, so that reads ask the fastest and know what is late.
type speeds struct {
	mu  sync.Mutex
	of  map[uint32]time.Duration // exponential averages of the time of a read, beyond what a full line explains
	all time.Duration
}

// note takes the time of a read that succeeded; a failure counts as penalty.
func (s *speeds) note(store uint32, took time.Duration, ok bool) {
	const penalty = 2 * time.Second
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok {
		s.of[store] = average(s.of[store], max(took, penalty))
		return
	}
	s.of[store] = average(s.of[store], took)
	s.all = average(s.all, took)
}

func average(old, sample time.Duration) time.Duration {
	if old == 0 {
		return max(sample, 1)
	}
	return old + (sample-old)/4
}

// expect is the time that a read from the store is expected to take; 0 if nothing is known.
func (s *speeds) expect(store uint32) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[store]
}

// slow takes the time after which a read was given up.
func (s *speeds) slow(store uint32, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if took > s.of[store] {
		s.of[store] = took
	}
}

// late is how long a read may take, beyond what a full line explains, before another is asked: twice what reads take lately, and at least least.
func (s *speeds) late(least time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(least, 2*s.all)
}
