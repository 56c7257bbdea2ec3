package placement

import "testing"

// A store that loses again what was put back has lost two.
func TestBlame(t *testing.T) {
	var cfg Config
	cfg.defaults()
	s := newStandings(&cfg)
	rec := &Record{Stripe: 7}
	for range 5 {
		s.blame(1, eventLost, rec, 2)
	}
	if st := s.get(1); st.Stale || st.Lost > 1 {
		t.Errorf("one lost shard counts as %v", st.Lost)
	}
	rec.Generation++
	s.blame(1, eventLost, rec, 2)
	if !s.get(1).Stale {
		t.Error("a store that loses the same shard again and again is never found")
	}
}
