package volume

import (
	"context"
	"fmt"
)

// File is an open regular file. Its methods are safe for concurrent use; after
// Release none is called.
type File struct {
	v  *Volume
	in *inode
}

// Open opens a regular file, and empties it first if truncate is set. For
// anything else use the inode number: directories need no handle here.
func (v *Volume) Open(ctx context.Context, ino uint64, truncate bool) (*File, error) {
	if err := v.writable(); truncate && err != nil {
		return nil, err
	}
	in, err := v.get(ctx, ino)
	if err != nil {
		return nil, err
	}
	f, err := v.open(ctx, in, truncate)
	if err != nil {
		v.put(in)
	}
	return f, err
}

func (v *Volume) open(ctx context.Context, in *inode, truncate bool) (*File, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.isDir():
		return nil, ErrIsDir
	case !in.isReg():
		return nil, ErrInvalid
	case in.gone:
		return nil, ErrNotExist
	}
	if truncate {
		if err := v.truncate(ctx, in, 0); err != nil {
			return nil, err
		}
	}
	in.opens++
	return &File{v: v, in: in}, nil
}

// Ino is the file's inode number.
func (f *File) Ino() uint64 { return f.in.ino }

// Read fills p with the bytes at off and returns how many there are before the
// end of the file: fewer than len(p) only there.
func (f *File) Read(ctx context.Context, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, ErrInvalid
	}
	n, err := f.v.read(ctx, f.in, p, uint64(off))
	if err != nil {
		return 0, fmt.Errorf("read %d bytes of inode %d at %d: %w", len(p), f.in.ino, off, err)
	}
	return n, nil
}

// Write copies p into the file at off. The bytes are in memory when it
// returns; Flush makes them survive the daemon, Fsync the power.
func (f *File) Write(ctx context.Context, p []byte, off int64) (int, error) {
	if err := f.v.writable(); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, ErrInvalid
	}
	if uint64(off)+uint64(len(p)) > MaxSize {
		return 0, ErrTooBig
	}
	if len(p) == 0 {
		return 0, nil
	}
	f.v.promised.Add(int64(len(p)))
	defer f.v.promised.Add(-int64(len(p)))
	if err := f.v.relieve(ctx, f.in); err != nil { // first, so that what cannot be kept is never taken
		return 0, err
	}
	if err := f.v.write(ctx, f.in, p, uint64(off)); err != nil {
		return 0, err
	}
	f.v.written.Add(int64(len(p)))
	return len(p), nil
}

func (v *Volume) write(ctx context.Context, in *inode, p []byte, off uint64) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := v.killCaps(ctx, in); err != nil {
		return err
	}
	f := &in.file
	long := f.dirty.reach(off, len(p)) >= sealAt
	if err := v.advance(ctx, in, long); err != nil {
		return err
	}
	grown, r := f.dirty.write(p, off)
	v.dirtyBytes.Add(grown)
	now := v.now()
	in.attr.Size = max(in.attr.Size, off+uint64(len(p)))
	in.attr.Mtime, in.attr.Ctime = now, now
	in.changed = true
	v.markDirty(in)
	switch {
	case len(f.sealing) >= maxSealing:
	case len(r.buf) >= sealAt:
		v.startSealing(in, r)
	default:
		v.startScattered(in)
	}
	return nil
}

// advance makes extents of what has been sealed meanwhile, records them when
// they are many, and with wait waits until one more run may be sealed. It runs
// before a write's bytes are taken, so that a failure is that write's. in.mu is
// held exclusively.
func (v *Volume) advance(ctx context.Context, in *inode, wait bool) error {
	n := 0
	if wait {
		n = len(in.file.sealing) - maxSealing + 1
	}
	if err := v.applySealed(ctx, in, n); err != nil {
		return err
	}
	if in.file.changed < keptWindows {
		return nil
	}
	return v.recordFile(ctx, in)
}

// Flush commits what has been written: when it returns, the bytes survive the
// death of this process.
func (f *File) Flush(ctx context.Context) error { return f.flush(ctx, true) }

// flush is Flush. What closes is not synced next, as a rule, and may go where a
// sync would cost more.
func (f *File) flush(ctx context.Context, closes bool) error {
	in := f.in
	in.mu.RLock()
	clean := !in.changed && in.file.pending() == 0 && in.file.changed == 0 && len(in.file.edits) == 0
	in.mu.RUnlock()
	if clean {
		return nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if closes {
		if err := f.v.settleWhole(ctx, in); err != nil {
			return err
		}
	}
	return f.v.commit(ctx, in)
}

// Fsync commits what has been written and returns when it survives a power
// cut.
func (f *File) Fsync(ctx context.Context) error {
	if err := f.flush(ctx, false); err != nil {
		return err
	}
	return f.v.db.Sync(ctx)
}

// Release closes the file. It commits like Flush, for bytes that came through
// a mapping after the last Flush, and removes the inode if it has no name left.
func (f *File) Release(ctx context.Context) error {
	in := f.in
	defer f.v.put(in)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.opens--
	if in.opens == 0 && in.orphan {
		return f.v.reap(ctx, in)
	}
	return f.v.commit(ctx, in)
}

// KillPriv takes the set-user-ID bit from the file, and the set-group-ID bit
// if the group may execute it, as a write by somebody unprivileged does.
func (f *File) KillPriv() {
	in := f.in
	in.mu.Lock()
	defer in.mu.Unlock()
	if mode := withoutPriv(in.attr.Mode); mode != in.attr.Mode {
		in.attr.Mode, in.attr.Ctime, in.changed = mode, f.v.now(), true
		f.v.markDirty(in)
	}
}

func withoutPriv(mode uint32) uint32 {
	mode &^= modeUID
	if mode&modeExec != 0 {
		mode &^= modeGID
	}
	return mode
}
