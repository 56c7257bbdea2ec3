package journal

import (
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hammockfs/hammock/crypt"
)

// hookFS calls its hooks around what the journal does to files.
type hookFS struct {
	vfs.FS
	mu     sync.Mutex
	sync   func(vfs.File) error                       // in place of every sync, of files and folders
	write  func(vfs.File, []byte, int64) (int, error) // before every write; an error is its outcome
	synced int                                        // how many
	full   error                                      // what Create returns
}

type hookFile struct {
	vfs.File
	fs *hookFS
}

func (h *hookFS) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &hookFile{f, h}, nil
}

func (h *hookFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	h.mu.Lock()
	full := h.full
	h.mu.Unlock()
	if full != nil {
		return nil, full
	}
	return h.wrap(h.FS.Create(name, c))
}

func (h *hookFS) setFull(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.full = err
}

func (h *hookFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return h.wrap(h.FS.OpenReadWrite(name, c, o...))
}

func (h *hookFS) OpenDir(name string) (vfs.File, error) { return h.wrap(h.FS.OpenDir(name)) }

func (h *hookFS) setSync(f func(vfs.File) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sync = f
}

func (f *hookFile) Sync() error {
	f.fs.mu.Lock()
	hook := f.fs.sync
	f.fs.synced++
	f.fs.mu.Unlock()
	if hook != nil {
		return hook(f.File)
	}
	return f.File.Sync()
}

func (f *hookFile) SyncData() error { return f.Sync() }

func (f *hookFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	hook := f.fs.write
	f.fs.mu.Unlock()
	if hook != nil {
		if n, err := hook(f.File, p, off); err != nil {
			return n, err
		}
	}
	return f.File.WriteAt(p, off)
}

var testKey = crypt.Key{1, 2, 3}

func config(fs vfs.FS) Config {
	return Config{FS: fs, Dir: "journal", Key: testKey, SegmentSize: 16 << 10}
}

// reopen opens the journal and returns what it replays. It fails if LSNs are not those that follow after.
func reopen(t fatal, cfg Config, after LSN) (*Journal, []string) {
	var got []string
	j, err := Open(cfg, after, func(lsn LSN, rec []byte) error {
		if lsn != after+LSN(len(got))+1 {
			t.Fatalf("record %d is replayed after %d", lsn, after+LSN(len(got)))
		}
		got = append(got, string(rec))
		return nil
	})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	if want := after + LSN(len(got)); j.Last() != want {
		t.Fatalf("last is %d after the replay up to %d", j.Last(), want)
	}
	return j, got
}

type fatal interface {
	Helper()
	Fatalf(string, ...any)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
