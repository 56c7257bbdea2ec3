package integration

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestSmallCache writes and reads several times what the cache may hold: what
// is safe on peers makes room.
func TestSmallCache(t *testing.T) {
	needMount(t)
	const limit = 64 << 20
	w := newWorld(t, 3, "2+1", "--cache", fmt.Sprint(limit))
	size := full[int64](300<<20, 160<<20)
	sum := writeStream(t, w.path("file"), stream(size, 0))
	if sumFile(t, w.path("file")) != sum {
		t.Error("the file is not what was written")
	}
	w.must("sync")
	forget(t, w.path("file"))
	if sumFile(t, w.path("file")) != sum {
		t.Error("read from peers, the file is not what was written")
	}
	if s := w.status().Volume; s.CacheBytes > limit {
		t.Errorf("the cache holds %d bytes, and may hold %d", s.CacheBytes, limit)
	}
	w.check("--data")
	w.unmount()
}

// TestFullCache fills a cache that has no peers to flow out to: the program is
// told at write(2), what was written before stays, and removing makes room for
// removing, names and small things.
func TestFullCache(t *testing.T) {
	needMount(t)
	w := newWorld(t, 0, "solo", "--cache", "48M")
	sum := writeStream(t, w.path("before"), stream(16<<20, 0))
	err := fill(w.path("filler"), 80<<20)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("writing more than the cache holds gave %v, not ENOSPC", err)
	}
	if err := os.Mkdir(w.path("folder"), 0o755); err != nil {
		t.Errorf("a full cache has no room for a folder: %v", err)
	}
	if err := os.Remove(w.path("filler")); err != nil {
		t.Errorf("in a full cache nothing can be removed: %v", err)
	}
	w.killMount()
	w.mount()
	if sumFile(t, w.path("before")) != sum {
		t.Error("the file is not what was written")
	}
	w.check("--data")
	w.unmount()
}

// fill writes n bytes that are like no others.
func fill(path string, n int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	skip := stream(n+20<<20, 0)
	if _, err := io.CopyN(io.Discard, skip, 20<<20); err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, skip, make([]byte, 1<<20))
	return errors.Join(err, f.Close())
}

// TestFullPeers writes more than peers have space for. Nothing is lost, `sync`
// says what is missing where, and it goes on when there is space.
func TestFullPeers(t *testing.T) {
	needMount(t)
	w := newWorld(t, 0, "2+1")
	for range 3 {
		w.addPeer("16M")
	}
	w.awaitPeers()
	sum := writeStream(t, w.path("file"), stream(64<<20, 0))
	_, err := w.Run("sync", "--timeout", "5s")
	for tries := 0; err != nil && !strings.Contains(err.Error(), "peer-") && tries < 6; tries++ {
		_, err = w.Run("sync", "--timeout", "5s") // on a busy machine it asks them later
	}
	if err == nil {
		t.Fatal("a sync of 64 MiB to peers with 48 MiB of space says that it succeeded")
	}
	if !strings.Contains(err.Error(), "peer-") {
		t.Errorf("the sync does not name the peers and their reasons: %v", err)
	}
	t.Log(err)
	w.must("cache", "drop")
	if s := w.status().Volume; s.LocalBytes == 0 {
		t.Error("nothing is on this machine only, and yet not everything is on peers")
	}
	forget(t, w.path("file"))
	if sumFile(t, w.path("file")) != sum {
		t.Error("the file is not what was written")
	}
	for range 3 {
		w.addPeer("1G")
	}
	w.awaitPeers()
	w.must("sync", "--timeout", "1m")
	w.must("cache", "drop")
	forget(t, w.path("file"))
	if sumFile(t, w.path("file")) != sum {
		t.Error("read from peers, the file is not what was written")
	}
	w.check("--data")
	w.unmount()
}
