package mount

import (
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/hammockfs/hammock/fs/volume"
)

// kernel sends what a kernel would never send.
type kernel struct {
	t       *testing.T
	s       *Server
	feed    feed
	nodes   []uint64 // that it has heard of, some of them removed
	handles []uint64 // likewise, some of them released
}

// never is the cancellation of a request that is not interrupted, ended that
// of one that is, from the beginning.
var never, ended = make(chan struct{}), closedChannel()

func closedChannel() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// node is mostly one that exists or did.
func (k *kernel) node() uint64 {
	if b := k.feed.byte(); b < 240 {
		return k.nodes[int(b)%len(k.nodes)]
	}
	return k.feed.number()
}

func (k *kernel) handle() uint64 {
	if b := k.feed.byte(); b < 240 && len(k.handles) > 0 {
		return k.handles[len(k.handles)-1-int(b)%len(k.handles)]
	}
	return k.feed.number()
}

func (k *kernel) header() fuse.InHeader {
	h := fuse.InHeader{NodeId: k.node()}
	if k.feed.byte()%4 == 3 {
		h.Uid, h.Gid = uint32(k.feed.number()), uint32(k.feed.number())
	}
	return h
}

func (k *kernel) bits() uint32 { return uint32(k.feed.number()) ^ uint32(k.feed.byte())<<9 }

// learn remembers what an answer named.
func (k *kernel) learn(st fuse.Status, ino uint64) {
	if st == fuse.OK && ino != 0 {
		k.nodes = append(k.nodes, ino)
	}
}

func (k *kernel) opened(st fuse.Status, out *fuse.CreateOut) {
	if k.learn(st, out.NodeId); st == fuse.OK {
		k.handles = append(k.handles, out.Fh)
	}
}

// modes have types that are, and that are not.
func (k *kernel) mode() uint32 {
	types := [...]uint32{0, syscall.S_IFREG, syscall.S_IFDIR, syscall.S_IFLNK, syscall.S_IFIFO, syscall.S_IFSOCK, syscall.S_IFCHR, syscall.S_IFBLK, 0o30000, 0o170000, 1 << 20}
	b := k.feed.byte()
	return types[int(b)%len(types)] | uint32(k.feed.byte())*16
}

// requests are all that there are; those without which others have nothing to
// work on are there several times.
var requests = []func(*kernel){
	(*kernel).mkdir, (*kernel).mkdir, (*kernel).create, (*kernel).create, (*kernel).create, (*kernel).create, (*kernel).write,
	(*kernel).write, (*kernel).write, (*kernel).open, (*kernel).link, (*kernel).rename, (*kernel).rename, (*kernel).setAttr,
	(*kernel).lookup, (*kernel).forget, (*kernel).getAttr, (*kernel).statx, (*kernel).setAttr, (*kernel).mknod, (*kernel).unlink,
	(*kernel).rmdir, (*kernel).rename, (*kernel).link, (*kernel).symlink, (*kernel).readlink, (*kernel).access, (*kernel).getXattr,
	(*kernel).listXattr, (*kernel).setXattr, (*kernel).removeXattr, (*kernel).tmpfile, (*kernel).open, (*kernel).read, (*kernel).lseek,
	(*kernel).getLk, (*kernel).setLk, (*kernel).release, (*kernel).writev, (*kernel).copyFileRange, (*kernel).ioctl, (*kernel).flush,
	(*kernel).fsync, (*kernel).fallocate, (*kernel).openDir, (*kernel).readDir, (*kernel).fsyncDir, (*kernel).statFs,
}

func (k *kernel) mkdir() {
	var out fuse.EntryOut
	in := fuse.MkdirIn{InHeader: k.header(), Mode: k.mode(), Umask: k.bits()}
	k.learn(k.s.Mkdir(never, &in, k.feed.name(), &out), out.NodeId)
}

