package atrest

import (
	"io"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hammockfs/hammock/crypt"
)

// file is an open encrypted file. As with any vfs.File, reads at an offset may run beside everything, and Read, Write
// and the syncs are called by one goroutine at a time.
type file struct {
	vfs.File
	fs     *encFS
	stream *crypt.FileStream // nil: the file is shorter than a header and can only be empty
	pos    int64             // of Read and Write, in the content; the file below stands at pos + crypt.FileHeader
}

// pieces are buffers for encryption: what the caller gave to write stays as it is.
var pieces = sync.Pool{New: func() any { return new([64 << 10]byte) }}

func (f *file) Read(p []byte) (int, error) {
	if f.stream == nil {
		return 0, io.EOF
	}
	n, err := f.File.Read(p)
	f.stream.XORAt(p[:n], p[:n], f.pos)
	f.pos += int64(n)
	return n, err
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if f.stream == nil {
		return 0, io.EOF
	}
	n, err := f.File.ReadAt(p, off+crypt.FileHeader)
	f.stream.XORAt(p[:n], p[:n], off)
	return n, err
}

func (f *file) Write(p []byte) (int, error) {
	n, err := f.inPieces(p, f.pos, func(b []byte, _ int64) (int, error) { return f.File.Write(b) })
	f.pos += int64(n)
	return n, err
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	return f.inPieces(p, off, f.File.WriteAt)
}

// inPieces encrypts p, the content from off on, and writes it with at, which gets offsets of the file below.
func (f *file) inPieces(p []byte, off int64, at func([]byte, int64) (int, error)) (done int, err error) {
	if f.stream == nil {
		return 0, io.ErrShortWrite // opened for reading only
	}
	buf := pieces.Get().(*[64 << 10]byte)
	defer pieces.Put(buf)
	for done < len(p) {
		b := buf[:min(len(buf), len(p)-done)]
		f.stream.XORAt(b, p[done:done+len(b)], off+int64(done))
		n, err := at(b, off+int64(done)+crypt.FileHeader)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (f *file) Stat() (vfs.FileInfo, error) { return contentInfo(f.File.Stat()) }

func (f *file) Preallocate(off, length int64) error {
	if off == 0 {
		return f.File.Preallocate(0, length+crypt.FileHeader)
	}
	return f.File.Preallocate(off+crypt.FileHeader, length)
}

// Prefetch asks for readahead. Pebble's own file returns a success as an error number of zero; it is none here.
func (f *file) Prefetch(off, length int64) error {
	err := f.File.Prefetch(off+crypt.FileHeader, length)
	if err == syscall.Errno(0) {
		return nil
	}
	return err
}

func (f *file) Sync() error {
	if err := f.fs.beforeSync(); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *file) SyncData() error {
	if err := f.fs.beforeSync(); err != nil {
		return err
	}
	return f.File.SyncData()
}

// SyncTo gives the disk something to do early and promises nothing, so beforeSync does not run: nobody refers to a file
// that was not synced whole.
func (f *file) SyncTo(length int64) (fullSync bool, err error) {
	return f.File.SyncTo(length + crypt.FileHeader)
}
