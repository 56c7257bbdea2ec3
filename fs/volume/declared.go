package volume

import (
	"context"
	"errors"

	"github.com/hammockfs/hammock/fs/meta"
)

// Undeclared gives the flags that an inode with this record among its own must have and does not: without them the
// record is never looked for.
func Undeclared(in *meta.Inode, r *meta.Record) uint32 {
	var need uint32
	switch r.Kind {
	case meta.KindPage:
		need = flagPages
	case meta.KindWindow:
		need = flagWindows
	case meta.KindXattr:
		need = flagXattrs
		if isACL(r.Name) {
			need |= flagACL
		}
		if r.Name == xattrCaps {
			need |= flagCaps
		}
	}
	return need &^ in.Flags
}

// ValidName says whether a name can be that of a directory entry.
func ValidName(name string) bool { return checkName(name) == nil }

// Settled calls fn while all that was written to an inode is recorded, and nothing of it is being recorded. An inode
// that is gone has nothing to settle: fn is not called.
func (v *Volume) Settled(ctx context.Context, ino uint64, fn func() error) error {
	in, err := v.get(ctx, ino)
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer v.put(in)
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.gone {
		return nil
	}
	if err := v.commit(ctx, in); err != nil {
		return err
	}
	return fn()
}
