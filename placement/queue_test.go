package placement

import (
	"errors"
	"testing"
	"time"
)

// TestBusy says of each state of an upload whether it is under way or about to be.
func TestBusy(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	q := newQueue()
	want := func(when string, placeable, busy bool) {
		t.Helper()
		if q.busy(now, placeable) != busy {
			t.Errorf("%s, stores enough %v: busy should be %v", when, placeable, busy)
		}
	}
	want("empty", true, false)
	q.addRepair(9, 0, time.Time{}, false)
	want("a repair", true, false)
	q.add(1, ClassData, 10, time.Time{})
	want("due", true, true)
	want("due", false, false)
	it, _ := q.next(now, 1, true)
	want("active", false, true)
	q.retry(it, errors.New("no store answers"), now)
	want("failed, to be tried later", true, false)
	q.hurry()
	want("to be tried at once", true, true)
	if it, _ = q.next(now, 1, true); it == nil || it.repair {
		t.Fatal(it)
	}
	q.done(it)
	want("done", true, false)
}

// TestWorstFirst: repairs go by how little a stripe can lose; what cannot be read holds up nothing that can.
func TestWorstFirst(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	q := newQueue()
	for stripe, spare := range map[uint64]int{1: 2, 2: -1, 3: 0, 4: MaxShards, 5: 1, 6: -4} {
		q.addRepair(stripe, spare, time.Time{}, false)
	}
	var order []int
	for {
		it, _ := q.next(now, 1, true)
		if it == nil {
			break
		}
		order = append(order, it.spare)
		q.done(it)
	}
	for i, want := range []int{0, 1, 2, MaxShards} {
		if order[i] != want {
			t.Fatalf("repaired in the order of %v", order)
		}
	}
	if len(order) != 6 {
		t.Fatal(order)
	}
}
