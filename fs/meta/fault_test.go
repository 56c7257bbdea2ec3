package meta

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// filling is a disk that becomes full, or breaks, at some operation that changes something.
type filling struct {
	at    int64 // the operation; 0: none
	once  bool  // only that one fails
	syncs bool  // syncs fail too
	err   error
	ops   atomic.Int64
	off   atomic.Bool
	last  atomic.Pointer[string] // the operation that failed last
}

func (f *filling) MaybeError(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
		if !f.syncs {
			return nil
		}
	case errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileWriteAt, errorfs.OpFilePreallocate, errorfs.OpMkdirAll,
		errorfs.OpLink, errorfs.OpRename:
	default:
		return nil
	}
	n := f.ops.Add(1)
	if f.off.Load() || f.at == 0 || n < f.at || f.once && n > f.at {
		return nil
	}
	text := fmt.Sprint(op.Kind, " ", op.Path)
	f.last.Store(&text)
	return f.err
}

func (*filling) String() string { return "filling disk" }

// hardLife makes files while the disk fails, and keeps what was acknowledged.
type hardLife struct {
	t     *testing.T
	w     *world
	disk  *filling
	d     *DB
	n     uint64
	acked map[uint64]bool
	errs  int
}

func newHardLife(t *testing.T, f *filling) *hardLife {
	w := newWorld(5)
	w.cfg.diskPause, w.cfg.Journal, w.cfg.Memory = time.Millisecond, 64<<10, 1<<20
	w.cfg.FS = errorfs.Wrap(w.fs, f)
	return &hardLife{t: t, w: w, disk: f, acked: map[uint64]bool{}}
}

func (h *hardLife) open() error {
	d, err := Open(h.t.Context(), h.w.cfg)
	if err != nil {
		return err
	}
	h.d = d
	h.w.chunks.number = d.NextStripe
	d.Attach(h.w.chunks, h.w.chunks.encode)
	return d.Ready(h.t.Context())
}

func (h *hardLife) saw(err error) error {
	if err != nil {
		h.errs++
		if !errors.Is(err, h.disk.err) {
			h.t.Errorf("at operation %d: an error that does not say why: %v", h.disk.at, err)
		}
	}
	return err
}

func (h *hardLife) commit() error {
	h.n++
	b := h.d.NewBatch()
	b.PutInode(&Inode{Ino: 100 + h.n, Size: h.n})
	b.PutPage(100+h.n, 0, make([]byte, 1500))
	err := h.d.Commit(h.t.Context(), b)
	if err == nil {
		h.acked[100+h.n] = true
	}
	return err
}

// steps does some of everything. It goes on after errors.
func (h *hardLife) steps(n int) {
	ctx := h.t.Context()
	for i := range n {
		_ = h.saw(h.commit())
		switch i % 10 {
		case 3:
			_ = h.saw(h.d.Sync(ctx))
		case 6:
			_ = h.saw(h.d.flush(ctx))
		case 9:
			_, _, err := h.d.Checkpoint(ctx, CheckpointOptions{Fold: i%20 == 9})
			_ = h.saw(err)
		}
	}
}

// flush waits for attempts of before, which may still fail.
func (h *hardLife) flush() {
	err := errors.New("")
	for i := 0; err != nil; i++ {
		if err = h.d.flush(h.t.Context()); err != nil && i == 100 {
			h.t.Fatalf("after %s: flush with space again: %v", *h.disk.last.Load(), err)
		}
	}
}

// close ends the DB; it does not hang, whatever the disk does.
func (h *hardLife) close() error {
	done := make(chan error, 1)
	go func() { done <- h.d.Close(context.Background()) }()
	select {
	case err := <-done:
		h.d = nil
		return err
	case <-time.After(20 * time.Second):
		h.t.Fatalf("Close hangs after %s", *h.disk.last.Load())
		return nil
	}
}

func (h *hardLife) check() {
	h.t.Helper()
	got := map[uint64]bool{}
	err := h.d.Inodes(h.t.Context(), func(i Inode) error { got[i.Ino] = true; return nil })
	if err != nil {
		h.t.Fatalf("after %s: %v", *h.disk.last.Load(), err)
	}
	for ino := range h.acked {
		if !got[ino] {
			h.t.Fatalf("after %s: acknowledged inode %d is gone", *h.disk.last.Load(), ino)
		}
	}
}

