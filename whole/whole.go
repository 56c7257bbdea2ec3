// Package whole replaces files: after a power cut there is the old one or the new one, never half of one and never
// neither. It is for small files that are written seldom, like keys and settings.
//
// What it writes can be read by the user alone, whatever the umask and whoever may enter the folder.
package whole

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Write makes the file of a path hold b; when it returns nil, that survives a power cut. It writes aside, to path + ".new",
// syncs, renames, and syncs the folder. A nil file system is the disk.
func Write(fsys vfs.FS, path string, b []byte) error {
	fsys = orDisk(fsys)
	next := path + ".new"
	err := aside(fsys, next, b)
	if err == nil {
		err = fsys.Rename(next, path)
	}
	if err != nil {
		_ = fsys.Remove(next) // it is of no use; the next one would remove it too
		return err
	}
	return syncDir(fsys, fsys.PathDir(path))
}

// Rename gives a file or folder another name in the same folder; when it returns nil, that survives a power cut. A nil file
// system is the disk.
func Rename(fsys vfs.FS, from, to string) error {
	fsys = orDisk(fsys)
	if err := fsys.Rename(from, to); err != nil {
		return err
	}
	return syncDir(fsys, fsys.PathDir(to))
}

func orDisk(fsys vfs.FS) vfs.FS {
	if fsys == nil {
		return vfs.Default
	}
	return fsys
}

func aside(fsys vfs.FS, path string, b []byte) error {
	// A file left over from a crash may have other permissions.
	if err := fsys.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := create(fsys, path)
	if err != nil {
		return err
	}
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// file is what a new file is needed for.
type file interface {
	io.WriteCloser
	Sync() error
}

// create makes a file. Pebble's file system would let the umask decide who may read it.
func create(fsys vfs.FS, path string) (file, error) {
	if fsys == vfs.Default {
		return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	}
	return fsys.Create(path, vfs.WriteCategoryUnspecified)
}

func syncDir(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	if err != nil {
		return fmt.Errorf("sync the folder %s: %w", dir, err)
	}
	return nil
}

// MkdirAll makes a folder and those above it that are missing, for the user alone; when it returns nil, all of them survive
// a power cut. A nil file system is the disk.
func MkdirAll(fsys vfs.FS, dir string) error {
	fsys = orDisk(fsys)
	if above := fsys.PathDir(dir); above != dir {
		if _, err := fsys.Stat(above); errors.Is(err, fs.ErrNotExist) {
			if err := MkdirAll(fsys, above); err != nil {
				return err
			}
		}
	}
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncAbove(fsys, dir) // also if it was there: it may have been made a moment ago, by a run that was killed
}

// syncAbove makes the name of a folder safe. Where it is in a folder that the user may pass but not read, it was made by
// somebody else, long ago.
func syncAbove(fsys vfs.FS, dir string) error {
	err := syncDir(fsys, fsys.PathDir(dir))
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

// Read returns a file of at most limit bytes; of a longer one it returns a byte more. A nil file system is the disk.
func Read(fsys vfs.FS, path string, limit int) ([]byte, error) {
	f, err := orDisk(fsys).Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, int64(limit)+1))
}
