//go:build linux

package posix

import (
	"fmt"
	"slices"
)

// Difference is a step that has another result than on ext4, on purpose.
type Difference struct {
	Case, Call    string
	Ext4, Hammock string
	// Rule is the row of docs/POSIX.md that gives the reason.
	Rule string
}

// Compare returns what is wrong with transcripts, given the truth and what may
// differ from it: steps with another result, differences that are no more or
// are not what is expected, cases that are missing.
func Compare(truth, test []Transcript, expected []Difference) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	used := make([]bool, len(expected))
	if len(truth) != len(test) {
		fault("%d cases on ext4, %d on hammock", len(truth), len(test))
		return faults
	}
	for i := range truth {
		a, b := truth[i].Steps, test[i].Steps
		for s := range max(len(a), len(b)) {
			if s >= len(a) || s >= len(b) || a[s].Call != b[s].Call {
				fault("%s: other calls from step %d on: ext4 %v, hammock %v", truth[i].Case, s+1, from(a, s), from(b, s))
				break
			}
			d := find(expected, used, truth[i].Case, a[s].Call)
			differs := a[s].Result != b[s].Result
			switch {
			case d < 0 && differs:
				fault("%s: %s: %s, on ext4 %s", truth[i].Case, a[s].Call, b[s].Result, a[s].Result)
			case d >= 0 && (a[s].Result != expected[d].Ext4 || b[s].Result != expected[d].Hammock):
				fault("%s: %s: %s, on ext4 %s; expected was %s and %s", truth[i].Case, a[s].Call,
					b[s].Result, a[s].Result, expected[d].Hammock, expected[d].Ext4)
			}
		}
	}
	for i := range expected {
		if !used[i] && slices.ContainsFunc(truth, func(t Transcript) bool { return t.Case == expected[i].Case }) {
			fault("%s: no step %q, of which a difference is expected", expected[i].Case, expected[i].Call)
		}
	}
	return faults
}

// find returns the next expected difference that is not used yet of a call, or
// -1, and notes that it is used. A call that occurs more often has a difference
// for each time.
func find(expected []Difference, used []bool, name, call string) int {
	for i := range expected {
		if !used[i] && expected[i].Case == name && expected[i].Call == call {
			used[i] = true
			return i
		}
	}
	return -1
}

func from(steps []Step, at int) string {
	if at >= len(steps) {
		return "nothing"
	}
	return fmt.Sprintf("%s: %s", steps[at].Call, steps[at].Result)
}
