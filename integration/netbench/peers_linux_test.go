package netbench

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fileSize is the length of the large file.
func fileSize(b *testing.B) int64 {
	b.Helper()
	text := os.Getenv("HAMMOCK_BENCH_MIB")
	if text == "" {
		return 1 << 30
	}
	mib, err := strconv.Atoi(text)
	if err != nil || mib < 8 {
		b.Fatalf("HAMMOCK_BENCH_MIB is %q", text)
	}
	return int64(mib) << 20
}

// treeOf is the tree of small files: its folder, how many files, how many bytes.
func treeOf(b *testing.B) (dir string, files int, size int64) {
	b.Helper()
	if dir = os.Getenv("HAMMOCK_BENCH_TREE"); dir == "" {
		out, err := exec.Command("go", "env", "GOROOT").Output()
		ok(b, err)
		dir = filepath.Join(strings.TrimSpace(string(out)), "src")
	}
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			files, size = files+1, size+info.Size()
		}
		return err
	})
	ok(b, err)
	return dir, files, size
}

// BenchmarkSyncFile is cp of a file of noise and `hammock sync`, beside cp and
// sync of a native folder.
func BenchmarkSyncFile(b *testing.B) {
	s, size := newSwarm(b), fileSize(b)
	src := filepath.Join(s.aside, "source")
	var t totals
	for i := range b.N {
		noise(b, src, size)
		syncfs(b, s.aside)
		native := s.copied(src, filepath.Join(s.aside, "copy"))
		t.add(s.synced(src, "file-"+strconv.Itoa(i)), native)
	}
	t.slower(b, s, size)
}

// synced copies into the mount and returns when it is on peers.
func (s *swarm) synced(src, name string) spent {
	return s.measure(func() {
		s.cp(src, filepath.Join(s.Dir, name))
		s.must(s.Node, "sync")
	})
}

// BenchmarkSyncAgain is a second copy of a file that is on peers already.
func BenchmarkSyncAgain(b *testing.B) { syncSecond(b, func([]byte) {}) }

// BenchmarkSyncEdited is a second copy in which 64 KiB in the middle are others.
func BenchmarkSyncEdited(b *testing.B) {
	syncSecond(b, func(middle []byte) {
		for i := range middle {
			middle[i] ^= 0x55
		}
	})
}

func syncSecond(b *testing.B, edit func(middle []byte)) {
	s, size := newSwarm(b), fileSize(b)
	src := filepath.Join(s.aside, "source")
	noise(b, src, size)
	s.synced(src, "first")
	var t totals
	for i := range b.N {
		edited(b, src, size/2, edit)
		native := s.copied(src, filepath.Join(s.aside, "copy"))
		t.add(s.synced(src, "again-"+strconv.Itoa(i)), native)
	}
	t.slower(b, s, size)
}

func edited(b *testing.B, path string, at int64, edit func(middle []byte)) {
	b.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	ok(b, err)
	defer f.Close()
	middle := make([]byte, 64<<10)
	_, err = f.ReadAt(middle, at)
	ok(b, err)
	edit(middle)
	_, err = f.WriteAt(middle, at)
	ok(b, err)
	syncfs(b, filepath.Dir(path))
}

// BenchmarkSyncTree is cp -a of a source tree and `hammock sync`.
func BenchmarkSyncTree(b *testing.B) {
	var t totals
	dir, files, size := treeOf(b)
	var s *swarm
	for i := range b.N {
		s = newSwarm(b) // each time, or it would be a second copy
		warm(b, dir)
		native := s.copied(dir, filepath.Join(s.aside, "copy"))
		t.add(s.synced(dir, "tree-"+strconv.Itoa(i)), native)
	}
	t.slower(b, s, size)
	b.ReportMetric(float64(files*b.N)/t.wall, "files/s")
}

// warm reads a tree, so that no copy of it waits for the disk to read it.
func warm(b *testing.B, dir string) {
	b.Helper()
	readTree(b, dir)
}

// readTree reads every file below dir, in the order of names, as tar and grep do.
func readTree(b *testing.B, dir string) {
	b.Helper()
	buf := make([]byte, 1<<20)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		drain(b, f, buf)
		return nil
	})
	ok(b, err)
}

// BenchmarkReadFile is a cold read of the file from all six peers.
func BenchmarkReadFile(b *testing.B) { readFile(b, 0) }

// BenchmarkReadFileTwoLost is the same from the four that are left.
func BenchmarkReadFileTwoLost(b *testing.B) { readFile(b, 2) }

func readFile(b *testing.B, lost int) {
	s, size := newSwarm(b), fileSize(b)
	src := filepath.Join(s.aside, "source")
	noise(b, src, size)
	s.synced(src, "file")
	s.forget()
	for _, p := range s.peers[:lost] {
		_, err := p.Kill()
		ok(b, err)
	}
	s.connected()
	var t totals
	raw := 0.0
	for i := range b.N {
		if i > 0 {
			s.forget()
		}
		raw += rawTLS(b, size) / float64(b.N)
		t.add(s.measure(func() { readWhole(b, filepath.Join(s.Dir, "file")) }), 0)
		if !equal(b, src, filepath.Join(s.Dir, "file")) {
			b.Fatal("the file is not what was written")
		}
	}
	t.common(b, s, size)
	speed := float64(size) * float64(b.N) / t.wall
	b.ReportMetric(speed/1e6, "MB/s")
	b.ReportMetric(raw/1e6, "raw-TLS-MB/s")
	b.ReportMetric(speed/raw, "of-raw-TLS")
}

// readWhole reads a file in pieces of 1 MiB.
func readWhole(b *testing.B, path string) {
	b.Helper()
	f, err := os.Open(path)
	ok(b, err)
	defer f.Close()
	drain(b, f, make([]byte, 1<<20))
}

func drain(b *testing.B, f *os.File, buf []byte) {
	b.Helper()
	_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, buf)
	ok(b, err)
}

// equal reads both files in pieces of 1 MiB and compares them.
func equal(b *testing.B, want, got string) bool {
	b.Helper()
	w, err := os.Open(want)
	ok(b, err)
	defer w.Close()
	g, err := os.Open(got)
	ok(b, err)
	defer g.Close()
	p, q := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(g, q)
		m, _ := io.ReadFull(w, p)
		if !bytes.Equal(p[:m], q[:n]) {
			return false
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return true
		}
		ok(b, err)
	}
}

// BenchmarkReadTree is a cold read of the source tree from all six peers.
func BenchmarkReadTree(b *testing.B) {
	dir, files, size := treeOf(b)
	s := newSwarm(b)
	s.synced(dir, "tree")
	var t totals
	for range b.N {
		s.forget()
		t.add(s.measure(func() { readTree(b, filepath.Join(s.Dir, "tree")) }), time.Second)
	}
	t.common(b, s, size)
	b.ReportMetric(float64(files*b.N)/t.wall, "files/s")
}