func (k *kernel) create() {
	var out fuse.CreateOut
	in := fuse.CreateIn{InHeader: k.header(), Flags: k.bits(), Mode: k.mode()}
	k.opened(k.s.Create(never, &in, k.feed.name(), &out), &out)
}

func (k *kernel) write() {
	in := fuse.WriteIn{InHeader: k.header(), Fh: k.handle(), Offset: k.feed.number()}
	data := k.feed.data()
	in.Size, in.WriteFlags = uint32(len(data)), uint32(k.feed.byte())
	if n, st := k.s.Write(never, &in, data); st == fuse.OK && int(n) > len(data) {
		k.t.Errorf("%d bytes written of %d", n, len(data))
	}
}

func (k *kernel) lookup() {
	var out fuse.EntryOut
	h := k.header()
	k.learn(k.s.Lookup(never, &h, k.feed.name(), &out), out.NodeId)
}

func (k *kernel) forget() { k.s.Forget(k.node(), k.feed.number()) }

func (k *kernel) getAttr() {
	var out fuse.AttrOut
	in := fuse.GetAttrIn{InHeader: k.header()}
	if st := k.s.GetAttr(never, &in, &out); st == fuse.OK && out.Ino != in.NodeId {
		k.t.Errorf("attributes of inode %d say that it is %d", in.NodeId, out.Ino)
	}
}

func (k *kernel) statx() {
	var out fuse.StatxOut
	in := fuse.StatxIn{InHeader: k.header(), GetattrFlags: k.bits(), Fh: k.handle(), SxFlags: k.bits(), SxMask: k.bits()}
	k.s.Statx(never, &in, &out)
}

func (k *kernel) setAttr() {
	var out fuse.AttrOut
	in := fuse.SetAttrIn{SetAttrInCommon: fuse.SetAttrInCommon{
		InHeader: k.header(), Valid: k.bits(), Fh: k.handle(), Size: k.feed.number(), Atime: k.feed.number(), Mtime: k.feed.number(),
		Atimensec: k.bits(), Mtimensec: k.bits(), Mode: k.mode(), Owner: fuse.Owner{Uid: k.bits(), Gid: k.bits()}}}
	k.s.SetAttr(never, &in, &out)
}

func (k *kernel) mknod() {
	var out fuse.EntryOut
	in := fuse.MknodIn{InHeader: k.header(), Mode: k.mode(), Rdev: k.bits(), Umask: k.bits()}
	k.learn(k.s.Mknod(never, &in, k.feed.name(), &out), out.NodeId)
}

func (k *kernel) unlink() {
	h := k.header()
	k.s.Unlink(never, &h, k.feed.name())
}

func (k *kernel) rmdir() {
	h := k.header()
	k.s.Rmdir(never, &h, k.feed.name())
}

func (k *kernel) rename() {
	in := fuse.RenameIn{InHeader: k.header(), Newdir: k.node(), Flags: uint32(k.feed.byte() % 8)}
	k.s.Rename(never, &in, k.feed.name(), k.feed.name())
}

func (k *kernel) link() {
	var out fuse.EntryOut
	in := fuse.LinkIn{InHeader: k.header(), Oldnodeid: k.node()}
	k.learn(k.s.Link(never, &in, k.feed.name(), &out), out.NodeId)
}

func (k *kernel) symlink() {
	var out fuse.EntryOut
	h := k.header()
	k.learn(k.s.Symlink(never, &h, k.feed.name(), k.feed.name(), &out), out.NodeId)
}

func (k *kernel) readlink() {
	h := k.header()
	k.s.Readlink(never, &h)
}

func (k *kernel) access() {
	in := fuse.AccessIn{InHeader: k.header(), Mask: k.bits()}
	k.s.Access(never, &in)
}

// xattrs are names of attributes, with a meaning and without.
var xattrs = [...]string{
	"user.a", "user.b", "trusted.a", "security.capability", "security.selinux", "system.posix_acl_access", "system.posix_acl_default",
	"system.other", "user.", "user", "", "nothing.a", "user." + oddNames[11], "user.\xff\x00",
}

