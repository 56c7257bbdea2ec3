// Package room knows how much a disk has left and holds some of it back.
//
// The model. What has been taken from a program must find its place, and what makes room (removing files, noting that
// stripes are on peers) must itself be written down; but the disk belongs to others, too, and they may fill it at any
// moment. So a part of the disk is held by a file of nothing, the ballast. As long as it is there, new work is taken only
// while the disk has something left besides. When a write that must not fail finds the disk full, the ballast is dropped
// and the write repeated; from then on only such writes are let through. When there is room again, and some to spare, the
// ballast is made anew and everything is as before.
//
// The traps. Between the drop and the write that needed it another program may take the room: then that write fails, and
// its bytes stay where they were. A gauge looks at the disk now and then and not at each call: between two looks it
// believes what it saw.
package room

import (
	"errors"
	"math"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Full says whether an error is that of a disk, or of a user's share of it, that has no space left.
func Full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Scarce says whether an error is that of a process, or a system, that has no descriptor left: it says nothing about the
// file that was to be opened, and passes.
func Scarce(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// Endless is what a file system that cannot tell is taken to have left, in bytes.
const Endless = math.MaxInt64

// lookEvery is how old what a Gauge saw may be.
const lookEvery = 50 * time.Millisecond

// Gauge tells what the disk under a folder has left. Safe for concurrent use, and cheap enough for each write.
type Gauge struct {
	fs  vfs.FS
	dir string

	mu   sync.Mutex // guards what follows
	seen time.Time
	left int64
}

// NewGauge returns a gauge of the disk that dir lies on.
func NewGauge(fs vfs.FS, dir string) *Gauge { return &Gauge{fs: fs, dir: dir} }

// Left is how many bytes may still be written; Endless if nobody knows.
func (g *Gauge) Left() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.seen.IsZero() || time.Since(g.seen) >= lookEvery {
		g.look()
	}
	return g.left
}

// Look is Left as it is at this moment.
func (g *Gauge) Look() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.look()
	return g.left
}

func (g *Gauge) look() {
	g.left, g.seen = Endless, time.Now()
	if u, err := g.fs.GetDiskUsage(g.dir); err == nil {
		g.left = int64(min(u.AvailBytes, Endless))
	}
}
