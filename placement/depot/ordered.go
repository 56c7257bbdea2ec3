package depot

import (
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// orderedFS is what the index lies on. Pebble makes a manifest, then a marker file that names it, and then syncs the
// folder once: after a power cut the marker may be there and the manifest not, where the file system does not keep
// changes of a folder in order (cockroachdb/pebble pull request 5915). Here the folder is synced before each marker.
type orderedFS struct{ vfs.FS }

// Create makes a file; a marker only after the names that were there before are safe.
func (f orderedFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(f.PathBase(name), "marker.") {
		if err := syncDir(f.FS, f.PathDir(name)); err != nil {
			return nil, err
		}
	}
	return f.FS.Create(name, c)
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
