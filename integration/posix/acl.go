//go:build linux

package posix

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

// aclTags are the kinds of entries; the upper case ones have no qualifier.
var aclTags = map[string]uint16{"U": 1, "u": 2, "G": 4, "g": 8, "M": 0x10, "O": 0x20}

// acl makes the form of the kernel from words such as "U:rwx u1001:r-x M:rwx".
func acl(text string) string {
	p := binary.LittleEndian.AppendUint32(nil, 2)
	for word := range strings.FieldsSeq(text) {
		who, perm, _ := strings.Cut(word, ":")
		id, bits := uint32(1<<32-1), uint16(0)
		if n, err := strconv.ParseUint(who[1:], 10, 32); err == nil {
			id = uint32(n)
		}
		for i, c := range "rwx" {
			if perm[i] == byte(c) {
				bits |= 4 >> i
			}
		}
		p = binary.LittleEndian.AppendUint16(p, aclTags[who[:1]])
		p = binary.LittleEndian.AppendUint16(p, bits)
		p = binary.LittleEndian.AppendUint32(p, id)
	}
	return string(p)
}

// aclText is the inverse of acl.
func aclText(p []byte) string {
	if len(p) < 4 || len(p)%8 != 4 {
		return brief(p)
	}
	var words []string
	for p = p[4:]; len(p) > 0; p = p[8:] {
		tag, bits, id := binary.LittleEndian.Uint16(p), binary.LittleEndian.Uint16(p[2:]), binary.LittleEndian.Uint32(p[4:])
		word := fmt.Sprintf("?%#x", tag)
		for name, t := range aclTags {
			if t == tag {
				word = name
			}
		}
		if id != 1<<32-1 {
			word += fmt.Sprint(id)
		}
		words = append(words, word+":"+bitsText(bits))
	}
	return strings.Join(words, " ")
}

func bitsText(bits uint16) string {
	s := []byte("---")
	for i, c := range "rwx" {
		if bits&(4>>i) != 0 {
			s[i] = byte(c)
		}
	}
	return string(s)
}

func (t *T) setacl(name, attr, text string) bool {
	call := fmt.Sprintf("setacl %s %s %s", show(name), strings.TrimPrefix(attr, "system.posix_acl_"), text)
	return t.result(call, unix.Setxattr(name, attr, []byte(acl(text)), 0))
}

// acls writes down mode and lists of an inode.
func (t *T) acls(name string) {
	for _, attr := range []string{aclAccess, aclDefault} {
		p := make([]byte, 1000)
		n, err := unix.Getxattr(name, attr, p)
		t.answer("getacl "+name+" "+strings.TrimPrefix(attr, "system.posix_acl_"), err, func() string { return aclText(p[:n]) })
	}
	t.stat(name)
}

var aclCases = []Case{
	{"acl/access", true, aclAccessCase},
	{"acl/chmod", false, aclChmod},
	{"acl/inherit", true, aclInherit},
	{"acl/invalid", false, aclInvalid},
	{"acl/kinds", false, aclKinds},
	{"acl/rights", true, aclRights},
}

// aclAccessCase has users use files by their entries.
func aclAccessCase(t *T) {
	t.file("f", "x")
	t.dir("d")
	t.file("d/x", "x")
	t.acls("f")
	t.setacl("f", aclAccess, "U:rw- u1001:r-- u1002:rw- u1003:--- G:--- g2001:r-- M:rw- O:---")
	t.setacl("d", aclAccess, "U:rwx u1001:r-x u1002:-wx G:--- g2001:r-x M:rwx O:---")
	t.acls("f")
	t.acls("d")
	try := func() {
		t.open("f", unix.O_RDONLY, 0)
		t.open("f", unix.O_WRONLY, 0)
		t.access("f", unix.R_OK|unix.W_OK)
		t.list("d")
		t.close(t.open("d/new", unix.O_CREAT|unix.O_RDWR, 0o644))
		t.unlink("d/new")
		t.getx("f", aclAccess)
	}
	for _, mask := range []string{"rw-", "r--", "---"} {
		t.setacl("f", aclAccess, "U:rw- u1001:r-- u1002:rw- u1003:--- G:--- g2001:r-- M:"+mask+" O:rw-")
		t.stat("f")
		for _, uid := range []int{1001, 1002, 1003, 1004} {
			t.as(uid, uid, nil, try)
		}
		t.as(1005, 2001, nil, try)
		t.as(1006, 1006, []int{2001}, try)
	}
	t.setacl("f", aclAccess, "U:rw- G:r-- O:r--") // says no more than a mode
	t.acls("f")
	t.listx("f")
	t.setacl("f", aclAccess, "U:r-- u7:rwx G:r-- M:rwx O:---")
	t.times("remove the list", func() { t.remx("f", aclAccess) }, "f")
	t.acls("f")
	t.remx("f", aclAccess)
	t.remx("f", aclDefault)
	t.listx("f")
}

