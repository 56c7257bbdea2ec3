package crashdisk

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func must(t *testing.T, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

func put(t *testing.T, d *Disk, name string, p []byte, off int64, sync bool) {
	t.Helper()
	f, err := d.OpenReadWrite(name, "test")
	must(t, err)
	_, err = f.WriteAt(p, off)
	must(t, err)
	if sync {
		must(t, f.Sync())
	}
	must(t, f.Close())
}

func syncDir(t *testing.T, d *Disk, name string) {
	t.Helper()
	f, err := d.OpenDir(name)
	must(t, err)
	must(t, errors.Join(f.Sync(), f.Close()))
}

func read(d *Disk, name string) ([]byte, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}

// TestCut loses what was not synced, and nothing else.
func TestCut(t *testing.T) {
	d := New(nil)
	must(t, d.MkdirAll("a", 0o700))
	syncDir(t, d, "/")
	first, second := bytes.Repeat([]byte{1}, 3000), bytes.Repeat([]byte{2}, 4000)
	put(t, d, "a/kept", first, 0, true)
	put(t, d, "a/unnamed", first, 0, true)
	must(t, d.Remove("a/unnamed"))
	syncDir(t, d, "a")
	put(t, d, "a/kept", second, 1000, false)
	put(t, d, "a/new", first, 0, true) // its name is not safe
	must(t, d.Rename("a/kept", "a/moved"))

	after := d.Cut(Loss{}, nil)
	if got, err := read(after, "a/kept"); err != nil || !bytes.Equal(got, first) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if names, _ := after.List("a"); len(names) != 1 {
		t.Errorf("%q", names)
	}
	after = d.Kill(nil)
	if got, err := read(after, "a/moved"); err != nil || len(got) != 5000 || got[999] != 1 || got[1000] != 2 {
		t.Errorf("after a kill: %d bytes, %v", len(got), err)
	}
	after = after.Cut(Loss{}, nil)
	if got, err := read(after, "a/kept"); err != nil || !bytes.Equal(got, first) {
		t.Errorf("after a kill and a cut: %d bytes, %v", len(got), err)
	}
	if got, _ := read(d, "a/moved"); len(got) != 5000 {
		t.Errorf("the disk itself has changed: %d bytes", len(got))
	}
}

// TestVersions cuts often: every sector is one that was, bytes of it at least;
// what is written to a copy is not in others.
func TestVersions(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		d := New(nil)
		var states [][]byte
		state := make([]byte, 0)
		for i := range 20 {
			off, n := rng.IntN(4000), 1+rng.IntN(2000)
			p := bytes.Repeat([]byte{byte(i + 1)}, n)
			put(t, d, "f", p, int64(off), i == 9)
			if i == 9 {
				syncDir(t, d, "/")
				states = nil
			}
			state = append(slices.Clone(state), make([]byte, max(0, off+n-len(state)))...)
			copy(state[off:], p)
			states = append(states, state)
		}
		loss := Loss{Rand: rng, Ordered: seed%4 == 0, Kept: rng.IntN(101)}
		after := d.Cut(loss, nil)
		got, err := read(after, "f")
		must(t, err)
		if !slices.ContainsFunc(states, func(s []byte) bool { return len(s) == len(got) }) && !loss.Ordered {
			t.Fatalf("seed %d: a length of %d", seed, len(got))
		}
		for i, b := range got {
			if b != 0 && !slices.ContainsFunc(states, func(s []byte) bool { return i < len(s) && s[i] == b }) {
				t.Fatalf("seed %d: byte %d is %d", seed, i, b)
			}
		}
		put(t, after, "f", []byte{99}, 0, false)
		if same, _ := read(d, "f"); !bytes.Equal(same, state) {
			t.Fatalf("seed %d: a copy is not one", seed)
		}
	}
}

// TestWatch fails operations, and lets writes do a part.
func TestWatch(t *testing.T) {
	var fail error
	d := New(func(op Op) error {
		if op.Kind == Write || op.Kind == Sync {
			return fail
		}
		return nil
	})
	f, err := d.Create("f", "test")
	must(t, err)
	fail = syscall.EIO
	if n, err := f.Write([]byte("abc")); n != 0 || !errors.Is(err, syscall.EIO) {
		t.Errorf("%d, %v", n, err)
	}
	fail = &Short{2, syscall.ENOSPC}
	if n, err := f.Write([]byte("abc")); n != 2 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%d, %v", n, err)
	}
	fail = nil
	if got, err := read(d, "f"); string(got) != "ab" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := d.Open("g"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	lock, err := d.Lock("lock")
	must(t, err)
	if _, err := d.Lock("lock"); err == nil {
		t.Error("locked twice")
	}
	must(t, lock.Close())
	var _ vfs.FS = d
}
