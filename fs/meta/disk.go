package meta

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/room"
)

// diskPause is how long Pebble is held up after a failure before it may try again. It tries without end and without a
// pause of its own.
const diskPause = 100 * time.Millisecond

// disk is what is known about the disk under the overlay. Pebble works in goroutines that have nobody to return an error
// to: it repeats what can be repeated, and wants the process ended where its manifest could not be written. Here a full
// disk is waited out instead, any other failure of the manifest ends all changes (see park), and both are told to
// whoever waits for a flush.
type disk struct {
	wait   time.Duration
	spare  *room.Ballast
	fault  atomic.Pointer[error] // what nothing goes on after before a restart
	parked chan struct{}         // closed when a goroutine of Pebble was stopped for good
	once   sync.Once
	broken chan struct{} // closed with the fault
	stop   chan struct{} // closed when nobody waits any more
	busy   atomic.Bool   // Pebble is open: failures have no caller
	left   atomic.Bool   // Pebble was given up: whoever of it comes here stays

	mu   sync.Mutex
	err  error         // the newest failure
	news chan struct{} // closed at the next one
}

func newDisk(pause time.Duration, spare *room.Ballast) *disk {
	if pause == 0 {
		pause = diskPause
	}
	return &disk{wait: pause, spare: spare, broken: make(chan struct{}), parked: make(chan struct{}), stop: make(chan struct{}), news: make(chan struct{})}
}

// fail ends all changes.
func (k *disk) fail(err error) {
	if k.fault.CompareAndSwap(nil, &err) {
		close(k.broken)
	}
	k.note(err)
}

// fatal is fail for Pebble's own goroutines while it is opened, which come again at once.
func (k *disk) fatal(err error) {
	if k.failed() != nil {
		k.pause()
	}
	k.fail(err)
	if k.left.Load() {
		select {}
	}
}

func (k *disk) failed() error {
	if err := k.fault.Load(); err != nil {
		return fmt.Errorf("%w: %w", ErrBroken, *err)
	}
	return nil
}

// note tells those who wait for a flush.
func (k *disk) note(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
	close(k.news)
	k.news = make(chan struct{})
}

// next returns a channel that is closed at the next failure.
func (k *disk) next() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.news
}

func (k *disk) last() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

// again is asked after a failed operation. It pauses, and says whether to repeat the operation here. For kept files, whose
// failure Pebble does not survive, it is either that, for want of space or descriptors, or the end.
func (k *disk) again(err error, kept bool) bool {
	if !k.busy.Load() {
		return false // somebody is waiting for Open
	}
	k.note(err)
	if room.Full(err) {
		k.spare.Drop()
	}
	if kept && (!passing(err) || !k.pause()) {
		k.park(err)
	}
	if !kept {
		k.pause()
	}
	return kept
}

// passing says whether a failure is want of something that may be there again: space, or descriptors.
func passing(err error) bool {
	return room.Full(err) || room.Scarce(err)
}

// park ends all changes and keeps the calling goroutine of Pebble for good: what Pebble holds in memory is not in order
// after a failure of its manifest. It can still be read.
func (k *disk) park(err error) {
	k.fail(fmt.Errorf("overlay: %w", err))
	k.once.Do(func() { close(k.parked) })
	select {}
}

// pause returns false if nobody waits any more.
func (k *disk) pause() bool {
	t := time.NewTimer(k.wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-k.stop:
		return false
	}
}

// refuse returns the fault, if there is one, and holds Pebble up until Close then: it would try without end.
func (k *disk) refuse() error {
	err := k.failed()
	if err != nil && k.busy.Load() {
		<-k.stop
	}
	return err
}

// overlayFS is what Pebble lies on. After a fault it changes nothing any more: what is on the disk then is what the next
// start reads, and Pebble would remove tables that the manifest may already name.
//
// It also syncs the folder before each marker file is made and before one is removed. Pebble makes a manifest, then the
// marker that names it, removes the marker of before, and then syncs the folder once: where the file system does not keep
// changes of a folder in order, a power cut may leave the marker without the manifest (cockroachdb/pebble pull request
// 5915), or no marker at all, and Pebble would begin an empty overlay.
type overlayFS struct {
	vfs.FS
	disk *disk
}

// Unwrap lets Pebble find what lies below.
func (f overlayFS) Unwrap() vfs.FS { return f.FS }

// Create makes a file; a marker only after the names that were there before are safe.
func (f overlayFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	marker := f.isMarker(name)
	kept := marker || strings.HasPrefix(f.PathBase(name), "MANIFEST-")
	for {
		file, err := f.create(name, c, marker)
		if err == nil {
			return &overlayFile{file, f.disk, kept}, nil
		}
		if !f.disk.again(err, kept) {
			return nil, err
		}
	}
}

