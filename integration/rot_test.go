package integration

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// rotEvery is how far apart the bytes are that rot, so that no shard is spared.
const rotEvery = 4 << 10

// rot turns bits in everything that a node keeps for others. The node must not
// run.
func (n *node) rot() (places int) {
	n.t.Helper()
	segments, err := filepath.Glob(filepath.Join(n.State, "depot", "segments", "*.seg"))
	if err != nil || len(segments) == 0 {
		n.t.Fatalf("%s keeps nothing for others (%v)", n.State, err)
	}
	for _, path := range segments {
		b := mustRead(n.t, path)
		for off := rotEvery; off < len(b); off += rotEvery {
			b[off] ^= 1 << (off / rotEvery % 8)
			places++
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			n.t.Fatal(err)
		}
		_, err = f.WriteAt(b, 0)
		if err := errors.Join(err, f.Close()); err != nil {
			n.t.Fatal(err)
		}
	}
	return places
}

// TestRottenPeers lets the disks of as many peers rot as the code can lose.
func TestRottenPeers(t *testing.T) {
	needMount(t)
	w := newWorld(t, 6, "4+2")
	size := full[int64](64<<20, 16<<20)
	sum := writeStream(t, w.path("file"), stream(size, 0))
	copyTree(t, filepath.Join(goSource(t), "encoding"), w.path("tree"))
	w.must("sync")
	for _, p := range w.peers[1:3] {
		p.kill()
		t.Logf("%d bytes rot in %s", p.rot(), filepath.Base(p.State))
		p.serve()
	}
	w.awaitPeers()
	for range 2 { // the second time, what was put back meanwhile is read, too
		w.elsewhere()
		forget(t, w.path("file"))
		if sumFile(t, w.path("file")) != sum {
			t.Error("a wrong byte was read")
		}
		program(t, ".", "diff", "-r", filepath.Join(goSource(t), "encoding"), w.path("tree"))
		w.check("--data")
	}
	w.unmount()
}
