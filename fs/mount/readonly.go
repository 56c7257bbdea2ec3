package mount

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// readOnly is a server that changes nothing. The kernel refuses changes of a
// mount that is read-only before it asks; this refuses them also when root has
// told the kernel to forget that (mount -i -o remount,rw).
type readOnly struct{ fuse.RawFileSystem }

const errReadOnly = fuse.Status(syscall.EROFS)

func (readOnly) SetAttr(<-chan struct{}, *fuse.SetAttrIn, *fuse.AttrOut) fuse.Status {
	return errReadOnly
}

func (readOnly) Mknod(<-chan struct{}, *fuse.MknodIn, string, *fuse.EntryOut) fuse.Status {
	return errReadOnly
}

func (readOnly) Mkdir(<-chan struct{}, *fuse.MkdirIn, string, *fuse.EntryOut) fuse.Status {
	return errReadOnly
}

func (readOnly) Unlink(<-chan struct{}, *fuse.InHeader, string) fuse.Status { return errReadOnly }

func (readOnly) Rmdir(<-chan struct{}, *fuse.InHeader, string) fuse.Status { return errReadOnly }

func (readOnly) Rename(<-chan struct{}, *fuse.RenameIn, string, string) fuse.Status {
	return errReadOnly
}

func (readOnly) Link(<-chan struct{}, *fuse.LinkIn, string, *fuse.EntryOut) fuse.Status {
	return errReadOnly
}

func (readOnly) Symlink(<-chan struct{}, *fuse.InHeader, string, string, *fuse.EntryOut) fuse.Status {
	return errReadOnly
}

func (readOnly) SetXAttr(<-chan struct{}, *fuse.SetXAttrIn, string, []byte) fuse.Status {
	return errReadOnly
}

func (readOnly) RemoveXAttr(<-chan struct{}, *fuse.InHeader, string) fuse.Status { return errReadOnly }

func (readOnly) Create(<-chan struct{}, *fuse.CreateIn, string, *fuse.CreateOut) fuse.Status {
	return errReadOnly
}

func (readOnly) Tmpfile(<-chan struct{}, *fuse.CreateIn, *fuse.CreateOut) fuse.Status {
	return errReadOnly
}

// Open refuses what is opened to be written or emptied.
func (r readOnly) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if in.Flags&syscall.O_ACCMODE != syscall.O_RDONLY || in.Flags&syscall.O_TRUNC != 0 {
		return errReadOnly
	}
	return r.RawFileSystem.Open(cancel, in, out)
}

func (readOnly) Write(<-chan struct{}, *fuse.WriteIn, []byte) (uint32, fuse.Status) {
	return 0, errReadOnly
}

func (readOnly) Writev(<-chan struct{}, *fuse.WriteIn, [][]byte) (uint32, fuse.Status) {
	return 0, errReadOnly
}

func (readOnly) CopyFileRange(<-chan struct{}, *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	return 0, errReadOnly
}

func (readOnly) Fallocate(<-chan struct{}, *fuse.FallocateIn) fuse.Status { return errReadOnly }
