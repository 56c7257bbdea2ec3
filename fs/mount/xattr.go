package mount

import (
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/hammockfs/hammock/fs/volume"
)

// spaces are the kinds of attributes that are kept; each name goes on. Whether
// the caller may see or set one is the kernel's business, but for listing.
var spaces = []string{"user.", trusted, "security."}

// trusted are the attributes that only a caller with CAP_SYS_ADMIN sees.
const trusted = "trusted."

// named checks the name of an attribute. Those that begin with "system." have a
// meaning for the kernel, and only that of access control lists is honoured.
func named(name string) fuse.Status {
	if name == volume.XattrACL || name == volume.XattrDefaultACL {
		return fuse.OK
	}
	for _, space := range spaces {
		switch {
		case name == space:
			return fuse.EINVAL
		case strings.HasPrefix(name, space):
			return fuse.OK
		}
	}
	return fuse.Status(syscall.EOPNOTSUPP)
}

// GetXAttr implements fuse.RawFileSystem.
func (s *Server) GetXAttr(cancel <-chan struct{}, h *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	if st := named(name); st != fuse.OK {
		return 0, st
	}
	req := s.request(cancel, h)
	defer req.end()
	v, err := s.volume.GetXattr(req, h.NodeId, name)
	if err != nil {
		return 0, s.status(err, "getxattr", h.NodeId)
	}
	return answer(dest, v)
}

// answer copies a value to where the kernel wants it. Without room it gets the
// length and ERANGE, which counts as success when it asked for the length only.
func answer(dest, v []byte) (uint32, fuse.Status) {
	if len(dest) < len(v) {
		return uint32(len(v)), fuse.ERANGE
	}
	return uint32(copy(dest, v)), fuse.OK
}

// ListXAttr implements fuse.RawFileSystem.
func (s *Server) ListXAttr(cancel <-chan struct{}, h *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	req := s.request(cancel, h)
	defer req.end()
	names, err := s.volume.ListXattr(req, h.NodeId)
	if err != nil {
		return 0, s.status(err, "listxattr", h.NodeId)
	}
	var list []byte
	asked, admin := false, false
	for _, name := range names {
		if strings.HasPrefix(name, trusted) {
			if !asked {
				asked, admin = true, isAdmin(h.Pid)
			}
			if !admin {
				continue
			}
		}
		list = append(append(list, name...), 0)
	}
	return answer(dest, list)
}

// SetXAttr implements fuse.RawFileSystem.
func (s *Server) SetXAttr(cancel <-chan struct{}, in *fuse.SetXAttrIn, name string, data []byte) fuse.Status {
	req := s.patient(cancel, &in.InHeader)
	defer req.end()
	if st := named(name); st != fuse.OK {
		return st
	}
	flags := int(in.Flags) & (volume.XattrCreate | volume.XattrReplace)
	if flags != int(in.Flags) {
		return fuse.EINVAL
	}
	if outsider(in) {
		flags |= volume.XattrKillSetGID
	}
	err := s.volume.SetXattr(req, in.NodeId, name, data, flags)
	return s.status(err, "setxattr", in.NodeId)
}

// RemoveXAttr implements fuse.RawFileSystem.
func (s *Server) RemoveXAttr(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	req := s.patient(cancel, h)
	defer req.end()
	if st := named(name); st != fuse.OK {
		return st
	}
	return s.status(s.volume.RemoveXattr(req, h.NodeId, name), "removexattr", h.NodeId)
}

// isAdmin reports whether a thread has CAP_SYS_ADMIN, in our own namespace of
// users: the kernel does not say. A caller who cannot be looked at has not.
func isAdmin(tid uint32) bool {
	dir := "/proc/" + strconv.FormatUint(uint64(tid), 10)
	b, err := os.ReadFile(dir + "/status")
	if err != nil || !effective(string(b), capSysAdmin) {
		return false
	}
	theirs, err := os.Readlink(dir + "/ns/user")
	if err != nil {
		return false
	}
	ours, err := os.Readlink("/proc/self/ns/user")
	return err == nil && theirs == ours
}

const capSysAdmin = 21

// effective looks for a capability in the set that counts.
func effective(status string, capability uint) bool {
	for line := range strings.Lines(status) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return err == nil && set>>capability&1 != 0
		}
	}
	return false
}
