package integration

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// memoryLimit is the most that the mounting daemon may ever have resident, in
// KiB.
const memoryLimit = 512 << 10

// peak is the most resident memory that the node's process ever had, in KiB, as
// the kernel has kept it.
func (n *node) peak() (kib int) {
	n.t.Helper()
	pid, ok := n.pid()
	if !ok {
		n.t.Fatal("the node does not run")
	}
	for line := range strings.Lines(string(mustRead(n.t, fmt.Sprintf("/proc/%d/status", pid)))) {
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			return kib
		}
	}
	n.t.Fatal("the kernel does not say how much memory the node had")
	return 0
}

// TestMemory does at once whatever takes memory: large files, small ones, and
// small writes at random places.
func TestMemory(t *testing.T) {
	needMount(t, "fio")
	w := newWorld(t, 6, "4+2")
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
		program(t, w.dir, "fio", "--name=random", "--rw=randwrite", "--bs=4k", "--ioengine=psync", "--output-format=terse",
			full("--size=64M", "--size=16M"))
	})
	load.Wait()
	w.must("sync")
	w.must("cache", "drop")
	for i := range 2 {
		load.Go(func() { sumFile(t, w.path(fmt.Sprint("large-", i))) })
		load.Go(func() { program(t, w.dir, "tar", "-cf", os.DevNull, fmt.Sprint("tree-", i)) })
	}
	load.Wait()
	peak := w.peak()
	t.Logf("at most %d MiB were resident", peak>>10)
	if peak >= memoryLimit {
		t.Errorf("%d KiB were resident, and %d are the limit", peak, memoryLimit)
	}
	w.unmount()
}
