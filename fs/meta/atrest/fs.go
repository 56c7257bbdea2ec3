// Package atrest is a vfs.FS that encrypts every file it writes, so that Pebble's tables, manifests and options say
// nothing to one who takes the disk.
//
// The model: a file on the underlying file system is a header of crypt.FileHeader bytes (random, so a key of its own for
// each file) and then the content in AES-256-CTR, byte for byte in its place. Lengths and offsets are reported without
// the header. Names, lengths and times stay visible. Directories and lock files pass through.
//
// The traps: counter mode hides and does not authenticate; Pebble's checksums find accidents, and against forgery the
// values carry tags of their own. A position must not be written twice with different bytes under one header, so a
// file that is used again gets a new header (ReuseForWrite), and nothing here supports overwriting in place beyond what
// the caller does with WriteAt himself. A file shorter than its header (a crash right after its making) reads as empty.
//
// beforeSync runs before the content of any file is asked to become durable. With it the owner of the data that a file
// refers to makes that data durable first: no table reaches the disk before the stripes that it cites.
package atrest

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hammockfs/hammock/crypt"
)

// encFS embeds what passes through: directories, links, renames, locks and removals know nothing of contents.
type encFS struct {
	vfs.FS
	key        *crypt.Key
	beforeSync func() error
}

// New returns a file system that keeps its files encrypted under k on fs. beforeSync may be nil; it is called before
// each Sync and SyncData of a file (not of a directory) by the goroutine that syncs, and its error is returned
// instead of syncing. Safe for concurrent use as fs is.
func New(fs vfs.FS, k *crypt.Key, beforeSync func() error) vfs.FS {
	if beforeSync == nil {
		beforeSync = func() error { return nil }
	}
	return &encFS{FS: fs, key: k, beforeSync: beforeSync}
}

// Unwrap returns the file system below.
func (e *encFS) Unwrap() vfs.FS { return e.FS }

// Create makes an empty file with a header of its own.
func (e *encFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := e.FS.Create(name, c)
	if err != nil {
		return nil, err
	}
	return e.begin(f, name)
}

// ReuseForWrite renames oldname to newname and opens it for writing as a new file: what it held becomes noise.
func (e *encFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := e.FS.ReuseForWrite(oldname, newname, c)
	if err != nil {
		return nil, err
	}
	return e.begin(f, newname)
}

// Open opens a file for reading.
func (e *encFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := e.FS.Open(name, opts...)
	if err != nil {
		return nil, err
	}
	return e.resume(f, name)
}

// OpenReadWrite opens a file for reading and writing; it is made if it does not exist.
func (e *encFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := e.FS.OpenReadWrite(name, c, opts...)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", name, err), f.Close())
	}
	if info.Size() < crypt.FileHeader && !info.IsDir() {
		return e.begin(f, name)
	}
	return e.resume(f, name)
}

// Stat describes a file by its name; its size is that of the content.
func (e *encFS) Stat(name string) (vfs.FileInfo, error) {
	info, err := e.FS.Stat(name)
	return contentInfo(info, err)
}

// begin writes a new header at the start of f, which is at its start.
func (e *encFS) begin(f vfs.File, name string) (vfs.File, error) {
	header, s := crypt.NewFileStream(e.key)
	if _, err := f.Write(header[:]); err != nil {
		return nil, errors.Join(fmt.Errorf("write header of %s: %w", name, err), f.Close())
	}
	return &file{File: f, fs: e, stream: s}, nil
}

// resume reads the header of f, which leaves f at the start of its content. A directory opened by name passes through.
func (e *encFS) resume(f vfs.File, name string) (vfs.File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", name, err), f.Close())
	}
	if info.IsDir() {
		return f, nil
	}
	if info.Size() < crypt.FileHeader {
		return &file{File: f, fs: e}, nil
	}
	var header [crypt.FileHeader]byte
	if _, err := io.ReadFull(f, header[:]); err != nil {
		return nil, errors.Join(fmt.Errorf("read header of %s: %w", name, err), f.Close())
	}
	s, err := crypt.OpenFileStream(e.key, header[:])
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", name, err), f.Close())
	}
	return &file{File: f, fs: e, stream: s}, nil
}

// info reports the size of the content.
type info struct{ vfs.FileInfo }

func contentInfo(fi vfs.FileInfo, err error) (vfs.FileInfo, error) {
	if err != nil || fi.IsDir() {
		return fi, err
	}
	return info{fi}, nil
}

func (i info) Size() int64 { return max(0, i.FileInfo.Size()-crypt.FileHeader) }
