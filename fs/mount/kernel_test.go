package mount

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/chunker"
	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/cache"
	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/volume"
)

// numbers lets the cache be opened before the metadata that number its stripes.
type numbers struct{ db *meta.DB }

func (n *numbers) NextStripe() (uint64, error) { return n.db.NextStripe() }
func (n *numbers) FindChunk(id crypt.ID) (crypt.Ref, bool) {
	return n.db.FindChunk(id)
}
func (n *numbers) AddChunk(id crypt.ID, r *crypt.Ref) error { return n.db.AddChunk(id, r) }

// newVolume makes a volume without peers in a folder of the test.
func newVolume(t testing.TB) *volume.Volume {
	ctx, dir := context.Background(), t.TempDir()
	check := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	key := crypt.NewKey()
	nums := &numbers{}
	c, err := cache.Open(cache.Config{
		FS: vfs.Default, Dir: filepath.Join(dir, "cache"), Sealer: crypt.NewSealer(key, crypt.SuiteAES),
		Numbers: nums, Index: nums, Limit: 16 << 30, Memory: 64 << 20,
		Target: func(uint8) int { return 4 << 20 },
	})
	check(err)
	nums.db, err = meta.Open(ctx, meta.Config{
		FS: vfs.Default, Dir: filepath.Join(dir, "meta"), AtRest: crypt.NewKey(), NameKey: crypt.NewKey(),
		Device: crypt.NewDevice(), Volume: crypt.Sum([]byte("volume")), Epoch: crypt.Epoch{Number: 1, Secret: crypt.NewKey()},
		Chunks: c, SyncStripes: func(ctx context.Context) error { return c.Sync(ctx) }, ValidRef: c.Valid,
	})
	check(err)
	table, err := chunker.NewTable([32]byte{1}, chunker.Default)
	check(err)
	v, err := volume.Open(ctx, volume.Config{DB: nums.db, Cache: c, Table: table})
	check(err)
	t.Cleanup(func() {
		check(v.Close(ctx))
		check(nums.db.Close(ctx))
		check(c.Close(ctx))
	})
	return v
}

// needFUSE skips a test where there is no FUSE, but never in CI.
func needFUSE(t testing.TB) {
	t.Helper()
	err := checkDevice("/dev/fuse")
	if err != nil && os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip(err)
	}
}

// mountOrSkip mounts a new volume.
func mountOrSkip(t testing.TB, o Options) (*Server, string) {
	needFUSE(t)
	dir := t.TempDir()
	s, err := Mount(context.Background(), Config{Dir: dir, Volume: newVolume(t), Options: o})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unmount(t, s) })
	return s, dir
}

func unmount(t testing.TB, s *Server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Unmount(ctx); err != nil {
		t.Error(err)
		_ = s.Detach()
	}
}

// insideDir is the environment variable that makes this test binary a program that
// works in a mounted folder. It must not be the process that serves the mount:
// munmap(2), for one, holds the lock of the whole address space while it waits
// for its pages to be written, and the daemon needs that lock to write them.
const insideDir = "HAMMOCK_TEST_INSIDE"

var suites = map[string]func(*testing.T, string){
	"files": testFiles, "names": testNames, "attributes": testAttributes, "xattrs": testXattrs,
	"listing": testListing, "umask": testUmask, "mmap": testMmap, "unlinked": testUnlinked,
	"append": testAppend, "sparse": testSparse, "errors": testErrors, "concurrent": testConcurrent,
	"programs": testPrograms, "links": testLinks, "space": testSpace,
}

// TestInside is what the program does.
func TestInside(t *testing.T) {
	dir := os.Getenv(insideDir)
	if dir == "" {
		t.Skip("runs as a program of its own, started by the tests that mount")
	}
	for name, f := range suites {
		t.Run(name, func(t *testing.T) {
			own := filepath.Join(dir, name)
			must(t, os.Mkdir(own, 0o755))
			f(t, own)
		})
	}
}

// runInside runs the suites in dir by another process.
func runInside(t *testing.T, dir string) {
	ctx, cancel := context.WithTimeout(context.Background(), outsideLimit)
	defer cancel()
	program := outside(ctx, os.Args[0], "-test.run=^TestInside$", "-test.v", "-test.timeout=3m")
	program.Env = append(os.Environ(), insideDir+"="+dir)
	if out, err := program.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestInside/programs") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestKernelMount(t *testing.T) {
	_, dir := mountOrSkip(t, Options{})
	runInside(t, dir)
}

