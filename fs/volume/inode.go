package volume

import (
	"context"
	"sync"
	"time"

	"github.com/hammockfs/hammock/fs/meta"
)

// File types and bits of a mode, as in stat(2).
const (
	modeType   = 0o170000
	modeReg    = 0o100000
	modeDir    = 0o040000
	modeChar   = 0o020000
	modeBlock  = 0o060000
	modeFIFO   = 0o010000
	modeSocket = 0o140000
	modeLink   = 0o120000
	modeUID    = 0o4000
	modeGID    = 0o2000
	modeExec   = 0o0010 // group may execute
	modePerm   = 0o7777
	modeRWX    = 0o777
)

// Bits of meta.Inode.Flags: what an inode may have, so that what it certainly
// has not is never looked for.
const (
	flagPages   = 1 << 0
	flagWindows = 1 << 1
	flagXattrs  = 1 << 2
	flagCaps    = 1 << 3 // security.capability
	flagACL     = 1 << 4
)

// Attr is what stat(2) tells of an inode.
type Attr = meta.Inode

// inode is the state in memory of one inode in use.
type inode struct {
	ino   uint64
	kind  uint32    // the type in its mode; never changes, so that it may be read without a lock
	pins  int       // guarded by Volume.mu; the state is kept while it is above zero
	place place     // guarded by Volume.mu; where in Volume.idle or ghosts
	left  bool      // guarded by Volume.mu; the kernel forgot it while it was pinned
	seen  time.Time // guarded by Volume.mu; since when it is dirty

	mu      sync.RWMutex // guards all below
	attr    meta.Inode
	changed bool // attr differs from what is recorded
	gone    bool // no longer recorded: unlinked, and nobody has it open
	orphan  bool // unlinked, but open
	opens   int
	file    content           // of a regular file
	ghost   map[string][]byte // extended attributes of a gone inode
	names   int               // bytes of the list of extended attributes, 0 if they were not counted

	absent absence // of a directory; has a lock of its own
}

func (in *inode) isDir() bool { return in.kind == modeDir }
func (in *inode) isReg() bool { return in.kind == modeReg }

// loading is a state that somebody reads from the records; others wait for it.
type loading struct {
	done chan struct{}
	err  error
}

// get returns the pinned state of an inode; put gives it back.
func (v *Volume) get(ctx context.Context, ino uint64) (*inode, error) {
	for {
		v.mu.Lock()
		if in := v.inodes[ino]; in != nil {
			v.pin(in)
			v.mu.Unlock()
			return in, nil
		}
		l := v.loads[ino]
		if l == nil {
			l = &loading{done: make(chan struct{})}
			v.loads[ino] = l
			v.mu.Unlock()
			return v.load(ctx, ino, l)
		}
		v.mu.Unlock()
		select {
		case <-l.done:
			if l.err != nil && ctx.Err() == nil && !isContext(l.err) {
				return nil, l.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (v *Volume) load(ctx context.Context, ino uint64, l *loading) (*inode, error) {
	attr, err := v.db.Inode(ctx, ino)
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.loads, ino)
	l.err = err
	close(l.done)
	if err != nil {
		return nil, err
	}
	return v.remember(attr), nil
}

// remember makes the pinned state of an inode that has none yet. v.mu is held.
func (v *Volume) remember(attr meta.Inode) *inode {
	in := &inode{ino: attr.Ino, kind: attr.Mode & modeType, attr: attr, pins: 1}
	in.file.solid, in.file.size, in.file.blocks = attr.Size, attr.Size, attr.Blocks
	v.inodes[attr.Ino] = in
	if attr.Flags&flagPages != 0 && attr.Size > inlineData && in.isReg() {
		if _, ok := v.paged[attr.Ino]; !ok { // its pages are from before a restart
			v.wait(attr.Ino, attr.Size)
		}
	}
	return in
}

// adopt makes the pinned state of an inode that is about to be recorded, so
// that nobody makes a second one meanwhile. It returns it locked: the caller
// unlocks it, or, if it cannot be recorded, abandons it.
func (v *Volume) adopt(attr meta.Inode) *inode {
	v.mu.Lock()
	defer v.mu.Unlock()
	in := v.remember(attr)
	in.mu.Lock()
	return in
}

// abandon undoes adopt.
func (v *Volume) abandon(in *inode) {
	in.gone = true
	in.mu.Unlock()
	v.mu.Lock()
	delete(v.inodes, in.ino)
	v.mu.Unlock()
}

// pin keeps a state in memory. v.mu is held.
func (v *Volume) pin(in *inode) {
	in.leave()
	in.left = false
	in.pins++
}

// put gives back what get, adopt or pin gave.
func (v *Volume) put(in *inode) {
	v.mu.Lock()
	defer v.mu.Unlock()
	in.pins--
	if in.pins > 0 {
		return
	}
	if v.inodes[in.ino] != in {
		return // abandoned
	}
	kept := &v.idle
	if in.gone { // nobody pins it, so nobody holds or waits for its lock
		kept = &v.ghosts
	}
	if in.gone && in.left {
		v.forget(in)
		return
	}
	kept.pushBack(in)
	for kept.n > v.cfg.Inodes {
		v.forget(kept.first)
	}
}

// forget drops a state without pins. v.mu is held.
func (v *Volume) forget(in *inode) {
	in.leave()
	delete(v.inodes, in.ino)
}

// Forget tells that the kernel no longer knows the inode. A removed inode's
// last attributes, kept for a stat through an open descriptor of its path, go
// with it.
func (v *Volume) Forget(ino uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch in := v.inodes[ino]; {
	case in == nil:
	case in.pins > 0:
		in.left = true
	case in.gone: // nobody pins it, so nobody holds or waits for its lock
		v.forget(in)
	}
}

// markDirty notes that the inode has something to commit. in.mu is held.
func (v *Volume) markDirty(in *inode) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.dirty[in.ino]; ok {
		return
	}
	v.pin(in)
	in.seen = v.cfg.Now()
	v.dirty[in.ino] = in
}

// markClean undoes markDirty. in.mu is held.
func (v *Volume) markClean(in *inode) {
	v.mu.Lock()
	_, ok := v.dirty[in.ino]
	delete(v.dirty, in.ino)
	v.mu.Unlock()
	if ok {
		v.put(in)
	}
}

// record puts attributes into a batch that carries none of the file's bytes:
// while some of those wait, size and blocks stay as they are recorded.
func (in *inode) record(b *meta.Batch, a Attr) {
	if in.isReg() && in.file.unrecorded() {
		a.Size, a.Blocks = in.file.size, in.file.blocks
	}
	b.PutInode(&a)
}
