package integration

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/hammockfs/hammock/integration/liar"
)

// fullSize says whether tests that are smaller in CI are to be as large as the
// promises are: HAMMOCK_FULL, or a soak.
func fullSize() bool { return os.Getenv("HAMMOCK_FULL") != "" || soak() }

// wipe empties the disk of a peer that goes on.
func (n *node) wipe() {
	n.t.Helper()
	n.kill()
	if err := os.RemoveAll(filepath.Join(n.State, "depot")); err != nil {
		n.t.Fatal(err)
	}
	n.serve()
}

// honest ends the lies of a peer, which still has what it was given.
func (n *node) honest(bin string) {
	n.t.Helper()
	n.kill()
	n.Bin = bin
	n.serve()
}

// awaitLong is await for what takes as long as there are bytes.
func (n *node) awaitLong(what string, wanted func(*status) bool) {
	n.t.Helper()
	limit := 2 * time.Minute
	if fullSize() {
		limit = 20 * time.Minute
	}
	if err := n.Await(what, limit, wanted); err != nil {
		n.t.Fatal(err)
	}
}

// awaitWhole waits until all stripes can lose so many shards, by itself.
func (w *world) awaitWhole(spare int) {
	w.t.Helper()
	w.awaitLong("all is whole", func(s *status) bool { return s.Whole(spare) && s.Volume.Repair.Stripes == 0 })
}

// TestAllPairs has any two of the six peers of a 4+2 volume lose everything or
// lie, one pair after the other: all is read as it was written. At the end one
// lies and one is wiped, and a seventh peer brings all redundancy back.
func TestAllPairs(t *testing.T) {
	t.Parallel()
	needMount(t)
	files, size := 12, int64(4<<20) // 48 MiB
	if fullSize() {
		files, size = 64, 32<<20
	}
	w := newVolume(t, "4+2")
	w.set("audit_every", "200ms")
	w.set("repair_rate", -1)
	w.mount()
	for range 6 {
		w.addPeer("20G")
	}
	w.awaitPeers()
	sums := map[string][32]byte{}
	for i := range files {
		name := "file" + strconv.Itoa(i)
		sums[name] = writeStream(t, w.path(name), unlike(byte(i), size))
	}
	w.must("sync")
	w.awaitWhole(2)
	begun, pairs := time.Now(), 0
	for i := range w.peers {
		for j := range i {
			w.loseTwo(t, []*node{w.peers[i], w.peers[j]}, pairs%2 == 0, sums)
			if pairs++; t.Failed() {
				t.Fatalf("at the peers %d and %d", i+1, j+1)
			}
		}
	}
	t.Logf("%d pairs of %d MiB in %v", pairs, int64(files)*size>>20, time.Since(begun))
	begun = time.Now()
	held := w.peers[1].status().Held
	w.peers[0].lie(liar.Wrong, 0)
	w.peers[1].wipe()
	w.addPeer("20G")
	w.awaitPeers()
	w.must("cache", "drop")
	w.same(t, sums)
	for _, p := range []*node{w.peers[1], w.peers[6]} {
		p.awaitLong("it has its share", func(s *status) bool { return s.Held >= held*9/10 })
	}
	// What was written after seven were there wants a home on all seven.
	w.awaitLong("all can lose two more", func(s *status) bool { return s.Whole(2) })
	t.Logf("a seventh peer made everything whole in %v", time.Since(begun))
	w.peers[0].kill() // it never counted
	w.must("cache", "drop")
	w.same(t, sums)
}

// loseTwo has two peers lie, or wipes them, reads everything, and waits until
// all is whole again: every one of the six holds a shard of each stripe.
func (w *world) loseTwo(t *testing.T, pair []*node, lies bool, sums map[string][32]byte) {
	t.Helper()
	bin, held := w.Bin, w.peers[0].status().Held
	for _, p := range pair {
		if lies {
			p.lie(liar.Wrong, 0)
		} else {
			p.wipe()
		}
	}
	w.awaitPeers()
	w.elsewhereWithout(t)
	w.same(t, sums)
	for _, p := range pair {
		if lies {
			p.honest(bin)
			w.must("peers", "forgive", filepath.Base(p.State))
		}
	}
	w.awaitPeers()
	if fullSize() {
		for _, p := range pair { // by itself, but for what nobody has asked for yet
			p.awaitLong("what was lost is back", func(s *status) bool { return s.Held >= held*9/10 })
		}
	}
	w.awaitLong("every shard is where it should be", func(*status) bool {
		_, err := w.Run("repair", "--now") // asks for each
		return err == nil
	})
	w.awaitWhole(2)
}
