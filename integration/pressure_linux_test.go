package integration

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallDisk is a file system of its own of so many bytes, mounted on a folder.
type smallDisk struct {
	t   *testing.T
	dir string
	n   int
}

func newSmallDisk(t *testing.T, dir string, size int64) *smallDisk {
	t.Helper()
	needRoot(t)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("small", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size)); err != nil {
		t.Fatalf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("take the small disk away: %v", err)
		}
	})
	return &smallDisk{t: t, dir: dir}
}

// fill takes all that is free, as another program would, but for a few bytes.
func (d *smallDisk) fill() {
	d.t.Helper()
	d.n++
	f, err := os.Create(filepath.Join(d.dir, fmt.Sprint("other-", d.n)))
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for at, end := int64(0), time.Now().Add(10*time.Second); time.Now().Before(end); {
		var st unix.Statfs_t
		if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
			d.t.Fatal(err)
		}
		n := int64(st.Bavail) * st.Bsize
		if n == 0 {
			return
		}
		if unix.Fallocate(int(f.Fd()), 0, at, n) == nil {
			at += n
		}
	}
}

// free gives everything back that fill has taken.
func (d *smallDisk) free() {
	d.t.Helper()
	all, err := filepath.Glob(filepath.Join(d.dir, "other-*"))
	for _, path := range all {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// crammer writes files on a volume whose disk is filled up and freed again by
// others, and keeps what it was told.
type crammer struct {
	*world
	rng     *rand.Rand
	n       int
	files   map[string][32]byte // content of what was closed without an error
	refused int
}

// one makes a file of some size. A write that fails says ENOSPC, and then what is
// kept is what was taken before it; close and fsync never fail.
func (c *crammer) one() error {
	c.t.Helper()
	c.n++
	path := c.path(fmt.Sprint("file-", c.n))
	size := []int{100, 5_000, 70_000, 1 << 20, 3 << 20}[c.rng.IntN(5)]
	f, err := os.Create(path)
	if err != nil {
		return c.noSpace("create", err)
	}
	sum := sha256.New()
	p := make([]byte, 64<<10)
	var full error
	for done := 0; done < size && full == nil; {
		n := min(size-done, len(p))
		for i := range n {
			p[i] = byte(c.rng.Uint32())
		}
		n, full = f.Write(p[:n])
		sum.Write(p[:n])
		done += n
	}
	if full != nil {
		full = c.noSpace("write", full)
	}
	if c.rng.IntN(3) == 0 {
		if err := f.Sync(); err != nil {
			c.t.Errorf("fsync of %s: %v", path, err)
		}
	}
	if err := f.Close(); err != nil {
		c.t.Errorf("close of %s: %v", path, err)
	}
	c.files[path] = [32]byte(sum.Sum(nil))
	return full
}

func (c *crammer) noSpace(op string, err error) error {
	c.t.Helper()
	c.refused++
	if !errors.Is(err, syscall.ENOSPC) {
		c.t.Errorf("%s: %v", op, err)
	}
	return err
}

// drop removes one of the files.
func (c *crammer) drop() {
	c.t.Helper()
	for path := range c.files {
		if err := os.Remove(path); err != nil {
			c.t.Errorf("remove on a full disk: %v", err)
		}
		delete(c.files, path)
		return
	}
}

// again waits until files can be made once more.
func (c *crammer) again() {
	c.t.Helper()
	for end := time.Now().Add(30 * time.Second); c.one() != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("with room again, nothing can be written within half a minute\n%s", c.lastLog())
		}
	}
}

func (c *crammer) verify() {
	c.t.Helper()
	for path, want := range c.files {
		f, err := os.Open(path)
		if err != nil {
			c.t.Error(err)
			continue
		}
		sum := sha256.New()
		_, err = io.Copy(sum, f)
		f.Close()
		if got := [32]byte(sum.Sum(nil)); err != nil || got != want {
			c.t.Errorf("%s is not what was written: %v", path, err)
		}
	}
}

// TestFilledDisk has another program fill the disk below the state to the last
// byte, at random moments. What was taken is kept, also over kill -9, and a start
// on the full disk; removing works; and with room again everything goes on.
func TestFilledDisk(t *testing.T) {
	needMount(t)
	for name, folder := range map[string]string{"all": "", "cache": "state/cache", "records": "state/meta"} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			disk := newSmallDisk(t, filepath.Join(base, folder), 400<<20)
			w := newVolumeIn(t, base, "solo")
			w.mount()
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			c := &crammer{world: w, rng: rand.New(rand.NewPCG(seed, 0)), files: map[string][32]byte{}}
			for round := range 3 {
				c.again()
				for range c.rng.IntN(8) {
					_ = c.one()
				}
				held, err := os.Create(w.path(fmt.Sprint("held-", round)))
				if err != nil {
					t.Fatal(err)
				}
				_, err = held.Write(make([]byte, 300_000))
				if err != nil {
					t.Fatal(err)
				}
				disk.fill()
				for range 6 {
					_ = c.one()
				}
				if err := errors.Join(held.Sync(), held.Close()); err != nil {
					t.Errorf("what was taken before the disk was full is not kept: %v", err)
				}
				c.drop()
				if round == 1 {
					w.killMount()
					w.mount()
					c.verify()
				}
				disk.free()
			}
			if c.refused == 0 {
				t.Error("nothing was ever refused")
			}
			c.again()
			c.verify()
			w.check("--data")
			w.unmount()
		})
	}
}
