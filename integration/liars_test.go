package integration

import (
	"crypto/sha256"
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/hammockfs/hammock/integration/liar"
	"github.com/hammockfs/hammock/integration/rig"
)

// lie has a peer lie from now on. It is another program on the same state.
func (n *node) lie(mode liar.Mode, delay time.Duration) {
	n.t.Helper()
	n.kill()
	self, err := os.Executable()
	if err != nil {
		n.t.Fatal(err)
	}
	cmd := rig.Grouped(exec.Command(self))
	cmd.Cancel = nil
	cmd.Env = liar.Env(mode, n.State, delay)
	end, err := n.Replace(cmd, liar.Ready)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(end)
}

// TestLiars has one of four peers lie in each way. It is found, shown, read
// around and replaced: with it and one of the others dead, everything is there.
func TestLiars(t *testing.T) {
	needMount(t)
	delay := 6 * time.Second // an answer is late after five
	if os.Getenv("HAMMOCK_FULL") != "" {
		delay = 20 * time.Second
	}
	for _, c := range []struct {
		mode    liar.Mode
		verdict string
	}{{liar.Slow, "slow"}, {liar.Audits, "liar"}, {liar.Stale, "lost shards"}, {liar.Nothing, "lost shards"}} {
		t.Run(string(c.mode), func(t *testing.T) {
			t.Parallel()
			w := newVolume(t, "2+1")
			w.set("audit_every", "200ms")
			w.mount()
			for range 4 {
				w.addPeer("20G")
			}
			w.awaitPeers()
			w.withLiar(t, c.mode, delay, c.verdict)
		})
	}
}

// withLiar has the first peer lie. Each file is in stripes of its own.
func (w *world) withLiar(t *testing.T, mode liar.Mode, delay time.Duration, verdict string) {
	t.Helper()
	sums := map[string][32]byte{}
	write := func(which byte) {
		name := "file" + strconv.Itoa(int(which))
		sums[name] = writeStream(t, w.path(name), unlike(which, 1<<20))
		w.must("sync")
	}
	for i := range byte(3) {
		write(i)
	}
	w.peers[0].lie(mode, delay)
	w.awaitPeers()
	later := byte(16)      // so many that it has shards which are read when nothing is amiss
	if mode == liar.Slow { // each sync waits for it
		later = 1
	}
	for i := range later {
		write(10 + i)
	}
	w.elsewhere()
	w.same(t, sums)
	w.await("it is shown as "+verdict, func(s *status) bool {
		if mode == liar.Audits && s.Record("peer-1").Verdict != verdict { // only who reads finds out
			w.elsewhereWithout(t)
			w.same(t, sums)
		}
		return s.Record("peer-1").Verdict == verdict
	})
	w.awaitReplaced(mode)
	if mode != liar.Stale { // which has what it had, and is of use
		w.peers[0].kill()
	}
	w.peers[1].kill()
	w.elsewhereWithout(t)
	w.same(t, sums)
}

// awaitReplaced waits until nobody depends on what peer-1 only says that it has.
func (w *world) awaitReplaced(mode liar.Mode) {
	w.t.Helper()
	asked := w.status().Record("peer-1").Audits + 120 // each of its few shards more than once
	w.await("it is replaced", func(s *status) bool {
		if mode == liar.Slow && s.Volume.Repair.Stripes > 0 {
			return false
		}
		if (mode == liar.Stale || mode == liar.Nothing) && s.Record("peer-1").Audits < asked && s.Record("peer-1").Verdict != "liar" {
			return false
		}
		return s.Whole(1)
	})
}

// same compares files with their sums.
func (w *world) same(t *testing.T, sums map[string][32]byte) {
	t.Helper()
	for name, want := range sums {
		f, err := os.Open(w.path(name))
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		f.Close()
		if err != nil || [32]byte(h.Sum(nil)) != want {
			t.Fatalf("%s is not as it was written: %v\n%s\n%s", name, err, w.must("status"), w.lastLog())
		}
	}
}

// elsewhereWithout drops what is here while peers are missing, so that nothing
// more can be brought to them.
func (w *world) elsewhereWithout(t *testing.T) {
	t.Helper()
	w.must("cache", "drop")
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3\n"), 0); err != nil {
		t.Log(err)
	}
}
