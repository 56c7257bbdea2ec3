package depot

import (
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/hammockfs/hammock/crypt"
)

// filledDisk is a file system that somebody else fills: nothing can be written to
// the depot, or only once its ballast is gone.
type filledDisk struct {
	vfs.FS
	full   atomic.Bool
	share  atomic.Bool  // it is the user's share that is used up: the disk has room
	wholly atomic.Bool  // the ballast does not help
	denied atomic.Int64 // writes to the index
}

func newFilledDisk() *filledDisk {
	below := vfs.NewMem()
	d := &filledDisk{}
	d.FS = errorfs.Wrap(below, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpCreate, errorfs.OpReuseForWrite, errorfs.OpFileWrite, errorfs.OpFileWriteAt:
		default:
			return nil
		}
		if !d.full.Load() {
			return nil
		}
		_, err := below.Stat("depot/ballast")
		if err == nil || d.wholly.Load() || strings.HasSuffix(op.Path, "ballast") {
			d.denied.Add(1)
			return syscall.EDQUOT
		}
		return nil
	}))
	return d
}

func (d *filledDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	switch _, err := d.Stat("depot/ballast"); {
	case !d.full.Load() || d.share.Load():
		return vfs.DiskUsage{TotalBytes: 1 << 40, AvailBytes: 1 << 39}, nil
	case err == nil || d.wholly.Load():
		return vfs.DiskUsage{TotalBytes: 1 << 40}, nil
	}
	return vfs.DiskUsage{TotalBytes: 1 << 40, AvailBytes: 2 * indexRoom}, nil
}

// config is that of a depot on the disk, with a ballast.
func (d *filledDisk) config() Config {
	c := small(d, &clock{})
	c.Dir, c.Reserve, c.KeepFree = "depot", 3*indexRoom, 1
	return c
}

// TestFilledDisk fills the disk of a depot: it takes nothing more, gives up its
// ballast for deletions, and, when that is used up too, says so. With room again
// all goes on, in the same process.
func TestFilledDisk(t *testing.T) {
	disk := newFilledDisk()
	d := open(t, disk.config())
	one, two := shard(1, 60_000), shard(2, 60_000)
	mustStore(t, d, owner(1), one, 1)
	mustStore(t, d, owner(1), two, 2)
	disk.full.Store(true)
	d.ballast.Look()
	wantErr(t, store(d, announce(owner(1), shard(3, 60_000), 3, 1), shard(3, 60_000)), ErrDiskFull)
	if err := d.Delete(ctx, owner(1), crypt.Sum(one), 1, 1); err != nil {
		t.Error(err)
	}
	if d.ballast.Here() {
		t.Error("the ballast was not needed")
	}
	// What the ballast has left is for the index.
	d.ballast.Look()
	wantErr(t, store(d, announce(owner(1), shard(3, 60_000), 3, 1), shard(3, 60_000)), ErrDiskFull)
	disk.wholly.Store(true)
	d.ballast.Look()
	wantErr(t, d.Delete(ctx, owner(1), crypt.Sum(two), 2, 1), ErrDiskFull)
	if err := verify(d, owner(1), two); err != nil {
		t.Error(err)
	}
	disk.full.Store(false)
	d.ballast.Look()
	mustStore(t, d, owner(1), shard(3, 60_000), 3)
	if err := d.Delete(ctx, owner(1), crypt.Sum(two), 2, 1); err != nil || !d.ballast.Here() {
		t.Errorf("with room again: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestUsedUpShare has the operating system refuse what the disk has room for. A
// change of the index waits for it; it is not taken for a broken disk.
func TestUsedUpShare(t *testing.T) {
	disk := newFilledDisk()
	d := open(t, disk.config())
	one := shard(1, 60_000)
	mustStore(t, d, owner(1), one, 1)
	disk.share.Store(true)
	disk.wholly.Store(true)
	disk.full.Store(true)
	done := make(chan error, 1)
	go func() { done <- d.Delete(ctx, owner(1), crypt.Sum(one), 1, 1) }()
	for end := time.Now().Add(10 * time.Second); disk.denied.Load() < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing was tried again")
		}
	}
	disk.full.Store(false)
	if err := <-done; err != nil {
		t.Error(err)
	}
	mustStore(t, d, owner(1), shard(2, 60_000), 2)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOpenOnFullDisk opens a depot with its ballast, and says why not where there
// is none.
func TestOpenOnFullDisk(t *testing.T) {
	disk := newFilledDisk()
	d := open(t, disk.config())
	one := shard(1, 60_000)
	mustStore(t, d, owner(1), one, 1)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	disk.full.Store(true)
	d = open(t, disk.config())
	if err := verify(d, owner(1), one); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	disk.wholly.Store(true)
	if _, err := Open(disk.config()); !errors.Is(err, ErrDiskFull) {
		t.Errorf("opened on a full disk: %v", err)
	}
	disk.full.Store(false)
	d = open(t, disk.config())
	mustStore(t, d, owner(1), shard(2, 60_000), 2)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
