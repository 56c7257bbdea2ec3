package whole

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestWriteIsPrivate: what is written is for the user alone, even where a file of before was not; and nothing else is left
// in the folder, nor after a failure.
func TestWriteIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(dir, "file")
	if err := MkdirAll(nil, dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + ".new"} {
		if err := errors.Join(os.WriteFile(name, []byte("longer than the new one"), 0o666), os.Chmod(name, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Write(nil, path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{path: 0o600, dir: 0o700 | fs.ModeDir} {
		if info, err := os.Stat(name); err != nil || info.Mode() != want && runtime.GOOS != "windows" {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if b, err := Read(nil, path, 100); err != nil || string(b) != "new" {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := Read(nil, path, 1); err != nil || string(b) != "ne" {
		t.Errorf("%q, %v", b, err)
	}
	sub := filepath.Join(dir, "sub")
	if err := errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(sub, "full"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := Write(nil, sub, nil); err == nil {
		t.Error("a folder was replaced")
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}
