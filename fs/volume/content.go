package volume

import (
	"context"
	"errors"
	"sync"
)

// content is the state of a regular file's bytes. inode.mu guards it: held
// shared it may be read, held exclusively it may be changed; what readers fill
// in from the records is guarded by cached besides.
type content struct {
	dirty   runs
	sealing []*sealing // oldest first
	hand    uint64     // where the next pages are taken for sealing that were written here and there
	eager   int64      // how many dirty bytes it takes before such are looked for again
	sealed  uint64     // where the last sealed run ended, if something was sealed since the last commit
	solid   uint64     // the size that recorded (or soon to be recorded) bytes bear out
	size    uint64     // as recorded
	blocks  uint64     // as recorded

	edits   map[uint64][]byte // page number -> content to be recorded; nil: to be deleted
	changed int               // how many windows are to be recorded
	clipped bool              // what is recorded at or behind clip is to be deleted
	clip    uint64

	cached  sync.Mutex
	windows map[uint64]*window
	pages   map[uint64]*pageBits // window number -> the pages that exist, recorded or in edits
	known   bool                 // pages has been filled in

	reader progress // guarded by cached
}

// pending is how many written bytes are not in pages or windows yet.
func (f *content) pending() int64 {
	n := f.dirty.bytes
	for _, s := range f.sealing {
		n += s.taken.bytes
	}
	return n
}

// unrecorded says whether anything of the file's bytes is not in the journal.
func (f *content) unrecorded() bool {
	return f.pending() > 0 || f.changed > 0 || len(f.edits) > 0 || f.clipped
}

// bearableSize is the size to record with all that is in pages and windows:
// bytes that are still dirty would otherwise come back as zeros after a crash.
func (in *inode) bearableSize() uint64 {
	if in.file.pending() == 0 {
		return in.attr.Size
	}
	return min(in.file.solid, in.attr.Size)
}

// clipTo notes that what is recorded at or behind size is to be deleted.
func (f *content) clipTo(size uint64) {
	if !f.clipped || size < f.clip {
		f.clip = size
	}
	f.clipped = true
}

// keep remembers a window that was read; cached is held. Windows that are not
// to be recorded make room.
func (f *content) keep(w uint64, win *window) {
	if f.windows == nil {
		f.windows = map[uint64]*window{}
	}
	if len(f.windows) >= keptWindows+f.changed {
		for other, x := range f.windows {
			if !x.changed {
				delete(f.windows, other)
				break
			}
		}
	}
	f.windows[w] = win
}

// change notes that a window is to be recorded. inode.mu is held exclusively.
func (f *content) change(w uint64, win *window) {
	f.windows[w] = win
	if !win.changed {
		win.changed = true
		f.changed++
	}
}

// loadPages fills in which pages exist. inode.mu is held, shared or not.
func (v *Volume) loadPages(ctx context.Context, in *inode) error {
	f := &in.file
	f.cached.Lock()
	defer f.cached.Unlock()
	if f.known {
		return nil
	}
	if f.pages == nil {
		f.pages = map[uint64]*pageBits{}
	}
	if in.attr.Flags&flagPages != 0 {
		list, err := v.db.Pages(ctx, in.ino)
		if err != nil {
			return err
		}
		for _, p := range list {
			f.bits(p / windowPages).set(p % windowPages)
		}
	}
	f.known = true
	return nil
}

// bits returns the page bits of a window, to be changed.
func (f *content) bits(w uint64) *pageBits {
	b := f.pages[w]
	if b == nil {
		b = &pageBits{}
		f.pages[w] = b
	}
	return b
}

// hasPage says whether a page exists; loadPages has been called.
func (f *content) hasPage(p uint64) bool {
	b := f.pages[p/windowPages]
	return b != nil && b.has(p%windowPages)
}

// putPage sets the content of a page, to be recorded with the next commit.
func (f *content) putPage(p uint64, data []byte) {
	f.bits(p / windowPages).set(p % windowPages)
	f.edit(p, data)
}

// dropPage deletes a page that exists, likewise.
func (f *content) dropPage(p uint64) {
	w := p / windowPages
	b := f.pages[w]
	b.unset(p % windowPages)
	if b.count() == 0 {
		delete(f.pages, w)
	}
	f.edit(p, nil)
}

func (f *content) edit(p uint64, data []byte) {
	if f.edits == nil {
		f.edits = map[uint64][]byte{}
	}
	f.edits[p] = data
}

// page reads a page that exists into dst, which is meta.Page long: what the
// page does not hold is zeros.
func (v *Volume) page(ctx context.Context, in *inode, p uint64, dst []byte) error {
	if data, ok := in.file.edits[p]; ok {
		clear(dst[copy(dst, data):])
		return nil
	}
	data, ok, err := v.db.Page(ctx, in.ino, p, dst[:0])
	if err != nil {
		return err
	}
	if !ok {
		data = nil
	}
	clear(dst[copy(dst, data):])
	return nil
}

func isNotExist(err error) bool { return errors.Is(err, ErrNotExist) }

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// hasPages says whether any page exists; loadPages has been called.
func (f *content) hasPages() bool { return len(f.pages) > 0 }