// aclChmod changes mode and list by turns.
func aclChmod(t *T) {
	t.file("f", "x")
	t.dir("d")
	for _, name := range []string{"f", "d"} {
		t.setacl(name, aclAccess, "U:rwx u1001:r-x G:r-x g5:rwx M:rwx O:r--")
		for _, mode := range []uint32{0o640, 0o070, 0o777, 0o000, 0o4755, 0o2710} {
			t.chmod(name, mode)
			t.acls(name)
		}
	}
	t.setacl("f", aclAccess, "U:rwx G:r-x M:--- O:r--") // a mask without named entries
	t.acls("f")
	t.chmod("f", 0o666)
	t.acls("f")
	t.times("set a list", func() { t.setacl("f", aclAccess, "U:rw- u3:r-- G:r-- M:r-- O:---") }, "f")
	t.times("set it again", func() { t.setacl("f", aclAccess, "U:rw- u3:r-- G:r-- M:r-- O:---") }, "f")
	t.acls("f")
	t.rename("f", "g")
	t.link("g", "h")
	t.acls("h")
}

// aclInherit makes things in a directory with a default list.
func aclInherit(t *T) {
	was := unix.Umask(0o027)
	t.later(func() { unix.Umask(was) })
	lists := []string{
		"U:rwx u1001:rwx G:r-x g2001:r-x M:rwx O:r-x",
		"U:rwx G:r-x O:---",
		"U:r-x u1001:-w- G:-wx M:r-x O:rwx",
	}
	for i, list := range lists {
		dir := fmt.Sprint("d", i)
		t.dir(dir)
		t.setacl(dir, aclDefault, list)
		t.acls(dir)
		for _, mode := range []uint32{0o666, 0o777, 0o600, 0o007, 0o6755} {
			f, d, p := fmt.Sprintf("%s/f%o", dir, mode), fmt.Sprintf("%s/d%o", dir, mode), fmt.Sprintf("%s/p%o", dir, mode)
			t.close(t.open(f, unix.O_CREAT|unix.O_RDWR, mode))
			t.mkdir(d, mode)
			t.mknod(p, unix.S_IFIFO|mode, 0)
			for _, name := range []string{f, d, p} {
				t.acls(name)
			}
		}
		t.symlink("x", dir+"/s")
		t.lstat(dir + "/s")
		t.as(1001, 1001, nil, func() { t.close(t.open(dir+"/by", unix.O_CREAT|unix.O_RDWR, 0o666)) })
		h := t.open(dir, unix.O_TMPFILE|unix.O_RDWR, 0o666)
		t.result("link the file without a name", unix.Linkat(unix.AT_FDCWD, h.path(), unix.AT_FDCWD, dir+"/t", unix.AT_SYMLINK_FOLLOW))
		t.acls(dir + "/t")
		t.file("moved", "x")
		t.rename("moved", dir+"/moved")
		t.acls(dir + "/moved")
		t.times("remove the default list", func() { t.remx(dir, aclDefault) }, dir)
		t.remx(dir, aclDefault)
		t.close(t.open(dir+"/after", unix.O_CREAT|unix.O_RDWR, 0o666))
		t.acls(dir + "/after")
	}
}

