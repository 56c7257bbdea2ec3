package mount

import (
	"math"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/hammockfs/hammock/fs/volume"
	"github.com/hammockfs/hammock/fs/volume/acl"
)

// idMapped is a server whose owners are translated: the volume's on the way out,
// and on the way in those that a request sets or makes files with.
type idMapped struct {
	*Server
	uids, gids IDMap
}

// errUnmapped is the kernel's answer in its own idmapped mounts, too.
const errUnmapped = fuse.Status(syscall.EOVERFLOW)

// caller translates who makes a file. It must have both numbers.
func (m *idMapped) caller(h *fuse.InHeader) fuse.Status {
	uid, known := m.uids.in(h.Uid)
	gid, both := m.gids.in(h.Gid)
	if !known || !both {
		return errUnmapped
	}
	h.Uid, h.Gid = uid, gid
	return fuse.OK
}

// known is the number in the volume of a user here, or that of nobody at all.
func (m *idMapped) known(uid uint32) uint32 {
	if id, ok := m.uids.in(uid); ok {
		return id
	}
	return math.MaxUint32
}

func (m *idMapped) owner(o *fuse.Owner) { o.Uid, o.Gid = m.uids.out(o.Uid), m.gids.out(o.Gid) }

// attr and entry translate the answer of a request that has succeeded.
func (m *idMapped) attr(st fuse.Status, out *fuse.Attr) fuse.Status {
	if st.Ok() {
		m.owner(&out.Owner)
	}
	return st
}

func (m *idMapped) entry(st fuse.Status, out *fuse.EntryOut) fuse.Status {
	return m.attr(st, &out.Attr)
}

// making carries a request out that makes a file.
func (m *idMapped) making(h *fuse.InHeader, out *fuse.EntryOut, do func() fuse.Status) fuse.Status {
	if st := m.caller(h); !st.Ok() {
		return st
	}
	return m.entry(do(), out)
}

func (m *idMapped) Lookup(cancel <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return m.entry(m.Server.Lookup(cancel, h, name, out), out)
}

func (m *idMapped) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return m.attr(m.Server.GetAttr(cancel, in, out), &out.Attr)
}

func (m *idMapped) Statx(cancel <-chan struct{}, in *fuse.StatxIn, out *fuse.StatxOut) fuse.Status {
	st := m.Server.Statx(cancel, in, out)
	if st.Ok() {
		out.Uid, out.Gid = m.uids.out(out.Uid), m.gids.out(out.Gid)
	}
	return st
}

func (m *idMapped) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	if in.InHeader.Uid != 0 { // who may do anything may do so without a number
		in.InHeader.Uid = m.known(in.InHeader.Uid)
	}
	known := true
	if in.Valid&fuse.FATTR_UID != 0 {
		in.Owner.Uid, known = m.uids.in(in.Owner.Uid)
	}
	if in.Valid&fuse.FATTR_GID != 0 && known {
		in.Owner.Gid, known = m.gids.in(in.Owner.Gid)
	}
	if !known {
		return errUnmapped
	}
	return m.attr(m.Server.SetAttr(cancel, in, out), &out.Attr)
}

func (m *idMapped) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	return m.making(&in.InHeader, out, func() fuse.Status { return m.Server.Mknod(cancel, in, name, out) })
}

func (m *idMapped) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return m.making(&in.InHeader, out, func() fuse.Status { return m.Server.Mkdir(cancel, in, name, out) })
}

func (m *idMapped) Symlink(cancel <-chan struct{}, h *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	return m.making(h, out, func() fuse.Status { return m.Server.Symlink(cancel, h, target, name, out) })
}

func (m *idMapped) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return m.making(&in.InHeader, &out.EntryOut, func() fuse.Status { return m.Server.Create(cancel, in, name, out) })
}

func (m *idMapped) Tmpfile(cancel <-chan struct{}, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	return m.making(&in.InHeader, &out.EntryOut, func() fuse.Status { return m.Server.Tmpfile(cancel, in, out) })
}

func (m *idMapped) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	return m.entry(m.Server.Link(cancel, in, name, out), out)
}

func (m *idMapped) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return m.Server.readDirPlus(cancel, in, out, func(e *fuse.EntryOut, a *volume.Attr) {
		fillEntry(e, a)
		m.owner(&e.Owner)
	})
}

// Rename makes a file if it is to leave a whiteout.
func (m *idMapped) Rename(cancel <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	if in.Flags&renameWhiteout != 0 {
		if st := m.caller(&in.InHeader); !st.Ok() {
			return st
		}
	}
	return m.Server.Rename(cancel, in, oldName, newName)
}

func isACL(name string) bool { return name == volume.XattrACL || name == volume.XattrDefaultACL }

// GetXAttr translates the users and groups of access control lists. The form
// stays as long as it was.
func (m *idMapped) GetXAttr(cancel <-chan struct{}, h *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	n, st := m.Server.GetXAttr(cancel, h, name, dest)
	if !st.Ok() || !isACL(name) {
		return n, st
	}
	list, err := acl.Parse(dest[:n])
	if err != nil {
		return 0, m.status(err, "translate an access control list", h.NodeId)
	}
	return uint32(copy(dest, list.Map(m.uids.out, m.gids.out).Form())), fuse.OK
}

// SetXAttr refuses a list that names somebody without a number in the volume,
// with the kernel's errno for that.
func (m *idMapped) SetXAttr(cancel <-chan struct{}, in *fuse.SetXAttrIn, name string, form []byte) fuse.Status {
	list, err := acl.Parse(form)
	if !isACL(name) || err != nil { // the server says what is wrong
		return m.Server.SetXAttr(cancel, in, name, form)
	}
	known := true
	translate := func(ids IDMap) func(uint32) uint32 {
		return func(id uint32) uint32 {
			to, ok := ids.in(id)
			known = known && ok
			return to
		}
	}
	list = list.Map(translate(m.uids), translate(m.gids))
	if !known {
		return fuse.EINVAL
	}
	return m.Server.SetXAttr(cancel, in, name, list.Form())
}
