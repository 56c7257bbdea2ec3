//go:build linux

package posix

import (
	"strings"
	"testing"
)

// TestCompare shows that each kind of fault is found.
func TestCompare(t *testing.T) {
	is := func(steps ...Step) []Transcript { return []Transcript{{"theme/case", steps}} }
	same := []Step{{"open f", "ok"}, {"stat f", "ENOENT"}}
	expected := []Difference{{"theme/case", "stat f", "ENOENT", "ok", "rule"}}
	for _, c := range []struct {
		name        string
		truth, test []Transcript
		expected    []Difference
		fault       string // "" if there is none
	}{
		{"equal", is(same...), is(same...), nil, ""},
		{"another result", is(same...), is(same[0], Step{"stat f", "ok"}), nil, "stat f: ok, on ext4 ENOENT"},
		{"an expected difference", is(same...), is(same[0], Step{"stat f", "ok"}), expected, ""},
		{"a difference that is no more", is(same...), is(same...), expected, "expected was ok and ENOENT"},
		{"another difference", is(same...), is(same[0], Step{"stat f", "EIO"}), expected, "stat f: EIO"},
		{"a step that is no more", is(same[0]), is(same[0]), expected, "no step \"stat f\""},
		{"other calls", is(same...), is(same[0], Step{"lstat f", "ok"}), nil, "other calls from step 2"},
		{"missing steps", is(same...), is(same[0]), nil, "other calls from step 2"},
		{"missing cases", is(same...), nil, nil, "1 cases on ext4, 0 on hammock"},
	} {
		faults := strings.Join(Compare(c.truth, c.test, c.expected), "\n")
		if (c.fault == "") != (faults == "") || !strings.Contains(faults, c.fault) {
			t.Errorf("%s: %q", c.name, faults)
		}
	}
}
