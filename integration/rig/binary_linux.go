package rig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Build makes the binary that the tests run from the sources below root, in a
// folder. The race detector stays out of it: what is tested is what users have,
// sizes and speeds included. HAMMOCK_BINARY has the tests run another one.
func Build(root, folder string) (string, error) {
	if path := os.Getenv("HAMMOCK_BINARY"); path != "" {
		return filepath.EvalSymlinks(path)
	}
	if err := noteSources(root); err != nil {
		return "", err
	}
	path := filepath.Join(folder, "hammock")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "./cmd/hammock") // as `make build` does
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binary: %w\n%s", err, out)
	}
	return filepath.EvalSymlinks(path)
}

// noteSources looks at every source file, so that the go command does not take
// the result of a test from its cache when one has changed.
func noteSources(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && filepath.Ext(path) == ".go" {
			_, err = os.Stat(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a file of somebody's editor
		}
		return err
	})
}

// Missing ends a test that cannot run here. Under CI that is a failure: there
// the mount and the programs have to be there.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("CI has to have it: "+format, args...)
	}
	t.Skipf(format, args...)
}

// NeedMount ends a test where nothing can be mounted, or a program is missing.
func NeedMount(t testing.TB, programs ...string) {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		Missing(t, "nothing can be mounted here: %v", err)
		return
	}
	f.Close()
	if os.Getuid() != 0 {
		programs = append(programs, "fusermount3")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			Missing(t, "%s is not installed", p)
		}
	}
}
