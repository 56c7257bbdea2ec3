package integration

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// files sets how many descriptors the node's process may have, and returns what
// puts it back. What is open stays open.
func (n *node) files(limit uint64) (back func()) {
	n.t.Helper()
	pid, ok := n.pid()
	if !ok {
		n.t.Fatal("the node does not run")
	}
	var was unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &was); err != nil {
		n.t.Fatal(err)
	}
	set := func(cur uint64) {
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: cur, Max: was.Max}, nil); err != nil {
			n.t.Error(err)
		}
	}
	set(limit)
	return func() { set(was.Cur) }
}

// TestNoDescriptors takes all descriptors from the mounting node, and from a
// peer, for a while. What cannot be opened then is not taken for damaged or lost,
// and what was acknowledged is there afterwards.
func TestNoDescriptors(t *testing.T) {
	needMount(t)
	w := newWorld(t, 3, "2+1")
	content := func(i int) []byte { return bytes.Repeat([]byte(fmt.Sprintf("%08d", i)), 50_000*(1+i%3)) }
	kept := map[int]bool{}
	put := func(i int) error {
		err := os.WriteFile(w.path(fmt.Sprint("file-", i)), content(i), 0o644)
		kept[i] = err == nil
		return err
	}
	for i := range 8 {
		if err := put(i); err != nil {
			t.Fatal(err)
		}
	}
	w.must("sync")
	w.must("cache", "drop")
	backs := []func(){w.files(3), w.peers[0].files(3)}
	failed := 0
	for i := range 8 {
		b, err := os.ReadFile(w.path(fmt.Sprint("file-", i)))
		if err != nil {
			failed++
		} else if !bytes.Equal(b, content(i)) {
			t.Errorf("file %d has %d bytes, and not those that were written", i, len(b))
		}
		if i == 4 && put(100+i) != nil {
			failed++
		}
	}
	t.Logf("%d calls failed without descriptors", failed)
	for _, back := range backs {
		back()
	}
	for i := range 8 {
		if err := put(200 + i); err != nil {
			t.Errorf("with descriptors again: %v", err)
		}
	}
	w.must("sync", "--timeout", "2m")
	for i, ok := range kept {
		if b, err := os.ReadFile(w.path(fmt.Sprint("file-", i))); ok && (err != nil || !bytes.Equal(b, content(i))) {
			t.Errorf("file %d: %d bytes, %v", i, len(b), err)
		}
	}
	if s := w.status().Volume; s.Lost > 0 {
		t.Errorf("%d stripes are taken for lost", s.Lost)
	}
	for _, n := range append(w.peers, w.node) {
		log := mustRead(t, filepath.Join(n.state, "log"))
		for _, word := range []string{"do not open", "is lost", "damaged"} {
			if bytes.Contains(log, []byte(word)) {
				t.Errorf("the log of %s says %q:\n%s", n.state, word, n.lastLog())
			}
		}
	}
	w.check("--data")
	w.unmount()
}

// TestFilledPeers has others fill the disk below a peer's depot, and restarts the
// peer then. It takes nothing more and keeps what it had; with room again it
// takes part as before.
func TestFilledPeers(t *testing.T) {
	needMount(t)
	base := t.TempDir()
	disk := newSmallDisk(t, filepath.Join(base, "peer-1", "depot"), 200<<20)
	w := newVolumeIn(t, base, "2+1")
	w.mount()
	for range 3 {
		w.addPeer("1G")
	}
	w.awaitPeers()
	const size = 8 << 20
	content := stream(3*size, 0)
	first := writeStream(t, w.path("first"), io.LimitReader(content, size))
	w.must("sync", "--timeout", "2m")
	disk.fill()
	second := writeStream(t, w.path("second"), content)
	if _, err := w.try("sync", "--timeout", "3s"); err == nil {
		t.Error("everything was placed on three peers, one of which has no room")
	}
	w.peers[0].kill()
	w.peers[0].serve("--give", "1G")
	disk.free()
	if !soak() { // else the peers say how much is free when they greet one another next, which is once a minute
		w.peers[0].kill()
		w.peers[0].serve("--give", "1G")
	}
	w.must("sync", "--timeout", "2m")
	w.must("cache", "drop")
	for name, want := range map[string][32]byte{"first": first, "second": second} {
		if got := sumFile(t, w.path(name)); got != want {
			t.Errorf("%s is not what was written", name)
		}
	}
	w.check("--data")
	w.unmount()
}