func (k *kernel) xattr() string { return xattrs[int(k.feed.byte())%len(xattrs)] }

func (k *kernel) getXattr() {
	h, dest := k.header(), k.feed.data()
	if n, st := k.s.GetXAttr(never, &h, k.xattr(), dest); st == fuse.OK && int(n) > len(dest) {
		k.t.Errorf("%d bytes of an attribute in %d", n, len(dest))
	}
}

func (k *kernel) listXattr() {
	h, dest := k.header(), k.feed.data()
	if n, st := k.s.ListXAttr(never, &h, dest); st == fuse.OK && int(n) > len(dest) {
		k.t.Errorf("%d bytes of names of attributes in %d", n, len(dest))
	}
}

// acl is a list of three entries, the third as the feed has it.
func (k *kernel) acl() []byte {
	p := []byte{2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 4, 0, 4, 0, 255, 255, 255, 255, 0x20, 0, 4, 0, 255, 255, 255, 255}
	p[20] ^= k.feed.byte()
	p[22] ^= k.feed.byte()
	return p[:len(p)-int(k.feed.byte()%32)%len(p)]
}

func (k *kernel) setXattr() {
	in := fuse.SetXAttrIn{InHeader: k.header(), Flags: uint32(k.feed.byte() % 8)}
	name, data := k.xattr(), k.feed.data()
	if k.feed.byte()%2 == 1 {
		data = k.acl()
	}
	in.Size = uint32(len(data))
	k.s.SetXAttr(never, &in, name, data)
}

func (k *kernel) removeXattr() {
	h := k.header()
	k.s.RemoveXAttr(never, &h, k.xattr())
}

func (k *kernel) tmpfile() {
	var out fuse.CreateOut
	in := fuse.CreateIn{InHeader: k.header(), Flags: k.bits(), Mode: k.mode(), Umask: k.bits()}
	k.opened(k.s.Tmpfile(never, &in, &out), &out)
}

func (k *kernel) open() {
	var out fuse.CreateOut
	in := fuse.OpenIn{InHeader: k.header(), Flags: k.bits(), Mode: k.bits()}
	k.opened(k.s.Open(never, &in, &out.OpenOut), &out)
}

func (k *kernel) read() {
	in := fuse.ReadIn{InHeader: k.header(), Fh: k.handle(), Offset: k.feed.number(), Size: k.bits(), Flags: k.bits()}
	buf := k.feed.data()
	if r, st := k.s.Read(never, &in, buf); st == fuse.OK {
		if r.Size() > len(buf) {
			k.t.Errorf("%d bytes read into %d", r.Size(), len(buf))
		}
		r.Done()
	}
}

func (k *kernel) lseek() {
	var out fuse.LseekOut
	in := fuse.LseekIn{InHeader: k.header(), Fh: k.handle(), Offset: k.feed.number(), Whence: uint32(k.feed.byte() % 8)}
	if st := k.s.Lseek(never, &in, &out); st == fuse.OK && out.Offset > volume.MaxSize {
		k.t.Errorf("sought to %d", out.Offset)
	}
}

func (k *kernel) lk() fuse.LkIn {
	return fuse.LkIn{InHeader: k.header(), Fh: k.handle(), Owner: k.feed.number(), LkFlags: uint32(k.feed.byte() % 2),
		Lk: fuse.FileLock{Start: k.feed.number(), End: k.feed.number(), Typ: uint32(k.feed.byte() % 5), Pid: k.bits()}}
}

func (k *kernel) getLk() {
	var out fuse.LkOut
	in := k.lk()
	k.s.GetLk(never, &in, &out)
}