func (f overlayFS) create(name string, c vfs.DiskWriteCategory, marker bool) (vfs.File, error) {
	if err := f.disk.refuse(); err != nil {
		return nil, err
	}
	if marker {
		if err := syncDir(f.FS, f.PathDir(name)); err != nil {
			return nil, err
		}
	}
	return f.FS.Create(name, c)
}

// OpenDir opens a folder. Pebble panics when it cannot sync one.
func (f overlayFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &overlayDir{file, f.disk}, nil
}

func (f overlayFS) isMarker(name string) bool { return strings.HasPrefix(f.PathBase(name), "marker.") }

// Remove deletes a file; a marker only after the one that follows it is safe.
func (f overlayFS) Remove(name string) error {
	if err := f.disk.failed(); err != nil {
		return err
	}
	if f.isMarker(name) {
		if err := syncDir(f.FS, f.PathDir(name)); err != nil {
			return err // Pebble tries again later
		}
	}
	return f.FS.Remove(name)
}

// Rename renames a file.
func (f overlayFS) Rename(from, to string) error {
	if err := f.disk.failed(); err != nil {
		return err
	}
	return f.FS.Rename(from, to)
}

// overlayFile is a file that Pebble writes. kept: its failures are not survived by Pebble.
type overlayFile struct {
	vfs.File
	disk *disk
	kept bool
}

func (f *overlayFile) Write(p []byte) (done int, err error) {
	for {
		if err := f.disk.refuse(); err != nil {
			return done, err
		}
		n, err := f.File.Write(p[done:])
		done += n
		if err == nil || !f.disk.again(err, f.kept) {
			return done, err
		}
	}
}

// Sync is never repeated: after a failure the kernel may have dropped the pages.
func (f *overlayFile) Sync() error { return f.synced(f.File.Sync) }

func (f *overlayFile) SyncData() error { return f.synced(f.File.SyncData) }

func (f *overlayFile) synced(sync func() error) error {
	err := f.disk.refuse()
	if err == nil {
		err = sync()
	}
	if err != nil && f.kept && f.disk.busy.Load() {
		f.disk.park(err)
	}
	if err != nil {
		f.disk.again(err, false)
	}
	return err
}

// overlayDir is a folder whose sync never fails for Pebble, which would panic: a failure is a fault.
type overlayDir struct {
	vfs.File
	disk *disk
}

func (f *overlayDir) Sync() error {
	err := f.File.Sync()
	if err == nil {
		return nil
	}
	err = fmt.Errorf("sync the folder of the overlay: %w", err)
	if f.disk.busy.Load() {
		f.disk.park(err)
	}
	f.disk.fail(err)
	return nil
}

func syncDir(fs vfs.FS, dir string) error {
	f, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// pebbleLog passes on what went wrong and drops the chatter.
type pebbleLog struct{ d *DB }

func (pebbleLog) Infof(string, ...any) {}
func (l pebbleLog) Errorf(format string, args ...any) {
	l.d.log.Error("metadata overlay: " + fmt.Sprintf(format, args...))
}

// Fatalf is called when Pebble cannot go on. Where that is for an error of the disk while it is opened, or of a commit, it
// returns, for then Pebble gives up what it was doing, and the fault keeps everything else from going on. Anything else is
// a mistake in the program, whose memory is not to be trusted.
func (l pebbleLog) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.d.log.Error("metadata overlay: " + text)
	for _, a := range args {
		err, ok := a.(error)
		if ok && (strings.HasPrefix(text, "MANIFEST ") || strings.HasPrefix(text, "pebble: fatal commit error")) {
			l.d.disk.fatal(fmt.Errorf("overlay: %w", err))
			return
		}
	}
	panic(text)
}

// listener hears of failures that Pebble tells nobody else. A flush that found nothing to write ends with an error too, but
// only a failure is then a background error; those of compactions are not for who waits for a flush.
func (d *DB) listener() *pebble.EventListener {
	var mu sync.Mutex
	var ended error // how the last flush did
	var told time.Time
	return &pebble.EventListener{
		FlushEnd: func(i pebble.FlushInfo) {
			mu.Lock()
			defer mu.Unlock()
			ended = i.Err
		},
		BackgroundError: func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if now := time.Now(); now.Sub(told) > 10*time.Second {
				told = now
				d.log.Error("metadata overlay: work in the background failed and is tried again", "error", err)
			}
			if errors.Is(err, ended) {
				d.disk.note(err)
			}
		},
	}
}
