package mount

import (
	"context"
	"math"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/hammockfs/hammock/fs/volume"
)

const (
	// believe is for how long the kernel believes names, attributes and the
	// absence of names: whatever changes them comes through it, or is taken back
	// explicitly.
	believe = 30 * 24 * time.Hour
	// blksize is the st_blksize of every file: what programs read and write at
	// a time when they have no opinion. A request costs the same for it as for 4 KiB.
	blksize = 64 << 10
)

// space is the size of an inode, and how many blocks of 512 bytes it takes. For
// a directory that is what an ordinary filesystem says of one that is not very
// large: test -s and scripts of that kind take a directory of no size for one
// without names. Its true size here would be that of the records in it.
func space(a *volume.Attr) (size, blocks uint64) {
	const directory = 4096
	if a.Mode&syscall.S_IFMT == syscall.S_IFDIR {
		return directory, directory / 512
	}
	return a.Size, a.Blocks
}

// fillAttr translates attributes.
func fillAttr(out *fuse.Attr, a *volume.Attr) {
	size, blocks := space(a)
	*out = fuse.Attr{
		Ino: a.Ino, Size: size, Blocks: blocks, Mode: a.Mode, Nlink: a.Nlink,
		Owner: fuse.Owner{Uid: a.UID, Gid: a.GID}, Rdev: a.Rdev, Blksize: blksize,
	}
	out.Atime, out.Atimensec = split(a.Atime)
	out.Mtime, out.Mtimensec = split(a.Mtime)
	out.Ctime, out.Ctimensec = split(a.Ctime)
}

// split makes seconds and nanoseconds of a time in nanoseconds. Times before
// 1970 have negative seconds and still nanoseconds from 0 up.
func split(ns int64) (sec uint64, nsec uint32) {
	t := time.Unix(0, ns)
	return uint64(t.Unix()), uint32(t.Nanosecond())
}

// join is the inverse of split. What 64 bits of nanoseconds cannot hold (the
// years before 1678 and after 2261) becomes the nearest that they can.
func join(sec uint64, nsec uint32) int64 {
	const edge = math.MaxInt64 / int64(1e9)
	switch s := int64(sec); {
	case s >= edge:
		return math.MaxInt64
	case s <= -edge:
		return math.MinInt64
	default:
		return s*1e9 + int64(nsec)
	}
}

// fillEntry translates what a name stands for.
func fillEntry(out *fuse.EntryOut, a *volume.Attr) {
	out.NodeId = a.Ino
	out.SetEntryTimeout(believe)
	out.SetAttrTimeout(believe)
	fillAttr(&out.Attr, a)
}

// GetAttr implements fuse.RawFileSystem.
func (s *Server) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	req := s.request(cancel, &in.InHeader)
	defer req.end()
	a, err := s.volume.GetAttr(req, in.NodeId)
	if err != nil {
		return s.status(err, "getattr", in.NodeId)
	}
	out.SetTimeout(believe)
	fillAttr(&out.Attr, &a)
	return fuse.OK
}

// Statx implements fuse.RawFileSystem: it is how the kernel asks for the time
// of birth.
func (s *Server) Statx(cancel <-chan struct{}, in *fuse.StatxIn, out *fuse.StatxOut) fuse.Status {
	req := s.request(cancel, &in.InHeader)
	defer req.end()
	a, err := s.volume.GetAttr(req, in.NodeId)
	if err != nil {
		return s.status(err, "statx", in.NodeId)
	}
	const basicAndBirth = 0xfff // STATX_BASIC_STATS | STATX_BTIME
	x := &out.Statx
	x.Mask, x.Blksize, x.Nlink, x.Uid, x.Gid = basicAndBirth, blksize, a.Nlink, a.UID, a.GID
	x.Mode, x.Ino = uint16(a.Mode), a.Ino
	x.Size, x.Blocks = space(&a)
	x.RdevMajor, x.RdevMinor = a.Rdev>>8&0xfff, a.Rdev&0xff|a.Rdev>>12&0xfff00
	for _, t := range []struct {
		out *fuse.SxTime
		ns  int64
	}{{&x.Atime, a.Atime}, {&x.Btime, a.Btime}, {&x.Ctime, a.Ctime}, {&x.Mtime, a.Mtime}} {
		t.out.Sec, t.out.Nsec = split(t.ns)
	}
	out.AttrValid = uint64(believe / time.Second)
	return fuse.OK
}

// SetAttr implements fuse.RawFileSystem.
func (s *Server) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	req := s.patient(cancel, &in.InHeader)
	defer req.end()
	set := changes(&in.SetAttrInCommon, time.Now().UnixNano())
	if !changesAny(in.Valid) {
		set.KillPriv = s.owns(req, caller(&in.InHeader), in.NodeId)
	}
	a, err := s.volume.SetAttr(req, in.NodeId, set)
	if err != nil {
		return s.status(err, "setattr", in.NodeId)
	}
	out.SetTimeout(believe)
	fillAttr(&out.Attr, &a)
	return fuse.OK
}

// changes translates what is to be set. A change of owner always takes set-ID
// bits away (the kernel leaves that to us), a change of size if it says so.
func changes(in *fuse.SetAttrInCommon, now int64) (set volume.SetAttr) {
	has := func(bits uint32) bool { return in.Valid&bits != 0 }
	if has(fuse.FATTR_MODE) {
		mode := in.Mode & 0o7777
		set.Mode = &mode
	}
	if has(fuse.FATTR_UID) {
		uid := in.Uid
		set.UID = &uid
	}
	if has(fuse.FATTR_GID) {
		gid := in.Gid
		set.GID = &gid
	}
	if has(fuse.FATTR_SIZE) {
		size := in.Size
		set.Size = &size
	}
	if has(fuse.FATTR_ATIME | fuse.FATTR_ATIME_NOW) {
		set.Atime = &now
		if !has(fuse.FATTR_ATIME_NOW) {
			t := join(in.Atime, in.Atimensec)
			set.Atime = &t
		}
	}
	if has(fuse.FATTR_MTIME | fuse.FATTR_MTIME_NOW) {
		set.Mtime = &now
		if !has(fuse.FATTR_MTIME_NOW) {
			t := join(in.Mtime, in.Mtimensec)
			set.Mtime = &t
		}
	}
	set.KillPriv = has(fuse.FATTR_KILL_SUIDGID | fuse.FATTR_UID | fuse.FATTR_GID)
	return set
}

// changesAny says whether a request sets anything. The kernel makes one that does
// not of chown(2) with two times -1, which takes set-ID bits from a file all the
// same. It sends the like before a write that takes them, for anybody; but then
// the write says so itself.
func changesAny(valid uint32) bool {
	return valid&^(fuse.FATTR_FH|fuse.FATTR_LOCKOWNER|fuse.FATTR_CTIME) != 0
}

// owns says whether somebody may change the mode of an inode.
func (s *Server) owns(ctx context.Context, c volume.Caller, ino uint64) bool {
	a, err := s.volume.GetAttr(ctx, ino)
	return err == nil && (c.UID == 0 || c.UID == a.UID)
}

// StatFs implements fuse.RawFileSystem.
func (s *Server) StatFs(cancel <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	const block = 4096
	req := s.request(cancel, in)
	defer req.end()
	f := s.volume.Statfs(req)
	*out = fuse.StatfsOut{
		Bsize: block, Frsize: block, NameLen: volume.MaxName,
		Blocks: f.Total / block, Bfree: f.Free / block, Bavail: f.Free / block,
		// There is no table of inodes that could fill up.
		Files: 1 << 40, Ffree: 1 << 40,
	}
	return fuse.OK
}
