package integration

import (
	"fmt"
	"os"
	"sync"
	"testing"
)

// memoryLimit is the most that the mounting daemon may ever have resident, in
// KiB.
const memoryLimit = 512 << 10

// peak is the most resident memory that the node's process ever had, in KiB.
func (n *node) peak() (kib int) {
	n.t.Helper()
	bytes := n.Peak()
	if bytes == 0 {
		n.t.Fatal("the node does not run, or the kernel does not say how much memory it had")
	}
	return int(bytes >> 10)
}

// TestMemory does at once whatever takes memory: large files, small ones, and
// small writes at random places; then reads all of it while a peer that lost
// everything gets its shards back, and audits go on all the time.
func TestMemory(t *testing.T) {
	needMount(t, "fio")
	w := newVolume(t, "4+2")
	w.set("audit_every", "20ms")
	w.mount()
	for range 6 {
		w.addPeer("20G")
	}
	w.awaitPeers()
	source := goSource(t)
	small := full(source, source+"/net")
	size := full[int64](384<<20, 96<<20)
	var load sync.WaitGroup
	for i := range 2 {
		load.Go(func() { copyTree(t, small, w.path(fmt.Sprint("tree-", i))) })
		load.Go(func() {
			if err := fill(w.path(fmt.Sprint("large-", i)), size); err != nil {
				t.Error(err)
			}
		})
	}
	load.Go(func() {
		program(t, w.Dir, "fio", "--name=random", "--rw=randwrite", "--bs=4k", "--ioengine=psync", "--output-format=terse",
			full("--size=64M", "--size=16M"))
	})
	load.Wait()
	w.must("sync")
	w.must("cache", "drop")
	lost := w.peers[0]
	held := lost.status().Held
	lost.wipe()
	w.awaitPeers()
	for i := range 2 {
		load.Go(func() { sumFile(t, w.path(fmt.Sprint("large-", i))) })
		load.Go(func() { program(t, w.Dir, "tar", "-cf", os.DevNull, fmt.Sprint("tree-", i)) })
	}
	load.Wait()
	lost.awaitLong("a good part of what was lost is back", func(s *status) bool { return s.Held >= held/4 })
	if audits := w.status().Record(lost.Name).Audits; audits == 0 {
		t.Error("nobody was ever audited")
	}
	peak := w.peak()
	t.Logf("at most %d MiB were resident", peak>>10)
	if peak >= memoryLimit {
		t.Errorf("%d KiB were resident, and %d are the limit", peak, memoryLimit)
	}
	w.unmount()
}
