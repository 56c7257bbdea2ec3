package volume

import (
	"context"
	"slices"

	"github.com/hammockfs/hammock/fs/meta"
)

// Extents returns where a file's committed bytes lie, in order, and how many
// further bytes are still small data in the journal and overlay. It commits
// what is dirty first. What is no regular file has none.
func (v *Volume) Extents(ctx context.Context, ino uint64) (extents []meta.Extent, small uint64, err error) {
	in, err := v.get(ctx, ino)
	if err != nil {
		return nil, 0, err
	}
	defer v.put(in)
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.isReg() {
		return nil, 0, nil
	}
	if err := v.commit(ctx, in); err != nil {
		return nil, 0, err
	}
	if err := v.loadPages(ctx, in); err != nil {
		return nil, 0, err
	}
	for _, b := range in.file.pages {
		small += uint64(b.count()) * meta.Page
	}
	if in.attr.Flags&flagWindows == 0 {
		return nil, min(small, in.attr.Size), nil
	}
	windows, err := v.db.Windows(ctx, ino)
	if err != nil {
		return nil, 0, err
	}
	slices.Sort(windows)
	for _, w := range windows {
		win, err := v.window(ctx, in, w)
		if err != nil {
			return nil, 0, err
		}
		extents = append(extents, win.extents...)
	}
	return extents, min(small, in.attr.Size), nil
}
