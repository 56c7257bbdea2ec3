package mount

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/hammockfs/hammock/fs/volume"
)

const (
	punch = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	zero  = unix.FALLOC_FL_ZERO_RANGE
	keep  = unix.FALLOC_FL_KEEP_SIZE
)

// testSpace runs in the mount; TestSpaceOfExt4 runs the table natively as well, so
// that it is known to be true.
func testSpace(t *testing.T, dir string) {
	t.Run("table", func(t *testing.T) { spaceTable(t, dir, false) })
	t.Run("errors", func(t *testing.T) { spaceErrors(t, dir) })
	t.Run("mappings", func(t *testing.T) { spaceMappings(t, dir) })
	t.Run("copies", func(t *testing.T) { spaceCopies(t, dir) })
	t.Run("programs", func(t *testing.T) { spacePrograms(t, dir) })
	t.Run("random", func(t *testing.T) { spaceAtRandom(t, dir) })
}

// TestSpaceOfExt4 runs the table of space in a native folder.
func TestSpaceOfExt4(t *testing.T) {
	dir := t.TempDir()
	var st unix.Statfs_t
	must(t, unix.Statfs(dir, &st))
	if st.Type != unix.EXT4_SUPER_MAGIC {
		t.Skip("the folder for temporary files is not on ext4")
	}
	spaceTable(t, dir, true)
}

// spaceTable changes the space of one file, step by step. The same steps have the
// same results on ext4, but for the blocks that it allocates and that are not
// written to: native says that it is ext4.
func spaceTable(t *testing.T, dir string, native bool) {
	f, err := os.Create(filepath.Join(dir, "table"))
	must(t, err)
	defer f.Close()
	fd := int(f.Fd())
	write := func(off int64, n int) func() error {
		return func() error { _, err := f.WriteAt(bytes.Repeat([]byte{7}, n), off); return err }
	}
	allocate := func(mode uint32, off, n int64) func() error {
		return func() error { return unix.Fallocate(fd, mode, off, n) }
	}
	for _, step := range []struct {
		what   string
		do     func() error
		size   uint64
		pages  uint64 // 4 KiB of st_blocks
		unused uint64 // those that only ext4 counts: not written to, and one for its list of more than four extents
		data   string
	}{
		{"write 10 pages", write(0, 40960), 40960, 10, 0, "0-40960"},
		{"punch 2 pages", allocate(punch, 8192, 8192), 40960, 8, 0, "0-8192 16384-40960"},
		{"punch inside a page", allocate(punch, 20000, 100), 40960, 8, 0, "0-8192 16384-40960"},
		{"punch all of a page, by halves", allocate(punch, 4096, 2048), 40960, 8, 0, "0-8192 16384-40960"},
		{"the other half", allocate(punch, 6144, 2048), 40960, 8, 0, "0-8192 16384-40960"},
		{"punch over two edges", allocate(punch, 23000, 10000), 40960, 6, 0, "0-8192 16384-24576 32768-40960"},
		{"write into a hole", write(9000, 10), 40960, 7, 0, "0-12288 16384-24576 32768-40960"},
		{"overwrite", write(0, 8192), 40960, 7, 0, "0-12288 16384-24576 32768-40960"},
		{"punch past the end", allocate(punch, 36864, 1<<40), 40960, 6, 0, "0-12288 16384-24576 32768-36864"},
		{"punch behind the end", allocate(punch, 1<<30, 4096), 40960, 6, 0, "0-12288 16384-24576 32768-36864"},
		{"truncate inside a page", func() error { return f.Truncate(20000) }, 20000, 4, 0, "0-12288 16384-20000"},
		{"truncate up", func() error { return f.Truncate(50000) }, 50000, 4, 0, "0-12288 16384-20480"},
		{"zero a page", allocate(zero|keep, 4096, 4096), 50000, 3, 1, "0-4096 8192-12288 16384-20480"},
		{"zero inside a page", allocate(zero|keep, 100, 100), 50000, 3, 1, "0-4096 8192-12288 16384-20480"},
		{"zero past the end", allocate(zero, 45056, 12288), 57344, 3, 5, "0-4096 8192-12288 16384-20480"},
		{"allocate", allocate(0, 0, 65536), 65536, 3, 14, "0-4096 8192-12288 16384-20480"},
		{"write into it", write(40960, 4096), 65536, 4, 13, "0-4096 8192-12288 16384-20480 40960-45056"},
		{"truncate to nothing", func() error { return f.Truncate(0) }, 0, 0, 0, ""},
		{"write far away", write(1<<32, 1), 1<<32 + 1, 1, 0, "4294967296-4294967297"},
		{"punch it all", allocate(punch, 0, 1<<40), 1<<32 + 1, 0, 0, ""},
	} {
		must(t, step.do())
		must(t, f.Sync())
		var st unix.Statx_t // from the daemon: under the option writeback the kernel knows better for a while
		must(t, unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_FORCE_SYNC, unix.STATX_BASIC_STATS, &st))
		if native {
			step.pages += step.unused
		}
		if data := segments(t, fd); st.Size != step.size || st.Blocks != step.pages*8 || data != step.data {
			t.Errorf("%s: size %d, %d blocks, data %q; want %d, %d, %q", step.what, st.Size, st.Blocks, data, step.size, step.pages*8, step.data)
		}
	}
}

