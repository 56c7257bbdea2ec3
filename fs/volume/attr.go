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
	KillPriv     bool   // the change comes from somebody unprivileged: set-ID bits go
}

// SetAttr changes attributes in one commit and returns the new ones.
func (v *Volume) SetAttr(ctx context.Context, ino uint64, s SetAttr) (Attr, error) {
	in, err := v.get(ctx, ino)
	if err != nil {
		return Attr{}, err
	}
	defer v.put(in)
	in.mu.Lock()
	defer in.mu.Unlock()
	if s.Size != nil {
		if err := v.resize(ctx, in, *s.Size); err != nil {
			return Attr{}, err
		}
	}
	attr := in.attr
	s.apply(&attr)
	attr.Ctime = v.now()
	if in.gone {
		in.attr = attr
		return in.stat(), nil
	}
	b := v.db.NewBatch()
	in.record(b, attr)
	if err := v.db.Commit(ctx, b); err != nil {
		return Attr{}, fmt.Errorf("record attributes of inode %d: %w", ino, err)
	}
	in.attr = attr
	return in.stat(), nil
}

func (s *SetAttr) apply(a *Attr) {
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
	}
	return v.truncate(ctx, in, size)
}

// truncate sets a file's size and commits that. in.mu is held exclusively.
func (v *Volume) truncate(ctx context.Context, in *inode, size uint64) error {
	f := &in.file
	if err := v.applySealed(ctx, in, len(f.sealing)); err != nil {
		return err
	}
	b := v.db.NewBatch()
	if size < in.attr.Size {
		v.dirtyBytes.Add(-f.dirty.cut(size))
		if err := v.shorten(ctx, in, size); err != nil {
			return err
		}
		b.Clip(in.ino, size)
	}
	now := v.now()
	in.attr.Size, f.solid = size, size
	in.attr.Mtime, in.attr.Ctime = now, now
	in.changed = true
	if in.gone {
		return nil
	}
	for p, data := range f.edits {
		if data == nil {
			b.DeletePage(in.ino, p)
		} else {
			b.PutPage(in.ino, p, data)
			in.attr.Flags |= flagPages
		}
	}
	if err := v.recordRest(ctx, in, b); err != nil {
		v.markDirty(in)
		return err
	}
	if f.pending() == 0 {
		v.markClean(in)
	}
	return nil
}
