package integration

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// manyFiles is how many files TestMillion puts into one directory.
// HAMMOCK_FILES sets another number.
func manyFiles(t *testing.T) int {
	t.Helper()
	n := 20_000
	if soak() {
		n = 1_000_000
	}
	if s := os.Getenv("HAMMOCK_FILES"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("HAMMOCK_FILES: %v", err)
		}
	}
	return n
}

// crowd is a directory with very many files. The even ones hold 4 KiB, the odd
// ones nothing.
type crowd struct {
	*world
	path string
	n    int
}

func (c *crowd) name(i int) string { return fmt.Sprintf("%s/file-%07d", c.path, i) }

// content is the 4 KiB of an even file.
func (c *crowd) content(p []byte, i int) []byte {
	p = p[:0]
	for len(p) < 4096 {
		p = fmt.Appendf(p, "%d of %d\n", i, c.n)
	}
	return p[:4096]
}

// cpu is the processor time that the node's process has had.
func (n *node) cpu() time.Duration {
	n.t.Helper()
	pid, ok := n.PID()
	if !ok {
		n.t.Fatal("the node does not run")
	}
	stat := string(mustRead(n.t, fmt.Sprintf("/proc/%d/stat", pid)))
	words := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	var ticks int64
	for _, w := range words[11:13] { // of user and system, in hundredths of a second
		v, err := strconv.ParseInt(w, 10, 64)
		if err != nil {
			n.t.Fatal(err)
		}
		ticks += v
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// tenths does something n times and prints how fast each tenth of it was, and
// what processor time of the daemon each time took.
func (c *crowd) tenths(what string, n int, do func(i int) error) {
	c.t.Helper()
	var rates, costs []string
	next := 0
	for tenth := range 10 {
		end := n * (tenth + 1) / 10
		count, begun, cpu := end-next, time.Now(), c.cpu()
		for ; next < end; next++ {
			if err := do(next); err != nil {
				c.t.Fatalf("%s, number %d of %d: %v", what, next, n, err)
			}
		}
		if count > 0 {
			rates = append(rates, fmt.Sprintf("%.0f", float64(count)/time.Since(begun).Seconds()))
			costs = append(costs, fmt.Sprint((c.cpu()-cpu).Microseconds()/int64(count)))
		}
	}
	c.t.Logf("%-14s a second: %s; daemon's µs each: %s; at most %d MiB resident",
		what, strings.Join(rates, " "), strings.Join(costs, " "), c.peak()>>10)
}

// TestMillion fills one directory, lists it, looks names up and empties it. The
// rates are printed, and must not depend on how full the directory is; what is
// checked is that the answers are right and the daemon's memory has its limit.
func TestMillion(t *testing.T) {
	needMount(t)
	w := newWorld(t, 0, "solo")
	c := &crowd{world: w, path: w.path("crowd"), n: manyFiles(t)}
	if err := os.Mkdir(c.path, 0o755); err != nil {
		t.Fatal(err)
	}
	c.fill()
	c.list()
	w.unmount() // forget everything
	w.mount()
	c.list()
	c.lookUp()
	c.empty()
	if err := os.Remove(c.path); err != nil {
		t.Errorf("remove the emptied directory: %v", err)
	}
	if peak := w.peak(); peak >= memoryLimit {
		t.Errorf("%d KiB were resident, and %d are the limit", peak, memoryLimit)
	}
	w.check()
	w.unmount()
}

func (c *crowd) fill() {
	var p []byte
	c.tenths("create", c.n, func(i int) error {
		p = c.content(p, i)
		if i%2 == 1 {
			p = p[:0]
		}
		f, err := os.OpenFile(c.name(i), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = f.Write(p)
		return errors.Join(err, f.Close())
	})
}

// list lists the directory, first only the names, then with their attributes.
func (c *crowd) list() {
	seen := make([]bool, c.n)
	names := c.entries("list", func(name string) error {
		i, err := strconv.Atoi(strings.TrimPrefix(name, "file-"))
		switch {
		case err != nil || i >= c.n:
			return fmt.Errorf("a name that nobody made: %q", name)
		case seen[i]:
			return fmt.Errorf("%q is there twice", name)
		}
		seen[i] = true
		return nil
	})
	if names != c.n {
		c.t.Fatalf("%d names are listed of %d", names, c.n)
	}
	dir, err := os.Open(c.path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer dir.Close()
	var batch []os.FileInfo
	c.tenths("list and lstat", c.n, func(i int) (err error) {
		if len(batch) == 0 {
			if batch, err = dir.Readdir(1000); err != nil {
				return err
			}
		}
		info := batch[0]
		batch = batch[1:]
		k, err := strconv.Atoi(strings.TrimPrefix(info.Name(), "file-"))
		if err != nil || info.Size() != int64(4096*(1-k%2)) || !info.Mode().IsRegular() {
			return fmt.Errorf("%s: %d bytes, %v, %w", info.Name(), info.Size(), info.Mode(), err)
		}
		return nil
	})
}

// entries calls do for each name that is listed and returns how many there are.
func (c *crowd) entries(what string, do func(string) error) (n int) {
	dir, err := os.Open(c.path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer dir.Close()
	var batch []string
	c.tenths(what, c.n, func(int) (err error) {
		if len(batch) == 0 {
			if batch, err = dir.Readdirnames(1000); err != nil {
				return err
			}
		}
		name := batch[0]
		batch = batch[1:]
		n++
		return do(name)
	})
	rest, _ := dir.Readdirnames(-1)
	return n + len(batch) + len(rest)
}

// lookUp looks up names that are there, and names that are not, and reads files.
func (c *crowd) lookUp() {
	r := rand.New(rand.NewPCG(1, 2))
	some := max(c.n/5, 1000)
	c.tenths("look up", some, func(int) error {
		_, err := os.Lstat(c.name(r.IntN(c.n)))
		return err
	})
	c.tenths("look up absent", some, func(i int) error {
		if _, err := os.Lstat(c.name(c.n + i)); !errors.Is(err, syscall.ENOENT) {
			return fmt.Errorf("a name that is not there: %w", err)
		}
		return nil
	})
	var want []byte
	c.tenths("read", some/2, func(int) error {
		i := r.IntN((c.n+1)/2) * 2
		want = c.content(want, i)
		got, err := os.ReadFile(c.name(i))
		if err == nil && !bytes.Equal(got, want) {
			err = fmt.Errorf("%d bytes, and not those of file %d", len(got), i)
		}
		return err
	})
}

// empty removes every file in the order in which it is listed, as rm does.
func (c *crowd) empty() {
	c.entries("remove", func(name string) error { return os.Remove(c.path + "/" + name) })
	left, err := os.ReadDir(c.path)
	if err != nil || len(left) > 0 {
		c.t.Errorf("%d names are left: %v", len(left), err)
	}
}
