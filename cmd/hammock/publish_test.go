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
		propose  offer // if it has a head
		now      bool
		unplaced []uint64
		want     uint64 // the counter of the head that may go out; 0: none
		fresh    bool
	}{
		{want: 0},
		{propose: head(1, 10, 11), unplaced: []uint64{10, 11}, want: 0},
		{propose: head(2, 10, 12), unplaced: []uint64{10, 12}, want: 0}, // 1 has not gone out yet
		{unplaced: []uint64{12}, want: 1, fresh: true},
		{propose: head(3, 12, 13), unplaced: []uint64{12, 13}, want: 1},
		{propose: head(4, 14), now: true, unplaced: []uint64{13, 14}, want: 1}, // a sync wants just this one
		{propose: head(5, 15), unplaced: []uint64{13, 15}, want: 4, fresh: true},
		{propose: head(4), want: 4},
		{propose: head(6), want: 6, fresh: true},
		{want: 6},
	} {
		if c.propose.head != nil {
			p.propose(c.propose, c.now)
		}
		unplaced := map[uint64]bool{}
		for _, s := range c.unplaced {
			unplaced[s] = true
		}
		o, fresh := p.advance(unplaced)
		got := uint64(0)
		if o != nil {
			got = o.counter
		}
		if got != c.want || fresh != c.fresh {
			t.Errorf("step %d: head %d may go out (new: %v), want %d (%v)", i, got, fresh, c.want, c.fresh)
		}
	}
}
