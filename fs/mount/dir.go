package mount

import (
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/hammockfs/hammock/fs/volume"
)

// The cookies of the two entries that every directory has and no record.
const (
	cookieSelf   = 1
	cookieParent = 2
	listBatch    = 128 // entries read from the volume at a time
)

// OpenDir implements fuse.RawFileSystem. There is nothing to open; the kernel
// does not ask again, and keeps listings until it changes the directory.
func (s *Server) OpenDir(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status {
	return fuse.ENOSYS
}

// ReadDir implements fuse.RawFileSystem.
func (s *Server) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	req := s.request(cancel, &in.InHeader)
	defer req.end()
	return s.list(req, in, func(e fuse.DirEntry) bool { return out.AddDirEntry(e) })
}

// ReadDirPlus implements fuse.RawFileSystem. The kernel always wants attributes
// (no CAP_READDIRPLUS_AUTO): a name that it was only told costs a request when
// something is done with it, which is what most programs list for. An entry whose
// attributes cannot be had is listed without them, and the kernel asks for it when
// it needs it; so are those of a large directory behind its beginning that would
// have to be fetched from stores, for who wants just the names.
func (s *Server) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return s.readDirPlus(cancel, in, out, fillEntry)
}

func (s *Server) readDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList, fill func(*fuse.EntryOut, *volume.Attr)) fuse.Status {
	req := s.request(cancel, &in.InHeader)
	defer req.end()
	get := s.volume.GetAttrHere
	if in.Offset == 0 {
		get = func(ino uint64) (volume.Attr, error) { return s.volume.GetAttr(req, ino) }
	}
	return s.list(req, in, func(e fuse.DirEntry) bool {
		entry := out.AddDirLookupEntry(e)
		if entry == nil {
			return false
		}
		if e.Off <= cookieParent {
			return true
		}
		if a, err := get(e.Ino); err == nil {
			fill(entry, &a)
		}
		return true
	})
}

// list gives the entries after the offset to add until it refuses one.
func (s *Server) list(req *request, in *fuse.ReadIn, add func(fuse.DirEntry) bool) fuse.Status {
	after, full, err := s.listDots(req, in, add)
	for !full && err == nil {
		var entries []volume.Entry
		if entries, err = s.volume.ReadDir(req, in.NodeId, after, listBatch); err != nil || len(entries) == 0 {
			break
		}
		for i := range entries {
			e := &entries[i]
			if full = !add(fuse.DirEntry{Name: e.Name, Ino: e.Ino, Mode: uint32(e.Type) << 12, Off: e.Cookie}); full {
				break
			}
			after = e.Cookie
		}
	}
	return s.status(err, "readdir", in.NodeId)
}

// listDots gives "." and "..", which come first.
func (s *Server) listDots(req *request, in *fuse.ReadIn, add func(fuse.DirEntry) bool) (after uint64, full bool, err error) {
	const dir = 0o040000
	after = in.Offset
	if after < cookieSelf {
		if !add(fuse.DirEntry{Name: ".", Ino: in.NodeId, Mode: dir, Off: cookieSelf}) {
			return after, true, nil
		}
		after = cookieSelf
	}
	if after < cookieParent {
		parent, err := s.volume.Parent(req, in.NodeId)
		if err != nil {
			return after, false, err
		}
		if !add(fuse.DirEntry{Name: "..", Ino: parent, Mode: dir, Off: cookieParent}) {
			return after, true, nil
		}
		after = cookieParent
	}
	return after, false, nil
}

// FsyncDir implements fuse.RawFileSystem.
func (s *Server) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	req := s.patient(cancel, &in.InHeader)
	defer req.end()
	err := s.volume.FsyncDir(s.lasting(), in.NodeId)
	if err == nil {
		err = s.syncPeers(req)
	}
	return s.status(err, "fsyncdir", in.NodeId)
}