// segments lists where a file has data, by SEEK_DATA and SEEK_HOLE.
func segments(t *testing.T, fd int) string {
	t.Helper()
	var list []string
	for at := int64(0); ; {
		data, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return strings.Join(list, " ")
		}
		must(t, err)
		at, err = unix.Seek(fd, data, unix.SEEK_HOLE)
		must(t, err)
		list = append(list, fmt.Sprintf("%d-%d", data, at))
	}
}

func spaceErrors(t *testing.T, dir string) {
	f, err := os.Create(filepath.Join(dir, "errors"))
	must(t, err)
	defer f.Close()
	_, err = f.Write(make([]byte, 10_000))
	must(t, err)
	fd := int(f.Fd())
	for _, c := range []struct {
		mode   uint32
		off, n int64
		want   syscall.Errno
	}{
		{0, -1, 1, unix.EINVAL}, {0, 0, 0, unix.EINVAL}, {punch, 0, -5, unix.EINVAL},
		{0, math.MaxInt64, 1, unix.EFBIG}, {keep, 1, math.MaxInt64, unix.EFBIG},
		{0, 0, 1 << 42, unix.ENOSPC}, {keep, 0, 1 << 42, unix.ENOSPC}, {zero, 0, 1 << 42, unix.ENOSPC},
		{unix.FALLOC_FL_PUNCH_HOLE, 0, 4096, unix.EOPNOTSUPP}, {punch | zero, 0, 4096, unix.EOPNOTSUPP},
		{unix.FALLOC_FL_COLLAPSE_RANGE, 0, 4096, unix.EOPNOTSUPP}, {unix.FALLOC_FL_INSERT_RANGE, 0, 4096, unix.EOPNOTSUPP},
		{unix.FALLOC_FL_UNSHARE_RANGE, 0, 4096, unix.EOPNOTSUPP},
	} {
		wantErrno(t, fmt.Sprintf("fallocate %x of %d at %d", c.mode, c.n, c.off), unix.Fallocate(fd, c.mode, c.off, c.n), c.want)
	}
	for _, off := range []int64{10_000, 1 << 50, -1} {
		for _, whence := range []int{unix.SEEK_DATA, unix.SEEK_HOLE} {
			_, err := unix.Seek(fd, off, whence)
			wantErrno(t, fmt.Sprintf("lseek to %d", off), err, unix.ENXIO)
		}
	}
	_, err = unix.Seek(fd, 0, 17)
	wantErrno(t, "lseek by no known rule", err, unix.EINVAL)
	only, err := os.Open(f.Name())
	must(t, err)
	defer only.Close()
	wantErrno(t, "fallocate through a descriptor that only reads", unix.Fallocate(int(only.Fd()), 0, 0, 1), unix.EBADF)
	from, to := int64(0), int64(100)
	_, err = unix.CopyFileRange(fd, &from, fd, &to, 101, 0)
	wantErrno(t, "a copy onto itself", err, unix.EINVAL)
	_, err = unix.CopyFileRange(fd, &from, int(only.Fd()), &to, 1, 0)
	wantErrno(t, "a copy into a descriptor that only reads", err, unix.EBADF)
	_, err = unix.CopyFileRange(fd, &from, fd, &to, 1, 1)
	wantErrno(t, "a copy with flags", err, unix.EINVAL)
}