// aclInvalid sets lists that are none.
func aclInvalid(t *T) {
	t.file("f", "x")
	t.dir("d")
	for _, list := range []string{
		"", "U:rwx", "U:rwx G:rwx", "U:rwx G:rwx O:rwx U:rwx", "G:rwx U:rwx O:rwx", "U:rwx u1:rwx G:rwx O:rwx",
		"U:rwx G:rwx M:rwx M:rwx O:rwx", "U:rwx u1:r-- u1:rw- G:rwx M:rwx O:rwx", "U:rwx u2:r-- u1:rw- G:rwx M:rwx O:rwx",
		"U:rwx G:rwx g2:r-- g2:r-- M:rwx O:rwx", "U:rwx u:rwx G:rwx M:rwx O:rwx", "U:rwx u4294967294:rwx G:rwx M:rwx O:rwx",
	} {
		t.setacl("f", aclAccess, list)
		t.acls("f")
		t.setacl("d", aclDefault, list)
		t.acls("d")
	}
	good := acl("U:rwx u1001:rwx G:r-x M:rwx O:r-x")
	for _, f := range []struct{ name, form string }{
		{"version 1", "\x01" + good[1:]}, {"version 3", "\x03" + good[1:]}, {"cut", good[:len(good)-1]}, {"longer", good + "x"},
		{"three bytes", good[:3]}, {"an unknown tag", good + "\x40\x00\x07\x00\xff\xff\xff\xff"},
		{"unknown bits", good[:6] + "\x0f" + good[7:]}, {"nothing", ""},
	} {
		t.result("setxattr of a list: "+f.name, unix.Setxattr("f", aclAccess, []byte(f.form), 0))
	}
	many := "U:rwx"
	for i := range 100 {
		many += fmt.Sprintf(" u%d:r--", 1000+i)
	}
	t.result("a list of 100 users", unix.Setxattr("f", aclAccess, []byte(acl(many+" G:r-- M:rwx O:---")), 0))
	p := make([]byte, 65536)
	n, err := unix.Getxattr("f", aclAccess, p)
	t.count("its length", n, err)
	n, err = unix.Getxattr("f", aclAccess, p[:100])
	t.count("getxattr into 100 bytes", n, err)
	t.result("CREATE where one is", unix.Setxattr("f", aclAccess, []byte(good), unix.XATTR_CREATE))
	t.result("REPLACE where none is", unix.Setxattr("d", aclAccess, []byte(good), unix.XATTR_REPLACE))
	t.acls("d")
}

// aclKinds sets lists on each kind of inode.
func aclKinds(t *T) {
	t.file("file", "x")
	t.must(unix.Symlink("file", "link"))
	t.must(unix.Mkfifo("fifo", 0o644))
	t.must(unix.Mknod("sock", unix.S_IFSOCK|0o644, 0))
	list := acl("U:rw- u1001:rw- G:r-- M:rw- O:r--")
	for _, name := range []string{"file", "link", "fifo", "sock"} {
		for _, attr := range []string{aclAccess, aclDefault} {
			t.result("lsetxattr "+name+" "+attr, unix.Lsetxattr(name, attr, []byte(list), 0))
			n, err := unix.Lgetxattr(name, attr, nil)
			t.count("lgetxattr "+name+" "+attr, n, err)
			t.result("lremovexattr "+name+" "+attr, unix.Lremovexattr(name, attr))
		}
		t.result("lsetxattr "+name+" empty default", unix.Lsetxattr(name, aclDefault, []byte(acl("")), 0))
		t.lstat(name)
	}
}

// aclRights has others change lists.
func aclRights(t *T) {
	t.file("f", "x")
	t.must(unix.Chmod("f", 0o666))
	t.dir("his", "group")
	t.must(unix.Chown("his", 1001, 1001))
	t.must(unix.Chown("group", 1001, 3000))
	t.must(unix.Chmod("group", 0o2775))
	t.as(1001, 1001, nil, func() {
		t.setacl("f", aclAccess, "U:rw- u1001:rw- G:r-- M:rw- O:---")
		t.remx("f", aclAccess)
		t.setacl("his", aclAccess, "U:rwx u1002:rwx G:--- M:rwx O:---")
		t.setacl("his", aclDefault, "U:rwx u1002:r-x G:--- M:rwx O:---")
		t.remx("his", aclDefault)
		t.setacl("group", aclAccess, "U:rwx u1002:rwx G:r-x M:rwx O:---") // takes the set-group-ID bit of a group not his
	})
	t.acls("f")
	t.acls("his")
	t.acls("group")
	t.as(1002, 1002, nil, func() {
		t.list("his")
		t.close(t.open("his/f", unix.O_CREAT|unix.O_RDWR, 0o644))
		t.setacl("his", aclAccess, "U:rwx G:rwx O:rwx")
		t.chmod("his", 0o777)
	})
	t.chmod("his", 0o700) // the mask is empty now
	t.as(1002, 1002, nil, func() { t.list("his") })
	t.acls("his")
}
