package volume

import (
	"context"
	"fmt"
)

// SetAttr says what to change of an inode's attributes; what is nil stays.
type SetAttr struct {
	Mode         *uint32 // permission bits only
	UID, GID     *uint32
	Size         *uint64
	Atime, Mtime *int64 // nanoseconds since 1970
	KillPriv     bool   // the change comes from somebody unprivileged, or is one of owner: set-ID bits go
}

// SetAttr changes attributes in one commit and returns the new ones. A new size
// takes one before, as does the loss of capabilities.
func (v *Volume) SetAttr(ctx context.Context, ino uint64, s SetAttr) (Attr, error) {
	if err := v.writable(); err != nil {
		return Attr{}, err
	}
	in, err := v.get(ctx, ino)
	if err != nil {
		return Attr{}, err
	}
	defer v.put(in)
	in.mu.Lock()
	defer in.mu.Unlock()
	if s.KillPriv || s.UID != nil || s.GID != nil {
		if err := v.killCaps(ctx, in); err != nil {
			return Attr{}, err
		}
	}
	if s.Size != nil {
		if err := v.resize(ctx, in, *s.Size); err != nil {
			return Attr{}, err
		}
	}
	attr := in.attr
	s.apply(&attr, v.now())
	if in.gone {
		in.attr = attr
		return v.stat(ctx, in), nil
	}
	if s.timesOnly() && in.wait(&attr) || v.commitWith(ctx, in, &attr) {
		return v.stat(ctx, in), nil
	}
	b := v.db.NewBatch()
	defer b.Recycle()
	if s.Mode != nil {
		if err := v.chmodACL(ctx, b, in, attr.Mode); err != nil {
			return Attr{}, err
		}
	}
	in.record(b, attr)
	if err := v.db.Commit(ctx, b); err != nil {
		return Attr{}, fmt.Errorf("record attributes of inode %d: %w", ino, err)
	}
	in.attr = attr
	return v.stat(ctx, in), nil
}

// timesOnly says whether nothing changes but times.
func (s *SetAttr) timesOnly() bool {
	return s.Mode == nil && s.UID == nil && s.GID == nil && s.Size == nil && !s.KillPriv
}

// wait leaves new times of a file to the commit of the bytes that it waits for. in.mu is held exclusively.
func (in *inode) wait(attr *Attr) bool {
	if in.file.pending() == 0 {
		return false
	}
	in.attr, in.changed = *attr, true
	return true
}

// commitWith commits new attributes of a small file with all its bytes, if those wait: who copies one sets its mode
// between the last write and the close, which then finds nothing to do. It returns false if the attributes are to be
// recorded by themselves. in.mu is held exclusively.
func (v *Volume) commitWith(ctx context.Context, in *inode, attr *Attr) bool {
	if !in.allDirty() || attr.Flags&flagACL != 0 {
		return false
	}
	old := in.attr
	in.attr, in.changed = *attr, true
	err := v.settleWhole(ctx, in)
	if err == nil {
		err = v.commit(ctx, in)
	}
	if err != nil { // that of the bytes belongs to whoever closes the file
		in.attr.Mode, in.attr.UID, in.attr.GID = old.Mode, old.UID, old.GID
		in.attr.Atime, in.attr.Mtime, in.attr.Ctime = old.Atime, old.Mtime, old.Ctime
	}
	return err == nil
}

// apply changes all but the size. ftruncate(2) and truncate(2) change the mtime
// in ext4 even if the size stays.
func (s *SetAttr) apply(a *Attr, now int64) {
	a.Ctime = now
	if s.Size != nil {
		a.Mtime = now
	}
	if s.Mode != nil {
		a.Mode = a.Mode&^modePerm | *s.Mode&modePerm
	}
	if s.UID != nil {
		a.UID = *s.UID
	}
	if s.GID != nil {
		a.GID = *s.GID
	}
	if s.Atime != nil {
		a.Atime = *s.Atime
	}
	if s.Mtime != nil {
		a.Mtime = *s.Mtime
	}
	if s.KillPriv && a.Mode&modeType != modeDir {
		a.Mode = withoutPriv(a.Mode)
	}
}

func (v *Volume) resize(ctx context.Context, in *inode, size uint64) error {
	switch {
	case in.isDir():
		return ErrIsDir
	case !in.isReg():
		return ErrInvalid
	case size > MaxSize:
		return ErrTooBig
	case size == in.attr.Size:
		return v.killCaps(ctx, in)
	}
	return v.truncate(ctx, in, size)
}

// truncate sets a file's size and commits that. in.mu is held exclusively.
func (v *Volume) truncate(ctx context.Context, in *inode, size uint64) error {
	f := &in.file
	if in.gone {
		in.attr.Size = size
		return nil
	}
	if err := v.killCaps(ctx, in); err != nil {
		return err
	}
	if err := v.applySealed(ctx, in, len(f.sealing)); err != nil {
		return err
	}
	if size < in.attr.Size {
		if err := v.cutOff(ctx, in, size); err != nil {
			return err
		}
	}
	f.sealed = 0
	if f.solid = min(f.solid, size); f.pending() == 0 {
		f.solid = size
	}
	now := v.now()
	in.attr.Size, in.attr.Mtime, in.attr.Ctime = size, now, now
	in.changed = true
	v.markDirty(in)
	// It has happened; that the caller is interrupted does not undo it.
	if err := v.recordFile(context.WithoutCancel(ctx), in); err != nil {
		return err
	}
	if f.pending() == 0 {
		v.markClean(in)
	}
	return nil
}
