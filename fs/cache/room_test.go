package cache

import "testing"

// TestRoom follows Room and the pinned bytes through writes, placement,
// eviction and a restart; both are counted along, not summed up.
func TestRoom(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limit = 10 << 20; c.Target = func(uint8) int { return 100_000 } })
	look := func(when string) {
		t.Helper()
		var pinned int64
		r.mu.Lock()
		for _, s := range r.stripes {
			if s.pinned {
				pinned += int64(s.size)
			}
		}
		limit := r.dataLimit()
		r.mu.Unlock()
		if got := r.Usage().Pinned; got != pinned || r.Room() != limit-pinned {
			t.Errorf("%s: %d bytes counted as pinned, %d are; room for %d of %d", when, got, pinned, r.Room(), limit)
		}
	}
	look("empty")
	for i := range 10 {
		r.put(ClassData, random(uint64(i), 300_000))
	}
	look("written")
	if r.Room() > 7<<20 {
		t.Error("what is only here does not count")
	}
	r.reopen()
	look("after a restart")
	r.put(ClassData, random(99, 10_000))
	look("with an open stripe")
	r.place()
	look("placed")
	r.drop()
	look("dropped")
}
