package integration

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
	"golang.org/x/sys/unix"
)

// selfLock is a test of go-fuse's that no file system passes: it expects a
// process to be kept out by a record lock of its own.
const selfLock = "FcntlFlockLocksFile"

// conform runs the conformance tests of go-fuse, all that ext4 passes.
func conform(t *testing.T, mounted string) {
	for _, name := range slices.Sorted(maps.Keys(posixtest.All)) {
		if name == selfLock {
			checkSelfLock(t)
			continue
		}
		dir := filepath.Join(mounted, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		var result *testing.T
		t.Run(name, func(t *testing.T) {
			result = t
			posixtest.All[name](t, dir)
		})
		if result.Skipped() {
			t.Errorf("%s skips something: the mount lacks what it needs", name)
		}
	}
}

// checkSelfLock shows on the native file system why selfLock is left out: the
// second of two locks of one process is no conflict.
func checkSelfLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, kind := range []int16{unix.F_WRLCK, unix.F_RDLCK} {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: kind}); err != nil {
			t.Errorf("%s could pass here: %v", selfLock, err)
		}
	}
}
