package model

import (
	"bytes"
	"slices"
	"strings"
	"syscall"
)

// Difference is one thing in which a filesystem may differ from the truth.
type Difference struct {
	What, Why string
	// forget takes it out of what the two answered to a call; nil where the
	// comparison itself knows.
	forget func(m *Machine, c *Call, test, truth *Result)
}

// Differences is all of them. Everything else has to be equal.
var Differences = []Difference{
	{
		"number of an inode", "each filesystem numbers its own; which names are one inode is compared by Compare, and that the number stays by history",
		func(_ *Machine, _ *Call, test, truth *Result) {
			for _, r := range []*Result{test, truth} {
				r.Stat.Ino, r.Stat.Gen = 0, ""
				for i := range r.Entries {
					r.Entries[i].Ino = 0
				}
			}
		},
	},
	{
		"size of a directory", "POSIX leaves it open; ext4 counts its blocks",
		func(_ *Machine, _ *Call, test, truth *Result) {
			if truth.Stat.is(syscall.S_IFDIR) {
				test.Stat.Size, truth.Stat.Size = 0, 0
			}
		},
	},
	{
		"links of a directory", "btrfs and others do not count subdirectories; ext4 does, and then it is compared",
		func(m *Machine, _ *Call, test, truth *Result) {
			if truth.Stat.is(syscall.S_IFDIR) && !m.DirLinks {
				test.Stat.Nlink, truth.Stat.Nlink = 0, 0
			}
		},
	},
	{
		"times of the clock", "two filesystems do not do the same thing at the same moment; that a time rises with the truth's is compared by history",
		func(_ *Machine, _ *Call, test, truth *Result) {
			for _, r := range []*Result{test, truth} {
				r.Stat.Ctime, r.Stat.Btime = 0, 0
				if r.Stat.Mtime >= Early {
					r.Stat.Mtime = 0
				}
			}
		},
	},
	{
		"time of access", "a mount is noatime unless it is asked for more: a read writes no metadata",
		func(_ *Machine, _ *Call, test, truth *Result) {
			if test.Stat.Atime >= Early || truth.Stat.Atime >= Early {
				test.Stat.Atime, truth.Stat.Atime = 0, 0
			}
		},
	},
	{
		"blocks", "ext4 counts blocks of its own trees and of long attributes, and what is only allocated; they are held against SEEK_DATA and SEEK_HOLE",
		func(_ *Machine, _ *Call, test, truth *Result) { test.Stat.Blocks, truth.Stat.Blocks = 0, 0 },
	},
	{
		"mtime of what was written through a mapping", "the daemon hears of a store into a mapping when the kernel writes its page back, ext4 at the first store",
		func(m *Machine, _ *Call, test, truth *Result) {
			if h := m.inodes[truth.gen]; h != nil && h.mapped {
				test.Stat.Mtime, truth.Stat.Mtime = 0, 0
			}
		},
	},
	{
		"long attributes", "ext4 has room for 4 KiB of them in an inode, hammock for 64 KiB in each (longer ones are not drawn)", nil,
	},
	{
		"where data is after fallocate, a copy, or a store into a mapping", "what is only allocated is a hole in hammock and may be data in ext4, which also writes the zeros of a hole that it copies (see seek)", nil,
	},
	{
		"what O_DIRECT refuses", "ext4 wants whole blocks of the disk, and so refuses to copy such files by other than blocks; hammock takes any range (not drawn)", nil,
	},
	{
		"collapsing and inserting a range", "the kernel has no request for it, so it is EOPNOTSUPP in any FUSE (not drawn)", nil,
	},
	{
		"order of a directory", "each lists in the order of its own hashes (see stream)", nil,
	},
	{
		"attributes of the system's", "security modules label files of a native filesystem, and not those of a mount",
		func(_ *Machine, _ *Call, test, truth *Result) {
			for _, r := range []*Result{test, truth} {
				r.Names = slices.DeleteFunc(r.Names, func(n string) bool {
					return strings.HasPrefix(n, "security.") || strings.HasPrefix(n, "trusted.")
				})
			}
		},
	},
}

// agree says whether two results are the same but for the differences.
func (m *Machine) agree(c *Call, test, truth *Result) bool {
	a, b := copied(test), copied(truth)
	for _, d := range Differences {
		if d.forget != nil {
			d.forget(m, c, a, b)
		}
	}
	return a.Errno == b.Errno && a.N == b.N && a.Stat == b.Stat && bytes.Equal(a.Data, b.Data) &&
		slices.Equal(a.Entries, b.Entries) && slices.Equal(a.Names, b.Names)
}

// copied is a result that may be changed.
func copied(r *Result) *Result {
	c := *r
	c.gen = r.Stat.Gen
	c.Entries, c.Names = slices.Clone(r.Entries), slices.Clone(r.Names)
	return &c
}
