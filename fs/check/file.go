package check

import (
	"fmt"
	"math/bits"

	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/volume"
)

// file judges the records of one inode, which pass by in the order of their keys.
type file struct {
	ino      uint64
	here     bool
	attr     meta.Inode
	end      uint64 // of what is recorded of its bytes
	flags    uint32 // that it lacks
	dirents  bool
	data     bool
	xattrs   bool
	unsure   bool                   // some record of it does not decode
	covered  map[uint64]*windowBits // by window: which pages have bytes
	findings []fileFinding
}

// fileFinding is what does not fit in one inode, with the attributes that would.
type fileFinding struct {
	rule Rule
	note bool
	text string
	set  func(*meta.Inode) // nil: nothing would do
}

const windowPages = meta.Window / meta.Page

// windowBits says which pages of a window have bytes.
type windowBits [windowPages / 64]uint64

func (b *windowBits) set(lo, hi uint64) {
	for ; lo < hi; lo++ {
		b[lo/64] |= 1 << (lo % 64)
	}
}

func (b *windowBits) count() (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

func newFile(ino uint64) *file { return &file{ino: ino} }

func (f *file) bits(window uint64) *windowBits {
	if f.covered == nil {
		f.covered = map[uint64]*windowBits{}
	}
	b := f.covered[window]
	if b == nil {
		b = new(windowBits)
		f.covered[window] = b
	}
	return b
}

func (f *file) record(r *meta.Record) {
	if r.Bad != nil {
		f.unsure = true
		return
	}
	if r.Kind != meta.KindInode {
		f.flags |= volume.Undeclared(&f.attr, r)
	}
	switch r.Kind {
	case meta.KindInode:
		f.here, f.attr = true, r.Inode
	case meta.KindXattr:
		f.xattrs = true
	case meta.KindDirent:
		f.dirents = true
	case meta.KindWindow:
		f.data = true
		for i := range r.Extents {
			e := &r.Extents[i]
			lo, hi := e.Off, e.Off+uint64(e.Len)
			f.end = max(f.end, hi)
			base := r.Number * meta.Window
			f.bits(r.Number).set((lo-base)/meta.Page, (hi-base+meta.Page-1)/meta.Page)
		}
	case meta.KindPage:
		f.data = true
		if n := uint64(len(r.Data)); n > 0 {
			f.end = max(f.end, r.Number*meta.Page+n)
		}
		f.bits(r.Number/windowPages).set(r.Number%windowPages, r.Number%windowPages+1)
	}
}

func (f *file) add(rule Rule, note bool, set func(*meta.Inode), format string, args ...any) {
	f.findings = append(f.findings, fileFinding{rule, note, fmt.Sprintf(format, args...), set})
}

// judge looks at all of it together. What concerns names is judged elsewhere.
func (f *file) judge() {
	if !f.here {
		if !f.unsure { // else its record is a finding by itself
			f.add(Owner, false, nil, "has records but does not exist")
		}
		return
	}
	f.judgeType()
	if f.flags != 0 {
		flags := f.flags
		f.add(Declared, false, func(a *meta.Inode) { a.Flags |= flags }, "does not say that it has what is recorded of it (flags %b)", flags)
	}
	if f.attr.Mode>>12 == typeReg && !f.unsure {
		f.judgeBytes()
	}
}

func (f *file) judgeType() {
	a, typ := &f.attr, f.attr.Mode>>12
	switch typ {
	case typeReg, typeDir, typeLink, typeFIFO, typeChar, typeBlock, typeSocket:
	default:
		f.add(Inode, false, f.likelyType(), "is of no known type (mode %o)", a.Mode)
		return
	}
	switch {
	case f.ino == volume.Root && typ != typeDir:
		f.add(Inode, false, f.likelyType(), "is the root and no directory")
	case f.dirents && typ != typeDir:
		f.add(Owner, false, f.likelyType(), "has names in it but is no directory")
	case f.data && f.ino == volume.Root && typ == typeDir:
		f.add(Owner, false, nil, "is the root and has bytes")
	case f.data && typ != typeReg:
		f.add(Owner, false, f.likelyType(), "has bytes but is no regular file")
	}
	switch {
	case typ == typeLink && a.Target == "":
		f.add(Inode, false, nil, "is a symbolic link to nothing")
	case typ == typeLink && a.Size != uint64(len(a.Target)):
		f.add(Size, false, func(a *meta.Inode) { a.Size = uint64(len(a.Target)) }, "is a symbolic link of %d bytes and says %d", len(a.Target), a.Size)
	case typ != typeLink && a.Target != "":
		f.add(Inode, false, func(a *meta.Inode) { a.Target = "" }, "has the target of a symbolic link but is none")
	case typ != typeLink && typ != typeReg && a.Size != 0:
		f.add(Size, false, func(a *meta.Inode) { a.Size = 0 }, "has no bytes and says that it has %d", a.Size)
	case a.Size > volume.MaxSize:
		end := f.end
		f.add(Size, false, func(a *meta.Inode) { a.Size = end }, "is larger than any file can be")
	}
}

// likelyType makes an inode what its records say that it is; nil if they say nothing, or contradict one another.
func (f *file) likelyType() func(*meta.Inode) {
	switch {
	case f.ino != volume.Root && f.dirents == f.data:
		return nil
	case f.ino == volume.Root || f.dirents:
		return func(a *meta.Inode) { a.Mode, a.Target = a.Mode&0o7777|typeDir<<12, "" }
	}
	return func(a *meta.Inode) { a.Mode, a.Target = a.Mode&0o7777|typeReg<<12, "" }
}

func (f *file) judgeBytes() {
	a := &f.attr
	if f.end > a.Size {
		end := f.end
		f.add(Size, false, func(a *meta.Inode) { a.Size = max(a.Size, end) }, "has bytes up to %d and says that it ends at %d", end, a.Size)
	}
	pages := 0
	for _, b := range f.covered {
		pages += b.count()
	}
	if want := uint64(pages) * (meta.Page / 512); a.Blocks != want {
		f.add(Blocks, true, func(a *meta.Inode) { a.Blocks = want }, "says that it takes %d blocks and takes %d", a.Blocks, want)
	}
}
