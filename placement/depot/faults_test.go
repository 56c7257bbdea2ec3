package depot

import (
	"bytes"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hammockfs/hammock/crypt"
)

// failing wraps a file system so that operations fail while the injector is set.
func failing(fs vfs.FS) (vfs.FS, *atomic.Pointer[func(errorfs.Op) error]) {
	var inject atomic.Pointer[func(errorfs.Op) error]
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if f := inject.Load(); f != nil {
			return (*f)(op)
		}
		return nil
	})), &inject
}

func TestFailingDisk(t *testing.T) {
	for name, c := range map[string]struct {
		kind errorfs.OpKind
		give error
		want error
	}{
		"full at a write": {errorfs.OpFileWriteAt, syscall.ENOSPC, ErrDiskFull},
		"full at a sync":  {errorfs.OpFileSyncData, syscall.ENOSPC, ErrDiskFull},
		"broken write":    {errorfs.OpFileWriteAt, syscall.EIO, syscall.EIO},
		"broken sync":     {errorfs.OpFileSyncData, syscall.EIO, syscall.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			fs, inject := failing(vfs.NewMem())
			d := open(t, small(fs, &clock{}))
			before, data := shard(1, 60_000), shard(2, 60_000)
			mustStore(t, d, owner(1), before, 1)
			fail := func(op errorfs.Op) error {
				if op.Kind == c.kind && bytes.HasSuffix([]byte(op.Path), []byte(".seg")) {
					return c.give
				}
				return nil
			}
			inject.Store(&fail)
			wantErr(t, store(d, announce(owner(1), data, 2, 1), data), c.want)
			wantHas(t, d, owner(1), data, false)
			if u := d.Usage(); u.Reserved != 0 || u.Shards != 1 {
				t.Errorf("%+v", u)
			}
			inject.Store(nil)
			mustStore(t, d, owner(1), data, 2)
			for _, p := range [][]byte{before, data} {
				if err := verify(d, owner(1), p); err != nil {
					t.Error(err)
				}
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestFailingIndex(t *testing.T) {
	fs, inject := failing(vfs.NewMem())
	d := open(t, small(fs, &clock{}))
	before, data := shard(1, 60_000), shard(2, 60_000)
	mustStore(t, d, owner(1), before, 1)
	fail := func(op errorfs.Op) error {
		if bytes.HasSuffix([]byte(op.Path), []byte(".log")) && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return syscall.EIO
		}
		return nil
	}
	inject.Store(&fail)
	mustStore(t, d, owner(1), data, 2) // its record is safe, and no more is needed
	wantErr(t, d.Delete(ctx, owner(1), crypt.Sum(before), 1, 1), ErrClosed)
	inject.Store(nil)
	wantErr(t, store(d, announce(owner(1), shard(3, 60_000), 3, 1), shard(3, 60_000)), ErrClosed)
	if err := verify(d, owner(1), before); err != nil {
		t.Error(err)
	}
	_ = d.Close()
	d = open(t, small(fs, &clock{}))
	for _, p := range [][]byte{before, data} {
		wantHas(t, d, owner(1), p, true)
		if err := verify(d, owner(1), p); err != nil {
			t.Error(err)
		}
	}
	mustStore(t, d, owner(1), shard(3, 60_000), 3)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestMarkerOrder expects that the folder of the index is synced before a marker of Pebble's is made, and before the one
// of before is removed: without one Pebble would begin an empty index.
func TestMarkerOrder(t *testing.T) {
	mem := vfs.NewMem()
	var mu sync.Mutex
	pending, removed := 0, 0 // markers made since the last sync of the folder
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		marker := strings.Contains(op.Path, "marker.manifest")
		switch {
		case op.Kind == errorfs.OpCreate && marker:
			pending++
		case op.Kind == errorfs.OpRemove && marker:
			if removed++; pending > 0 {
				t.Error("a marker is removed before the one that follows it is safe")
			}
		case op.Kind == errorfs.OpFileSync && strings.HasSuffix(op.Path, "index"):
			pending = 0
		}
		return nil
	}))
	for range 2 {
		if err := open(t, small(fs, &clock{})).Close(); err != nil {
			t.Fatal(err)
		}
	}
	if removed == 0 {
		t.Error("no marker was removed")
	}
}

// TestFailingManifest lets what Pebble cannot do without fail while it works in the background. The process goes on, what
// is there can be read, nothing more is taken, and a restart brings all of it back.
func TestFailingManifest(t *testing.T) {
	for _, name := range []string{"MANIFEST-", "marker.", ".log", "/index"} {
		t.Run(name, func(t *testing.T) {
			fs, inject := failing(vfs.NewMem())
			d := open(t, small(fs, &clock{}))
			before, data := shard(1, 60_000), shard(2, 60_000)
			mustStore(t, d, owner(1), before, 1)
			var hit atomic.Bool
			fail := func(op errorfs.Op) error {
				if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && strings.Contains(op.Path, name) && !strings.Contains(op.Path, "segments") {
					hit.Store(true)
					return syscall.EIO
				}
				return nil
			}
			inject.Store(&fail)
			for range 3 { // a table, a manifest, and one that is begun anew
				_ = d.index.guard.wait(d.index.db.Flush)
			}
			_ = store(d, announce(owner(1), data, 2, 1), data)
			if name != "marker." && !hit.Load() {
				t.Fatal("nothing has failed")
			}
			if err := verify(d, owner(1), before); err != nil {
				t.Error(err)
			}
			if hit.Load() {
				wantErr(t, store(d, announce(owner(1), data, 2, 1), data), ErrClosed)
			}
			_ = d.Close()
			inject.Store(nil)
			d = open(t, small(fs, &clock{}))
			if err := verify(d, owner(1), before); err != nil {
				t.Error(err)
			}
			mustStore(t, d, owner(1), data, 2)
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
