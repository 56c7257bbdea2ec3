package mount

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// What a test does in a folder that it mounts is done by another process (see
// insideDir), which may be another user: a program, by its name.
const (
	programName = "HAMMOCK_TEST_PROGRAM"
	programDir  = "HAMMOCK_TEST_PROGRAM_DIR"
	programUser = "HAMMOCK_TEST_PROGRAM_USER"
)

// somebody is an ordinary user and his group.
const somebody = 12345

var programs = map[string]func(*testing.T, string){
	"read only": inReadOnly, "refused remount": inRemounted, "flags": inFlags, "denied": inDenied, "prepare": inPrepare, "other user": inOtherUser,
	"access times": inAccessTimes, "no access times": inNoAccessTimes, "access times of files": inFileAccessTimes,
	"sync": inSync, "dirsync": inDirSync, "synced handles": inSyncedHandles, "owners": inOwners, "map": inMap, "user's folder": inUsersFolder, "a user's mount": inUsersMount,
	"given": inGiven, "kernel's map": inKernelMap, "made through the kernel's map": inKernelMapped,
}

// TestProgram is what the other process does.
func TestProgram(t *testing.T) {
	name := os.Getenv(programName)
	if name == "" {
		t.Skip("runs as a program of its own, started by the tests that mount")
	}
	if uid, err := strconv.Atoi(os.Getenv(programUser)); err == nil {
		become(t, uid)
	}
	programs[name](t, os.Getenv(programDir))
}

func become(t *testing.T, uid int) {
	must(t, syscall.Setgroups(nil))
	must(t, syscall.Setgid(uid))
	must(t, syscall.Setuid(uid))
}

// inProgram runs a program in dir as this user, or as another one if uid is not
// zero.
func inProgram(t *testing.T, name, dir string, uid int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), outsideLimit)
	defer cancel()
	cmd := program(ctx, name, dir, uid)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestProgram") {
		t.Errorf("%s: %v\n%s", name, err, out)
	}
}

func program(ctx context.Context, name, dir string, uid int) *exec.Cmd {
	// By this path whoever may not look into the folder of the binary starts it, too.
	cmd := outside(ctx, "/proc/self/exe", "-test.run=^TestProgram$", "-test.v", "-test.timeout=3m")
	cmd.Env = append(os.Environ(), programName+"="+name, programDir+"="+dir, programUser+"=")
	if uid != 0 {
		cmd.Env = append(cmd.Env, programUser+"="+strconv.Itoa(uid))
	}
	return cmd
}

// needRoot ends a test that only root can do; under CI it is root.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("CI has to be root")
	}
	t.Skip("needs root")
}

// openDir is a folder for mounting that other users can reach.
func openDir(t *testing.T) string {
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	must(t, os.Chmod(dir, 0o755))
	return dir
}

// mountFor mounts a new volume where other users can reach it.
func mountFor(t *testing.T, cfg Config) string {
	if err := checkDevice("/dev/fuse"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if cfg.Volume == nil {
		cfg.Volume = newVolume(t)
	}
	cfg.Dir = openDir(t)
	s, err := Mount(context.Background(), cfg)
	must(t, err)
	t.Cleanup(func() { unmount(t, s) })
	return s.Dir()
}

func parsed(t *testing.T, list string) Options {
	o, err := ParseOptions(list)
	must(t, err)
	return o
}
