package mount

import (
	"fmt"
	"maps"
	"testing"
)

// TestRequestCounts holds what the kernel asks when programs do the things that
// they do most. Each request is a way to the daemon and back, and dearer than
// what is done there.
func TestRequestCounts(t *testing.T) {
	const n = 50
	c, dir := mountCounted(t, true)
	ask := startWorker(t, dir)
	for _, tc := range []struct {
		work string
		want map[string]int
	}{
		// The kernel asks for the folder's attributes, all of which it forgets when it
		// changes the folder. It does not ask for the new file's, and for the capability
		// that a write would take away only where the file is cut first.
		{"create", map[string]int{"GETATTR": n, "LOOKUP": n, "CREATE": n, "WRITE": n, "FLUSH": n}},
		{"overwrite", map[string]int{"GETATTR": 1, "OPEN": n, "SETATTR": n, "GETXATTR": n, "WRITE": n, "FLUSH": n}},
		// A write makes the kernel forget times and blocks, whatever is answered.
		{"stat-new", map[string]int{"GETATTR": 1 + n}},
		{"stat-again", map[string]int{}},
		{"open-read-close", map[string]int{"OPEN": n}},
	} {
		ask("prepare", tc.work, n)
		c.counts()
		ask("run", tc.work, n)
		got := c.counts()
		if tc.work == "open-read-close" { // its only file is read once
			delete(got, "READ")
			delete(got, "GETATTR")
		}
		if !maps.Equal(got, tc.want) {
			t.Errorf("%s of %d files: the kernel asked %v, want %v", tc.work, n, got, tc.want)
		}
	}
}

// TestLargeListing holds that programs which list a directory and look at each
// entry then, as du does, need not ask for each.
func TestLargeListing(t *testing.T) {
	const n = 1000
	c, dir := mountCounted(t, true)
	v := c.RawFileSystem.(*Server).volume
	for i := range n { // the kernel knows nothing of these
		putFile(t, v, fmt.Sprint("file", i), []byte("x"))
	}
	if got := shell(t, dir, `du -a "$D" | wc -l`); got != fmt.Sprint(n+1) {
		t.Errorf("%s are there", got)
	}
	if got := c.counts(); got["LOOKUP"]+got["GETATTR"] > n/100 {
		t.Errorf("the kernel asked %v for %d files", got, n)
	}
}
