package main

import (
	"testing"
)

// TestHeadsWaitForWhatTheyName: a head goes out when all that it names is on peers; one that waits is not overtaken by
// newer ones, which name more, so that a volume that is always written to publishes all the same.
func TestHeadsWaitForWhatTheyName(t *testing.T) {
	var p publisher
	head := func(counter uint64, needs ...uint64) offer { return offer{[]byte{byte(counter)}, counter, needs} }
	for i, c := range []struct {
		newest   offer
		unplaced []uint64
		sync     bool
		want     uint64 // the counter of the head that may go out; 0: none
		fresh    bool
	}{
		{newest: offer{}, want: 0},
		{newest: head(1, 10, 11), unplaced: []uint64{10, 11}, want: 0},
		{newest: head(2, 10, 12), unplaced: []uint64{10, 12}, want: 0},
		{newest: head(2, 12), unplaced: []uint64{12}, want: 1, fresh: true},        // 2 waits now
		{newest: head(3, 12, 13), unplaced: []uint64{12, 13}, want: 1},             // and goes on waiting
		{newest: head(3, 13), unplaced: []uint64{13}, want: 2, fresh: true},        // 3 waits
		{newest: head(4, 14), unplaced: []uint64{14}, want: 3, fresh: true},        // 4 waits
		{newest: head(5, 14, 15), unplaced: []uint64{14, 15}, sync: true, want: 3}, // a sync wants just this one
		{newest: head(6, 14, 16), unplaced: []uint64{14, 16}, want: 3},
		{newest: head(6), want: 6, fresh: true},
		{newest: head(6), want: 6},
	} {
		if c.sync {
			p.propose(c.newest)
		}
		unplaced := map[uint64]bool{}
		for _, s := range c.unplaced {
			unplaced[s] = true
		}
		o, fresh := p.advance(c.newest, unplaced)
		got := uint64(0)
		if o != nil {
			got = o.counter
		}
		if got != c.want || fresh != c.fresh {
			t.Errorf("step %d: head %d may go out (new: %v), want %d (%v)", i, got, fresh, c.want, c.fresh)
		}
	}
}
