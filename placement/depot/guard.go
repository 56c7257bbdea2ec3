package depot

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// guardPause is how long Pebble is held up after a failure that it repeats by itself; it has no pause of its own.
const guardPause = 100 * time.Millisecond

// guard stands between Pebble and a disk that fails. Pebble wants the process ended where its log, its manifest or a
// marker could not be written, and this process may serve its owner's files as well. Here the first such failure is a
// fault for good: nothing of the index is changed any more, so that the next start reads what the disk has, and the
// goroutine of Pebble that met it is stopped for ever. Whoever waits for Pebble waits for the fault, too: see wait. What
// is there can still be read.
type guard struct {
	fault  atomic.Pointer[error]
	broken chan struct{} // closed with the fault
	lock   atomic.Pointer[lock]
}

func newGuard() *guard { return &guard{broken: make(chan struct{})} }

// failed returns the fault, if there is one.
func (g *guard) failed() error {
	if err := g.fault.Load(); err != nil {
		return fmt.Errorf("%w: the index could not be written: %w", ErrClosed, *err)
	}
	return nil
}

// park makes an error the fault and stops the caller, a goroutine of Pebble.
func (g *guard) park(err error) {
	if g.fault.CompareAndSwap(nil, &err) {
		close(g.broken)
	}
	select {}
}

// wait runs something of Pebble's and returns when it has ended, or with the fault; it may never end then.
func (g *guard) wait(do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-g.broken:
		return g.failed()
	}
}

// unlock gives the folder free, which Pebble does not do where it was stopped.
func (g *guard) unlock() error {
	if l := g.lock.Load(); l != nil {
		return l.Close()
	}
	return nil
}

// lock is Pebble's lock of the folder.
type lock struct {
	io.Closer
	once sync.Once
}

func (l *lock) Close() (err error) {
	l.once.Do(func() { err = l.Closer.Close() })
	return err
}

// check passes an error on; one of a file that Pebble cannot do without stops it, and others are for it to repeat, after
// a pause.
func (g *guard) check(vital bool, err error) error {
	if err == nil {
		return nil
	}
	if vital {
		g.park(err)
	}
	time.Sleep(guardPause)
	return err
}

// hold stops whoever would change something after a fault.
func (g *guard) hold() {
	if err := g.failed(); err != nil {
		g.park(err)
	}
}

// guardFS is a file system with a guard.
type guardFS struct {
	vfs.FS
	guard *guard
}

// Unwrap lets Pebble find what lies below.
func (f guardFS) Unwrap() vfs.FS { return f.FS }

func (f guardFS) change(name string, do func() error) error {
	f.guard.hold()
	return f.guard.check(vital(f.PathBase(name)), do())
}

// Create makes a file.
func (f guardFS) Create(name string, c vfs.DiskWriteCategory) (file vfs.File, err error) {
	err = f.change(name, func() error { file, err = f.FS.Create(name, c); return err })
	return f.wrap(file, name), err
}

// ReuseForWrite makes a file of one that is not needed any more.
func (f guardFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (file vfs.File, err error) {
	err = f.change(name, func() error { file, err = f.FS.ReuseForWrite(old, name, c); return err })
	return f.wrap(file, name), err
}

// Rename renames a file.
func (f guardFS) Rename(from, to string) error {
	return f.change(to, func() error { return f.FS.Rename(from, to) })
}

// Remove deletes a file, which Pebble tries again if it fails.
func (f guardFS) Remove(name string) error {
	if err := f.guard.failed(); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

// Lock locks the folder.
func (f guardFS) Lock(name string) (io.Closer, error) {
	c, err := f.FS.Lock(name)
	if err != nil {
		return nil, err
	}
	l := &lock{Closer: c}
	f.guard.lock.Store(l)
	return l, nil
}

// OpenDir opens a folder, whose sync must not fail.
func (f guardFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardFile{file, f.guard, true}, nil
}

func (f guardFS) wrap(file vfs.File, name string) vfs.File {
	if file == nil {
		return nil
	}
	return &guardFile{file, f.guard, vital(f.PathBase(name))}
}

// guardFile is a file that is written, or a folder that is synced.
type guardFile struct {
	vfs.File
	guard *guard
	vital bool
}

func (f *guardFile) Write(p []byte) (int, error) {
	f.guard.hold()
	n, err := f.File.Write(p)
	return n, f.guard.check(f.vital, err)
}

func (f *guardFile) Sync() error { return f.synced(f.File.Sync) }

func (f *guardFile) SyncData() error { return f.synced(f.File.SyncData) }

// SyncTo promises nothing, and so has nothing to fail: a sync follows.
func (f *guardFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full && err == nil, f.guard.check(f.vital, err)
}

func (f *guardFile) synced(sync func() error) error {
	f.guard.hold()
	return f.guard.check(f.vital, sync())
}

// Preallocate is a wish: where it is not granted, the write that follows says why.
func (f *guardFile) Preallocate(off, n int64) error {
	_ = f.File.Preallocate(off, n)
	return nil
}
