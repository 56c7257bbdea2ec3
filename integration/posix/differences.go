//go:build linux

package posix

// Differences are the steps that have another result than on ext4, on purpose.
// docs/POSIX.md has the reason of each in the row of its rule.
var Differences = []Difference{
	{"open/direct", "direct pwrite of 100 bytes, not aligned", "EINVAL", "100", ruleDirect},
	{"open/direct", "direct pread of 100 bytes, not aligned", "EINVAL", "100", ruleDirect},

	{"times/range", "mtime of f set to -2147483648 s", "-2147483648.000000000", "-2147483648.123456789", ruleTimes},
	{"times/range", "mtime of f set to -2147483649 s", "-2147483648.000000000", "-2147483649.123456789", ruleTimes},
	{"times/range", "mtime of f set to 9223372036 s", "9223372036.123456789", "9223372036.854775807", ruleTimes},
	{"times/range", "mtime of f set to 9223372037 s", "9223372037.123456789", "9223372036.854775807", ruleTimes},
	{"times/range", "mtime of f set to 15032385535 s", "15032385535.000000000", "9223372036.854775807", ruleTimes},
	{"times/range", "mtime of f set to 15032385536 s", "15032385535.000000000", "9223372036.854775807", ruleTimes},
	{"times/range", "mtime of f set to -9223372036 s", "-2147483648.000000000", "-9223372037.145224192", ruleTimes},
	{"times/range", "mtime of f set to 1099511627776 s", "15032385535.000000000", "9223372036.854775807", ruleTimes},

	{"readwrite/positions", "lseek <f> 9223372036854775807 SET", "EINVAL", "9223372036854775807", ruleSize},
	{"limits/size", "truncate f17592186044416 17592186044416", "EFBIG", "ok", ruleSize},
	{"limits/size", "truncate f1125899906842624 1125899906842624", "EFBIG", "ok", ruleSize},
	{"limits/size", "truncate f4611686018427387904 4611686018427387904", "EFBIG", "ok", ruleSize},
	{"limits/size", "truncate f9223372036854775807 9223372036854775807", "EFBIG", "ok", ruleSize},
	{"limits/write", "pwrite <f> ab at 17592186040319", "1", "2", ruleSize},
	{"limits/write", "size after a write at 17592186040319", "17592186040320", "17592186040321", ruleSize},
	{"limits/write", "pwrite <f> ab at 17592186040320", "EFBIG", "2", ruleSize},
	{"limits/write", "size after a write at 17592186040320", "17592186040320", "17592186040322", ruleSize},
	{"limits/write", "pwrite <f> ab at 17592186044416", "EFBIG", "2", ruleSize},
	{"limits/write", "size after a write at 17592186044416", "17592186040320", "17592186044418", ruleSize},
	{"limits/write", "pwrite <f> ab at 4611686018427387904", "EFBIG", "2", ruleSize},
	{"limits/write", "size after a write at 4611686018427387904", "17592186040320", "4611686018427387906", ruleSize},
	{"limits/write", "pwrite <f> ab at 9223372036854775805", "EFBIG", "2", ruleSize},
	{"limits/write", "size after a write at 9223372036854775805", "17592186040320", "9223372036854775807", ruleSize},
	{"limits/write", "size after a write at 9223372036854775806", "17592186040320", "9223372036854775807", ruleSize},
	{"limits/write", "size after a write at 9223372036854775807", "17592186040320", "9223372036854775807", ruleSize},
	{"limits/write", "lseek <f> 9223372036854775806 SET", "EINVAL", "9223372036854775806", ruleSize},
	// At its position a read of ten bytes would end behind the largest offset.
	{"limits/write", "read <f> 10", `""`, "EINVAL", ruleSize},
	{"limits/write", "write <f> x", "EFBIG", "1", ruleSize},

	{"readwrite/ioctls", "ioctl FS_IOC_GETFLAGS", "ok", "ENOTTY", ruleFlags},
	{"readwrite/ioctls", "ioctl FS_IOC_FIEMAP", "EINVAL", "EOPNOTSUPP", ruleFiemap},

	{"attributes/setid", "6767 after write by 1002", "767", "2767", ruleSetgid},
	{"attributes/setid", "6767 after truncate by 1002", "767", "2767", ruleSetgid},
	{"attributes/setid", "[1002] chown f -1:-1", "EPERM", "ok", ruleChown},
	{"attributes/setid", "[1002] chown f -1:-1", "EPERM", "ok", ruleChown},
	{"attributes/setid", "[1002] chown f -1:-1", "EPERM", "ok", ruleChown},
	{"attributes/setid", "[1002] chown f -1:-1", "EPERM", "ok", ruleChown},

	{"xattrs/sizes", "setxattr of 8192 bytes", "ENOSPC", "ok", ruleXattr},
	{"xattrs/sizes", "setxattr of 65536 bytes", "ENOSPC", "ok", ruleXattr},
	{"xattrs/sizes", "removexattr f user.larger", "ENODATA", "ok", ruleXattr},
	{"attributes/setid", "6767 after fallocate by 1002", "767", "2767", ruleSetgid},

	{"space/punch", "fallocate <f> KEEP_SIZE|PUNCH_HOLE 0+4611686018427387904", "EFBIG", "ok", ruleSize},
	{"copy/bad", "copy_file_range <in> 0 to <out> 9223372036854775802, 10", "EFBIG", "5", ruleSize},
	{"copy/bad", "stat out", "file 644 nlink=1 own=0:0 size=0", "file 644 nlink=1 own=0:0 size=9223372036854775807", ruleSize},
	{"space/refused", "fallocate <f> COLLAPSE 4096+4096", "ok", "EOPNOTSUPP", ruleCollapse},
	{"space/refused", "stat f", "file 644 nlink=1 own=0:0 size=15904", "file 644 nlink=1 own=0:0 size=20000", ruleCollapse},
	{"space/refused", "fallocate <f> INSERT 4096+4096", "ok", "EOPNOTSUPP", ruleCollapse},
	{"space/seek", "lseek <.> 0 HOLE", "9223372036854775807", "4096", ruleSeekDir},
	{"handles/notify", "epoll of a file", "EPERM", "ok", ruleEpoll},

	{"mmap/end", "pread <f> 20 at 0", `"again\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"`,
		`"again\x00\x00\x00\x00\x00x\x00\x00\x00\x00\x00\x00\x00\x00\x00"`, ruleMapEnd},
	{"special/fifo", "times of p after: write to a FIFO", "atime same, mtime now, ctime now, btime same",
		"atime same, mtime same, ctime same, btime same", ruleFifo},
}

// The rules of docs/POSIX.md that name a difference, each by the first cell of
// its row.
const (
	ruleDirect   = "O_DIRECT"
	ruleTimes    = "range of times"
	ruleSize     = "largest file"
	ruleFlags    = "chattr, lsattr, project IDs"
	ruleFiemap   = "FIEMAP"
	ruleMapEnd   = "bytes behind the end, through a mapping"
	ruleFifo     = "times of a FIFO"
	ruleChown    = "chown of nothing by a stranger"
	ruleXattr    = "size of an extended attribute"
	ruleEpoll    = "epoll of a file"
	ruleCollapse = "fallocate COLLAPSE_RANGE, INSERT_RANGE"
	ruleSeekDir  = "SEEK_HOLE in a directory"
	ruleSetgid   = "set-group-ID without group execute"
)
