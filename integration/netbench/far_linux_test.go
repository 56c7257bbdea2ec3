package netbench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hammockfs/hammock/integration/rig"
)

// moveAway leaves this machine with nothing, like forget, and takes it to the far
// end of a line.
func (s *swarm) moveAway() *line {
	s.b.Helper()
	s.must(s.Node, "sync")
	s.must(s.Node, "unmount", s.Dir)
	l := s.farAway(s.Node)
	s.must(s.Node, "mount", s.Dir)
	s.connected()
	s.must(s.Node, "cache", "drop")
	return l
}

// BenchmarkFarFile is a cold read of an eighth of the file over a line.
func BenchmarkFarFile(b *testing.B) {
	s, size := newSwarm(b), fileSize(b)/8
	src := filepath.Join(s.aside, "source")
	noise(b, src, size)
	s.synced(src, "file")
	s.readFar(size, func() { readWhole(b, filepath.Join(s.Dir, "file")) })
}

// BenchmarkFarTree is a cold read of the source tree over a line.
func BenchmarkFarTree(b *testing.B) {
	dir, files, size := treeOf(b)
	s := newSwarm(b)
	s.synced(dir, "tree")
	t := s.readFar(size, func() { readTree(b, filepath.Join(s.Dir, "tree")) })
	b.ReportMetric(float64(files*b.N)/t.wall, "files/s")
}

// readFar measures reading so many bytes over a line: how much of its rate that
// is, and how many bytes came through it for each that was read.
func (s *swarm) readFar(size int64, read func()) (t totals) {
	s.b.Helper()
	l := s.moveAway()
	carried := int64(0)
	for i := range s.b.N {
		if i > 0 {
			s.forget()
		}
		before := l.down.total()
		t.add(s.measure(read), 0)
		carried += l.down.total() - before
	}
	all := float64(size) * float64(s.b.N)
	t.common(s.b, s, size)
	s.b.ReportMetric(all/t.wall/lineRate, "of-line")
	s.b.ReportMetric(float64(carried)/all, "line-B/B")
	return t
}

// BenchmarkRecovered is the time from the first mount of a recovered volume of a
// million files to the first ls -l of its root, beside the peers.
func BenchmarkRecovered(b *testing.B) { recovered(b, false) }

// BenchmarkFarRecovered is the same over a line.
func BenchmarkFarRecovered(b *testing.B) { recovered(b, true) }

func recovered(b *testing.B, far bool) {
	files, err := strconv.Atoi(os.Getenv("HAMMOCK_BENCH_FILES"))
	if err != nil {
		files = 1_000_000
	}
	s := newSwarm(b)
	fillTree(b, s.Dir, files)
	s.must(s.Node, "sync")
	s.must(s.Node, "unmount", s.Dir)
	var t totals
	for i := range b.N {
		n := &rig.Node{Name: "new-" + strconv.Itoa(i), Bin: binary, State: s.State + "-new-" + strconv.Itoa(i), Dir: s.Dir}
		if far {
			s.farAway(n)
		}
		s.recover(n)
		start := time.Now()
		s.must(n, "mount", n.Dir)
		list, err := os.ReadDir(n.Dir)
		ok(b, err)
		for _, e := range list {
			_, err := e.Info()
			ok(b, err)
		}
		t.wall += time.Since(start).Seconds()
		if len(list) != topFolders {
			b.Fatalf("%d names in the root", len(list))
		}
		s.must(n, "unmount", n.Dir)
	}
	b.ReportMetric(t.wall/float64(b.N), "s")
	b.ReportMetric(0, "ns/op")
}

// recover makes a node of the words and the address of a peer.
func (s *swarm) recover(n *rig.Node) {
	s.b.Helper()
	s.b.Cleanup(func() { _, _ = n.Kill(); n.Detach() })
	words := filepath.Join(s.aside, n.Name)
	ok(s.b, os.WriteFile(words, []byte(s.words), 0o600))
	st, err := s.peers[0].Status()
	ok(s.b, err)
	s.must(n, "recover", "--no-passphrase", "--phrase-file", words, "--no-mdns", "--peer", st.Addresses[0], "--name", n.Name)
	ok(s.b, n.Alone())
}

// topFolders is how many folders the root of a large tree has.
const topFolders = 10

// fillTree makes empty files in folders of a hundred.
func fillTree(b *testing.B, dir string, files int) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i*100 < int64(files); i = next.Add(1) - 1 {
				if err := fillFolder(filepath.Join(dir, fmt.Sprint(i%topFolders), fmt.Sprint(i/topFolders))); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

func fillFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i := range 100 {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}