// spaceMappings looks at pages that the kernel keeps: a mapping sees what a punch
// and a copy do, and what a mapping has written is not taken for a hole.
func spaceMappings(t *testing.T, dir string) {
	f, err := os.Create(filepath.Join(dir, "mapped"))
	must(t, err)
	defer f.Close()
	fd := int(f.Fd())
	_, err = f.Write(bytes.Repeat([]byte{7}, 65536))
	must(t, err)
	must(t, f.Truncate(1<<20))
	m, err := unix.Mmap(fd, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	defer unix.Munmap(m)
	if m[5000] != 7 || m[70_000] != 0 {
		t.Fatal("the mapping shows something else")
	}
	m[9000] = 8
	must(t, unix.Fallocate(fd, punch, 4096, 4096))
	if m[5000] != 0 || m[4095] != 7 || m[8192] != 7 || m[9000] != 8 {
		t.Error("after a punch the mapping shows", m[5000], m[4095], m[8192], m[9000])
	}
	from, to := int64(0), int64(5000)
	for left := 10_000; left > 0; {
		// Not onto itself: the source ends where the target begins.
		n, err := unix.CopyFileRange(fd, &from, fd, &to, min(left, 5000), 0)
		must(t, err)
		left -= n
	}
	if m[5000] != 7 || m[5000+4500] != 0 || m[10_000] != 7 || m[14_999] != 0 {
		t.Error("after a copy the mapping shows", m[5000], m[5000+4500], m[10_000], m[14_999])
	}
	m[500_000] = 9 // in a hole, and nobody has sent it to the file
	if at, err := unix.Seek(fd, 65536, unix.SEEK_DATA); err != nil || at != 499_712 {
		t.Errorf("data at %d, %v", at, err)
	}
	m[503_808] = 9 // the page behind
	if at, err := unix.Seek(fd, 499_712, unix.SEEK_HOLE); err != nil || at != 507_904 {
		t.Errorf("a hole at %d, %v", at, err)
	}
}

// spaceCopies copies ranges of many kinds, and compares with copied bytes.
func spaceCopies(t *testing.T, dir string) {
	src, err := os.Create(filepath.Join(dir, "src"))
	must(t, err)
	defer src.Close()
	dst, err := os.Create(filepath.Join(dir, "dst"))
	must(t, err)
	defer dst.Close()
	want := make([]byte, 9<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(want)
	clear(want[5<<20 : 6<<20])
	_, err = src.Write(want[:5<<20])
	must(t, err)
	_, err = src.WriteAt(want[6<<20:], 6<<20)
	must(t, err)
	var got []byte
	for _, c := range []struct{ off, to, n int64 }{
		{0, 0, 9 << 20}, {0, 100, 4096}, {4 << 20, 8<<20 - 5, 2 << 20}, {1, 12 << 20, 1}, {5<<20 - 10, 70_000, 1<<20 + 20}, {3, 4096, 8192},
	} {
		from, to := c.off, c.to
		for left := int(c.n); left > 0; {
			n, err := unix.CopyFileRange(int(src.Fd()), &from, int(dst.Fd()), &to, left, 0)
			if must(t, err); n == 0 {
				t.Fatalf("the copy ends %d bytes too early", left)
			}
			left -= n
		}
		got = append(got, make([]byte, max(0, int(c.to+c.n)-len(got)))...)
		copy(got[c.to:], want[c.off:c.off+c.n])
		wantContent(t, dst.Name(), got)
	}
	from, to := int64(9<<20-100), int64(0)
	if n, err := unix.CopyFileRange(int(src.Fd()), &from, int(dst.Fd()), &to, 1000, 0); n != 100 || err != nil {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if n, err := unix.CopyFileRange(int(src.Fd()), &from, int(dst.Fd()), &to, 1000, 0); n != 0 || err != nil {
		t.Errorf("behind the end: %d, %v", n, err)
	}
}

// spacePrograms lets cp and fallocate at it.
func spacePrograms(t *testing.T, dir string) {
	src, dst := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	want := make([]byte, 3<<20+77)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(want)
	must(t, os.WriteFile(src, want, 0o644))
	for _, how := range []string{"--reflink=auto", "--reflink=never", "--sparse=always"} {
		if out, err := exec.Command("cp", how, src, dst).CombinedOutput(); err != nil {
			t.Errorf("cp %s: %v\n%s", how, err, out)
		}
		wantContent(t, dst, want)
		must(t, os.Remove(dst))
	}
	out, err := exec.Command("cp", "--reflink=always", src, dst).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "not supported") {
		t.Errorf("cp --reflink=always: %v\n%s", err, out)
	}
	big, err := os.Create(filepath.Join(dir, "big"))
	must(t, err)
	defer big.Close()
	must(t, big.Truncate(1<<40))
	_, err = big.WriteAt([]byte("far"), 1<<39)
	must(t, err)
	must(t, big.Close())
	if out, err := exec.Command("cp", big.Name(), dst).CombinedOutput(); err != nil { // ends soon only if it sees the holes
		t.Errorf("cp of a sparse file: %v\n%s", err, out)
	}
	zeros := filepath.Join(dir, "zeros")
	must(t, os.WriteFile(zeros, make([]byte, 1<<20), 0o644))
	if out, err := exec.Command("fallocate", "--dig-holes", zeros).CombinedOutput(); err != nil {
		t.Errorf("fallocate --dig-holes: %v\n%s", err, out)
	}
	var st unix.Stat_t
	if must(t, unix.Stat(zeros, &st)); st.Blocks != 0 || st.Size != 1<<20 {
		t.Errorf("%d blocks are left, size %d", st.Blocks, st.Size)
	}
	wantContent(t, zeros, make([]byte, 1<<20))
	f, err := os.Open(dst)
	must(t, err)
	defer f.Close()
	p := make([]byte, 3)
	if n, err := f.ReadAt(p, 1<<39); n != 3 || err != nil && err != io.EOF || string(p) != "far" {
		t.Errorf("%q, %v", p, err)
	}
}

// TestCpShares: cp asks for a copy within the kernel, and that takes no space.
func TestCpShares(t *testing.T) {
	s, dir := mountOrSkip(t, Options{})
	shell(t, dir, `head -c 9437189 /dev/urandom > "$D/src"`)
	before := s.volume.Statfs(t.Context()).Free
	shell(t, dir, `cp "$D/src" "$D/dst" && cmp "$D/src" "$D/dst"`)
	if after := s.volume.Statfs(t.Context()).Free; after != before {
		t.Errorf("the copy took %d bytes", before-after)
	}
}

// TestSpaceShowsAtOnce: what the kernel has been told of a file's blocks and times
// is taken back when its space changes.
func TestSpaceShowsAtOnce(t *testing.T) {
	_, dir := mountOrSkip(t, Options{})
	got := shell(t, dir, `
f="$D/f"
head -c 40960 /dev/urandom > "$f"
for how in "-l 50000" "-n -l 200000" "-p -o 4096 -l 8192" "-z -o 0 -l 4096" "-p -o 1000000 -l 4096"; do
	before=$(stat -c '%.9Y %.9Z %.9X' "$f")
	fallocate $how "$f"
	after=$(stat -c '%.9Y %.9Z %.9X' "$f")
	set -- $before $after
	[ "$1" != "$4" ] && [ "$2" != "$5" ] && [ "$3" = "$6" ] || echo "times after $how: $before, then $after"
	stat -c '%s %b' "$f"
done`)
	if want := "50000 80\n50000 80\n50000 64\n50000 56\n50000 56"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestSpaceTakesSetID: what an unprivileged caller does to the space of a file
// takes its set-ID bits.
func TestSpaceTakesSetID(t *testing.T) {
	v := newVolume(t)
	s := &Server{volume: v, files: newFiles(), ctx: t.Context(), log: slog.New(slog.DiscardHandler)}
	var set uint32 = 0o6755
	open := func(name string) (ino, fh uint64) {
		a, f, err := v.Create(t.Context(), volume.Caller{}, volume.Root, name, 0o755)
		must(t, err)
		_, err = f.Write(t.Context(), make([]byte, 10_000), 0)
		must(t, err)
		t.Cleanup(func() { must(t, f.Release(context.Background())) })
		return a.Ino, s.files.add(f, syscall.O_RDWR)
	}
	ino, fh := open("f")
	other, otherFh := open("g")
	for uid, want := range map[uint32]uint32{0: 0o6755, 1000: 0o755} {
		from := fuse.InHeader{NodeId: ino, Caller: fuse.Caller{Owner: fuse.Owner{Uid: uid}}}
		for what, change := range map[string]func() fuse.Status{
			"fallocate": func() fuse.Status {
				return s.Fallocate(nil, &fuse.FallocateIn{InHeader: from, Fh: fh, Length: 5000, Mode: punch})
			},
			"copy_file_range": func() fuse.Status {
				from.NodeId = other
				n, status := s.CopyFileRange(nil, &fuse.CopyFileRangeIn{InHeader: from, FhIn: otherFh, NodeIdOut: ino, FhOut: fh, Len: 1 << 40})
				if n != 10_000 {
					t.Errorf("%d bytes copied", n)
				}
				return status
			},
		} {
			_, err := v.SetAttr(t.Context(), ino, volume.SetAttr{Mode: &set})
			must(t, err)
			if status := change(); status != fuse.OK {
				t.Error(what, status)
			}
			if a, err := v.GetAttr(t.Context(), ino); err != nil || a.Mode&0o7777 != want {
				t.Errorf("%s by user %d: mode %o, want %o, %v", what, uid, a.Mode&0o7777, want, err)
			}
		}
	}
}

// TestSpaceOfNoFile asks with handles and rules that there are not.
func TestSpaceOfNoFile(t *testing.T) {
	v := newVolume(t)
	s := &Server{volume: v, files: newFiles(), ctx: t.Context(), log: slog.New(slog.DiscardHandler)}
	_, f, err := v.Create(t.Context(), volume.Caller{}, volume.Root, "f", 0o644)
	must(t, err)
	defer func() { must(t, f.Release(context.Background())) }()
	fh := s.files.add(f, syscall.O_RDWR)
	copied := func(in fuse.CopyFileRangeIn) fuse.Status { _, status := s.CopyFileRange(nil, &in); return status }
	seek := func(in fuse.LseekIn) fuse.Status { return s.Lseek(nil, &in, &fuse.LseekOut{}) }
	for i, c := range []struct{ got, want fuse.Status }{
		{s.Fallocate(nil, &fuse.FallocateIn{Fh: 99, Length: 1}), fuse.EBADF},
		{s.Fallocate(nil, &fuse.FallocateIn{Fh: fh, Length: 1 << 63}), fuse.EINVAL},
		{s.Fallocate(nil, &fuse.FallocateIn{Fh: fh, Offset: 1 << 63, Length: 1}), fuse.EINVAL},
		{s.Fallocate(nil, &fuse.FallocateIn{Fh: fh, Offset: 1<<63 - 1, Length: 1<<63 - 1}), fuse.Status(syscall.EFBIG)},
		{s.Fallocate(nil, &fuse.FallocateIn{Fh: fh, Length: 1, Mode: unix.FALLOC_FL_COLLAPSE_RANGE}), fuse.Status(syscall.EOPNOTSUPP)},
		{copied(fuse.CopyFileRangeIn{FhIn: 99, FhOut: fh, Len: 1}), fuse.EBADF},
		{copied(fuse.CopyFileRangeIn{FhIn: fh, FhOut: 99, Len: 1}), fuse.EBADF},
		{copied(fuse.CopyFileRangeIn{FhIn: fh, FhOut: fh, Len: 1, Flags: 1}), fuse.EINVAL},
		{copied(fuse.CopyFileRangeIn{FhIn: fh, FhOut: fh, Len: 1, OffIn: 1 << 63}), fuse.EINVAL},
		{copied(fuse.CopyFileRangeIn{FhIn: fh, FhOut: fh, Len: 1<<64 - 1, OffOut: 1<<63 - 1}), fuse.Status(syscall.EFBIG)},
		{seek(fuse.LseekIn{Fh: 99, Whence: seekData}), fuse.EBADF},
		{seek(fuse.LseekIn{Fh: fh, Whence: 0}), fuse.EINVAL},
		{seek(fuse.LseekIn{Fh: fh, Whence: seekData}), fuse.Status(syscall.ENXIO)},
		{seek(fuse.LseekIn{Fh: fh, Whence: seekHole, Offset: 1 << 63}), fuse.Status(syscall.ENXIO)},
	} {
		if c.got != c.want {
			t.Errorf("request %d: %v, want %v", i, c.got, c.want)
		}
	}
}
