package volume

import (
	"context"
	"time"
)

// Accessed notes that somebody has read an inode just now, if that is due. It
// costs no commit of its own: the time is recorded with the next one of the
// inode, and by the flusher at the latest.
func (v *Volume) Accessed(ctx context.Context, ino uint64) error {
	in, err := v.get(ctx, ino)
	if err != nil {
		return err
	}
	defer v.put(in)
	if !v.accessDue(in) {
		return nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.gone { // meanwhile
		return nil
	}
	in.attr.Atime, in.changed = v.now(), true
	v.markDirty(in)
	return nil
}

// AccessDue says whether Accessed would note a time.
func (v *Volume) AccessDue(ctx context.Context, ino uint64) (bool, error) {
	in, err := v.get(ctx, ino)
	if err != nil {
		return false, err
	}
	defer v.put(in)
	return v.accessDue(in), nil
}

// accessDue is the rule of relatime: a time of access is worth noting if it does
// not come after the last change, which is what programs ask it for, or is a
// day old.
func (v *Volume) accessDue(in *inode) bool {
	if v.writable() != nil {
		return false
	}
	in.mu.RLock()
	defer in.mu.RUnlock()
	a := &in.attr
	stale := a.Atime <= a.Mtime || a.Atime <= a.Ctime || v.now()-a.Atime >= int64(24*time.Hour)
	return stale && !in.gone
}
