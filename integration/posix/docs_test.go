//go:build linux

package posix

import (
	"os"
	"strings"
	"testing"
)

// rows reads the table of docs/POSIX.md: the first cell of each row, and what
// it says about the difference.
func rows(t *testing.T) map[string][]string {
	t.Helper()
	b, err := os.ReadFile("../../docs/POSIX.md")
	if err != nil {
		t.Fatal(err)
	}
	table := map[string][]string{}
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 || !strings.HasPrefix(line, "|") {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if _, twice := table[cells[0]]; twice && cells[0] != "operation or rule" && !strings.HasPrefix(cells[0], "--") {
			t.Errorf("docs/POSIX.md has two rows %q", cells[0])
		}
		table[cells[0]] = cells[1:]
	}
	return table
}

// TestDifferencesAreDocumented looks for the row of each difference, and for a
// reason in it.
func TestDifferencesAreDocumented(t *testing.T) {
	table := rows(t)
	for _, d := range Differences {
		row, ok := table[d.Rule]
		if !ok {
			t.Errorf("docs/POSIX.md has no row %q, for %s: %s", d.Rule, d.Case, d.Call)
			continue
		}
		if row[0] == row[1] || row[2] == "" {
			t.Errorf("docs/POSIX.md: the row %q says of no difference, or not why", d.Rule)
		}
	}
}

// TestDifferencesHaveCases finds differences of cases that are no more.
func TestDifferencesHaveCases(t *testing.T) {
	known := map[string]bool{}
	for _, c := range Cases() {
		if known[c.Name] {
			t.Errorf("two cases are called %q", c.Name)
		}
		known[c.Name] = true
	}
	for _, d := range Differences {
		if !known[d.Case] {
			t.Errorf("there is no case %q", d.Case)
		}
		if d.Ext4 == d.Hammock {
			t.Errorf("%s: %s: no difference", d.Case, d.Call)
		}
	}
}
