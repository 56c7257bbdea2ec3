package main

import (
	"testing"
	"time"
)

// TestPace: a week with nobody there leaves few checkpoints, and somebody's return makes one at once; so does an error,
// until one has succeeded, and the head's going out that all others waited for.
func TestPace(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	there := false
	p := pace{helps: func() bool { return there }, last: at}
	pass := func(d time.Duration) (due int) {
		for end := at.Add(d); at.Before(end); {
			at = at.Add(checkpointEvery)
			if p.due(at) {
				due++
			}
		}
		return due
	}
	const week = 7 * 24 * time.Hour
	if n := pass(week); n > int(week/checkpointSeldom) || n < int(week/checkpointSeldom)-1 {
		t.Errorf("%d checkpoints in a week with nobody there", n)
	}
	pass(time.Minute)
	there = true
	if n := pass(checkpointEvery); n != 1 {
		t.Errorf("%d checkpoints when somebody came", n)
	}
	if n := pass(time.Hour); n != int(time.Hour/checkpointEvery) {
		t.Errorf("%d checkpoints in an hour with somebody there", n)
	}
	there = false
	if n := pass(checkpointSeldom - checkpointEvery); n != 0 {
		t.Errorf("%d checkpoints after he had gone", n)
	}
	for range 3 {
		p.failed()
		if n := pass(checkpointEvery); n != 1 {
			t.Errorf("%d checkpoints after one that failed", n)
		}
	}
}