func must(t testing.TB, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

func wantErrno(t *testing.T, what string, err error, want syscall.Errno) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestReadOnlyMount(t *testing.T) {
	_, dir := mountOrSkip(t, Options{ReadOnly: true})
	wantErrno(t, "write", os.WriteFile(filepath.Join(dir, "f"), nil, 0o644), syscall.EROFS)
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Error(entries, err)
	}
}

func TestWritebackMount(t *testing.T) {
	_, dir := mountOrSkip(t, Options{Writeback: true, Uring: UringOff})
	runInside(t, dir)
}

func TestMountPointIsTaken(t *testing.T) {
	s, dir := mountOrSkip(t, Options{})
	_, err := Mount(context.Background(), Config{Dir: dir, Volume: s.volume})
	if err == nil || !strings.Contains(err.Error(), "has something mounted on it already") {
		t.Error(err)
	}
	_, err = Mount(context.Background(), Config{Dir: t.TempDir(), Volume: s.volume, Options: Options{SyncPeers: true}})
	if err == nil || !strings.Contains(err.Error(), "sync=peers") {
		t.Error(err)
	}
}

func TestUnmountWhileInUse(t *testing.T) {
	s, dir := mountOrSkip(t, Options{})
	limit, end := context.WithTimeout(context.Background(), outsideLimit)
	defer end()
	user := outside(limit, "sh", "-ec", `exec 3>"$1/f"; echo open; read go; echo works on >&3; cat "$1/f"`, "sh", dir)
	in, err := user.StdinPipe()
	must(t, err)
	out, err := user.StdoutPipe()
	must(t, err)
	must(t, user.Start())
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "open\n" {
		t.Fatal(line, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := s.Unmount(ctx); err == nil || !strings.Contains(err.Error(), "is still in use by") {
		t.Error(err)
	}
	_, err = io.WriteString(in, "go\n")
	must(t, err)
	if rest, err := io.ReadAll(lines); string(rest) != "works on\n" {
		t.Error(string(rest), err)
	}
	must(t, user.Wait())
}

func TestFsyncWaitsForPeers(t *testing.T) {
	v, dir, calls := newVolume(t), t.TempDir(), 0
	needFUSE(t)
	s, err := Mount(context.Background(), Config{Dir: dir, Volume: v, Options: Options{SyncPeers: true},
		SyncPeers: func(context.Context) error { calls++; return nil }})
	must(t, err)
	shell(t, dir, `echo x > "$D/f"; sync "$D/f"`)
	unmount(t, s)
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

// mountAndDie is the environment variable that makes this test binary a daemon
// that mounts and is then killed.
const mountAndDie = "HAMMOCK_TEST_MOUNT_AND_DIE"

// TestDaemonDied mounts where a daemon that was killed has left its mount.
func TestDaemonDied(t *testing.T) {
	if dir := os.Getenv(mountAndDie); dir != "" {
		_, err := Mount(context.Background(), Config{Dir: dir, Volume: newVolume(t)})
		must(t, err)
		must(t, syscall.Kill(os.Getpid(), syscall.SIGKILL))
		select {}
	}
	needFUSE(t)
	dir := t.TempDir()
	daemon := outside(context.Background(), os.Args[0], "-test.run=^TestDaemonDied$")
	daemon.Env = append(os.Environ(), mountAndDie+"="+dir, "TMPDIR="+t.TempDir())
	if out, err := daemon.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("%v\n%s", err, out)
	}
	wantDead(t, dir)
	s, err := Mount(context.Background(), Config{Dir: dir, Volume: newVolume(t)})
	must(t, err)
	shell(t, dir, `: > "$D/f"`)
	unmount(t, s)
}

// TestContentSurvivesRemount looks at what the kernel no longer remembers.
func TestContentSurvivesRemount(t *testing.T) {
	s, dir := mountOrSkip(t, Options{})
	p := bytes.Repeat([]byte("0123456789"), 100_000)
	from := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(from, p, 0o640))
	shell(t, dir, `cp "$FROM" "$D/f"`, "FROM="+from)
	unmount(t, s)
	again, err := Mount(context.Background(), Config{Dir: dir, Volume: s.volume})
	must(t, err)
	defer unmount(t, again)
	shell(t, dir, `cmp "$FROM" "$D/f"`, "FROM="+from)
}
