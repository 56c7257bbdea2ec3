package room

import (
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// disk is a file system that says what is left on it.
type disk struct {
	vfs.FS
	left atomic.Int64
}

func (d *disk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	if d.left.Load() < 0 {
		return vfs.DiskUsage{}, syscall.ENOSYS
	}
	return vfs.DiskUsage{AvailBytes: uint64(d.left.Load())}, nil
}

func (d *disk) has(name string) bool {
	_, err := d.Stat(name)
	return err == nil
}

func restore(t *testing.T, b *Ballast, want bool) {
	t.Helper()
	if here, err := b.Restore(); here != want || err != nil {
		t.Errorf("restored: %v, %v, want %v", here, err, want)
	}
}

func TestBallast(t *testing.T) {
	const size = 1 << 20
	d := &disk{FS: vfs.NewMem()}
	d.left.Store(3 * size / 2)
	b := NewBallast(d, "", "ballast", size)
	restore(t, b, false) // it would take what is left
	if b.Spare() != 0 || b.Drop() {
		t.Error("a ballast that was never made")
	}
	d.left.Store(2 * size)
	restore(t, b, true)
	restore(t, b, true)
	for range 2 {
		b = NewBallast(d, "", "ballast", size) // the next run finds it
		if !d.has("ballast") || b.Spare() != 2*size {
			t.Error("no ballast")
		}
	}
	if !b.Drop() || b.Drop() || d.has("ballast") {
		t.Error("not dropped, or twice")
	}
	if b.Spare() != 2*size || !d.has("ballast") {
		t.Error("not made again")
	}
	if err := d.Remove("ballast"); err != nil || !b.Drop() {
		t.Error("one that somebody has removed is not seen to be gone")
	}
	d.left.Store(size)
	if b.Look(); b.Spare() != 0 {
		t.Error("made of what others are about to use")
	}
	d.left.Store(2 * size)
	restore(t, b, true)
	if b = NewBallast(d, "", "ballast", 2*size); b.Spare() != 0 {
		t.Error("one of another size is taken for it")
	}
	d.left.Store(-1)
	restore(t, b, true)
	if b.Look() != Endless || b.Left() != Endless {
		t.Error("a disk that cannot tell has an end")
	}
}

// TestNoBallast is for who wants none.
func TestNoBallast(t *testing.T) {
	b := NewBallast(vfs.NewMem(), "", "ballast", 0)
	restore(t, b, true)
	if b.Spare() != Endless || b.Drop() {
		t.Error("none is not none")
	}
}

// TestBallastDoesNotFit leaves nothing half made behind.
func TestBallastDoesNotFit(t *testing.T) {
	d := &disk{FS: vfs.NewMem()}
	d.left.Store(1 << 30)
	fs := errorfs.Wrap(d, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWriteAt {
			return syscall.EDQUOT
		}
		return nil
	}))
	b := NewBallast(fs, "", "ballast", 3<<20)
	if here, err := b.Restore(); here || !Full(err) {
		t.Errorf("made on a full disk: %v, %v", here, err)
	}
	if d.has("ballast") {
		t.Error("half of it is left")
	}
}