// setLk asks for a lock, or waits for one and is interrupted.
func (k *kernel) setLk() {
	in := k.lk()
	if k.feed.byte()%2 == 0 {
		k.s.SetLk(never, &in)
	} else {
		k.s.SetLkw(ended, &in)
	}
}

func (k *kernel) release() {
	in := fuse.ReleaseIn{InHeader: k.header(), Fh: k.handle(), Flags: k.bits(), ReleaseFlags: uint32(k.feed.byte() % 4), LockOwner: k.feed.number()}
	if k.feed.byte()%4 == 0 {
		k.s.ReleaseDir(&in)
	} else {
		k.s.Release(never, &in)
	}
}

func (k *kernel) writev() {
	in := fuse.WriteIn{InHeader: k.header(), Fh: k.handle(), Offset: k.feed.number(), WriteFlags: uint32(k.feed.byte())}
	data := [][]byte{k.feed.data(), k.feed.data()}
	in.Size = uint32(len(data[0]) + len(data[1]))
	k.s.Writev(never, &in, data)
}

func (k *kernel) copyFileRange() {
	in := fuse.CopyFileRangeIn{InHeader: k.header(), FhIn: k.handle(), OffIn: k.feed.number(), NodeIdOut: k.node(), FhOut: k.handle(),
		OffOut: k.feed.number(), Len: k.feed.number(), Flags: k.feed.number()}
	if n, st := k.s.CopyFileRange(never, &in); st == fuse.OK && uint64(n) > in.Len {
		k.t.Errorf("%d bytes copied of %d", n, in.Len)
	}
}

func (k *kernel) ioctl() {
	in := fuse.IoctlIn{InHeader: k.header(), Fh: k.handle(), Flags: k.bits(), Cmd: k.bits(), Arg: k.feed.number()}
	data, answer := k.feed.data(), k.feed.data()
	in.InSize, in.OutSize = uint32(len(data)), uint32(len(answer))
	k.s.Ioctl(never, &in, data, &fuse.IoctlOut{}, answer)
}

func (k *kernel) flush() {
	in := fuse.FlushIn{InHeader: k.header(), Fh: k.handle(), LockOwner: k.feed.number()}
	k.s.Flush(never, &in)
}

func (k *kernel) fsync() {
	in := fuse.FsyncIn{InHeader: k.header(), Fh: k.handle(), FsyncFlags: k.bits()}
	k.s.Fsync(never, &in)
}

func (k *kernel) fallocate() {
	in := fuse.FallocateIn{InHeader: k.header(), Fh: k.handle(), Offset: k.feed.number(), Length: k.feed.number(), Mode: uint32(k.feed.byte())}
	k.s.Fallocate(never, &in)
}

func (k *kernel) openDir() {
	var out fuse.OpenOut
	in := fuse.OpenIn{InHeader: k.header(), Flags: k.bits()}
	if st := k.s.OpenDir(never, &in, &out); st == fuse.OK {
		k.handles = append(k.handles, out.Fh)
	}
}

func (k *kernel) readDir() {
	in := fuse.ReadIn{InHeader: k.header(), Fh: k.handle(), Offset: k.feed.number(), Size: k.bits()}
	buf := k.feed.data()
	if k.feed.byte()%2 == 0 {
		k.s.ReadDir(never, &in, fuse.NewDirEntryList(buf, in.Offset))
	} else {
		k.s.ReadDirPlus(never, &in, fuse.NewDirEntryList(buf, in.Offset))
	}
}

func (k *kernel) fsyncDir() {
	in := fuse.FsyncIn{InHeader: k.header(), Fh: k.handle(), FsyncFlags: k.bits()}
	k.s.FsyncDir(never, &in)
}

func (k *kernel) statFs() {
	var out fuse.StatfsOut
	h := k.header()
	if st := k.s.StatFs(never, &h, &out); st == fuse.OK && out.Bfree > out.Blocks {
		k.t.Errorf("%d blocks are free of %d", out.Bfree, out.Blocks)
	}
}
