package depot

import (
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// orderedFS is what the index lies on. Pebble makes a manifest, then a marker file that names it, removes the marker of
// before, and then syncs the folder once: after a power cut the marker may be there and the manifest not
// (cockroachdb/pebble pull request 5915), or neither marker, where the file system does not keep changes of a folder in
// order. Without a marker Pebble begins an empty database. Here the folder is synced before each marker is made and before
// one is removed.
type orderedFS struct{ vfs.FS }

// Create makes a file; a marker only after the names that were there before are safe.
func (f orderedFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.order(name); err != nil {
		return nil, err
	}
	return f.FS.Create(name, c)
}

// Remove deletes a file; a marker only after the one that follows it is safe.
func (f orderedFS) Remove(name string) error {
	if err := f.order(name); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

// order syncs the folder of a marker.
func (f orderedFS) order(name string) error {
	if !strings.HasPrefix(f.PathBase(name), "marker.") {
		return nil
	}
	return syncDir(f.FS, f.PathDir(name))
}

// Unwrap lets Pebble find what lies below.
func (f orderedFS) Unwrap() vfs.FS { return f.FS }

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