// TestFullDisk lets the disk become full at every operation of a life. Every error says so, nothing acknowledged is lost,
// and when there is space again everything goes on without a restart.
func TestFullDisk(t *testing.T) {
	for at := int64(1); ; at += stride(5) {
		f := &filling{at: at, err: syscall.ENOSPC}
		h := newHardLife(t, f)
		if err := h.open(); h.saw(err) != nil {
			f.off.Store(true)
			if h.d == nil {
				must(t, h.open())
			}
		}
		h.steps(40)
		h.check()
		if at%2 == 0 { // ends while the disk is full
			_ = h.close()
			f.off.Store(true)
			must(t, h.open())
		}
		f.off.Store(true)
		if err := h.commit(); err != nil {
			t.Fatalf("after %s: commit with space again: %v", *f.last.Load(), err)
		}
		h.flush()
		if _, _, err := h.d.Checkpoint(t.Context(), CheckpointOptions{Fold: true}); err != nil {
			t.Fatalf("after %s: checkpoint with space again: %v", *f.last.Load(), err)
		}
		h.check()
		must(t, h.close())
		must(t, h.open())
		h.check()
		must(t, h.close())
		if f.ops.Load() < at || f.last.Load() == nil {
			t.Logf("%d operations", at)
			return
		}
	}
}

func stride(n int64) int64 {
	if testing.Short() {
		return 5 * n
	}
	return n
}

// TestBrokenDisk lets one operation fail, syncs among them. What cannot be repeated ends all changes until a restart, and
// what was acknowledged is there after it.
func TestBrokenDisk(t *testing.T) {
	restarts := 0
	for at := int64(1); ; at += stride(5) {
		f := &filling{at: at, err: syscall.EIO, once: true, syncs: true}
		h := newHardLife(t, f)
		if err := h.open(); h.saw(err) != nil && h.d == nil {
			must(t, h.open())
		}
		h.steps(40)
		h.check()
		acked := maps.Clone(h.acked)
		if err := h.commit(); err != nil {
			restarts++
			if !errors.Is(err, syscall.EIO) {
				t.Errorf("after %s: %v", *f.last.Load(), err)
			}
			h.acked = acked
		}
		_ = h.close()
		f.off.Store(true)
		must(t, h.open())
		h.check()
		must(t, h.commit())
		must(t, h.close())
		if f.last.Load() == nil {
			t.Logf("%d operations, %d restarts", at, restarts)
			return
		}
	}
}

// TestMarkerOrder expects a sync of the folder between a manifest and the marker that names it, and between that and the
// removal of the marker before.
func TestMarkerOrder(t *testing.T) {
	var mu sync.Mutex
	synced, marked, markers, removed := false, false, 0, 0
	w := newWorld(6)
	w.cfg.FS = errorfs.Wrap(w.fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case op.Kind == errorfs.OpCreate && strings.Contains(op.Path, "marker.manifest"):
			if markers++; !synced {
				t.Error("a marker without a sync of the folder before it")
			}
			marked = false
		case op.Kind == errorfs.OpRemove && strings.Contains(op.Path, "marker.manifest"):
			if removed++; !marked {
				t.Error("a marker is removed before the one that follows it is safe")
			}
		case op.Kind == errorfs.OpCreate && strings.Contains(op.Path, "MANIFEST"):
			synced = false
		case op.Kind == errorfs.OpFileSync && strings.HasSuffix(op.Path, "overlay"):
			synced, marked = true, true
		}
		return nil
	}))
	for range 2 {
		d, err := Open(t.Context(), w.cfg)
		must(t, err)
		must(t, d.Close(t.Context()))
	}
	if markers == 0 || removed == 0 {
		t.Errorf("%d markers were made, %d removed", markers, removed)
	}
}

// TestTornLog starts over a log of Pebble's that a power cut has torn: it is turned off, and made all the same.
func TestTornLog(t *testing.T) {
	w := newWorld(7)
	d := w.open(t)
	commit(t, d, func(b *Batch) { b.PutInode(&Inode{Ino: 5}) })
	must(t, d.Close(t.Context()))
	f, err := w.fs.Create(w.fs.PathJoin(w.cfg.Dir, "overlay", "000099.log"), vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = f.Write(make([]byte, 4096))
	must(t, errors.Join(err, f.Close()))
	d = w.open(t)
	_, err = d.Inode(t.Context(), 5)
	must(t, errors.Join(err, d.Close(t.Context())))
}
