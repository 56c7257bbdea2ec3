// Package volume is the POSIX core of a mounted volume: inodes, directories,
// open files, and the way of their bytes into chunks. It knows neither FUSE nor
// a network: fs/mount calls it, and it calls fs/meta for what is recorded and
// fs/cache for what is sealed.
//
// The model. Every inode that is in use has one state in memory, found by its
// number (there is no tree of nodes, and the kernel's references are not
// counted: a state that is neither open nor dirty may be forgotten at any time
// and is read again from the records; that of a removed inode, which has none,
// stays until the kernel forgets it, for who still holds a descriptor). A file's bytes come from four layers,
// the upper hiding the lower:
//
//	dirty    runs of bytes that programs have written and nobody committed
//	sealing  runs that are being cut into chunks and sealed just now
//	pages    small data of at most 4 KiB each, kept in the journal and overlay
//	windows  extents: which part of which sealed chunk stands where; the rest are holes
//
// A long run is sealed while it is still being written, and so are pages here and there
// once most of what may wait in memory does (see scatter.go); what is left at close
// becomes pages if it is small and chunks if it is not (many pages of one window
// that were written here and there are not small, see slab.go), and one batch in the
// journal makes the whole file true at once. Pages move into chunks later, in
// WriteBack, which runs before each checkpoint; a small new file whose chunk exists
// needs none, and where very many come at once none are made (see whole.go).
//
// What is not in any layer is a hole, in units of a page (see seek.go). Erasing
// cuts extents at any byte and drops pages; copying a range cites the same chunks
// once more, through an excerpt that is taken under the lock of the one file and
// laid down under that of the other.
//
// The traps.
//
//   - Locks are taken in this order: Volume.tree (shared by whatever changes one
//     directory, exclusive for rename), the directory's inode, the child's inode,
//     Volume.mu. No operation locks two inodes otherwise; content.cached and
//     Volume.mu take no lock of an inode. Volume.mu is never held over I/O.
//   - A dirty inode is pinned, so that its state is not forgotten, by its place
//     in Volume.dirty. An inode has one state only: a new one is registered,
//     locked, before it is recorded.
//   - The order of the layers is the order of age. What cannot be sealed goes
//     back beneath what is dirty, and with it everything sealed after it.
//   - A page hides the extents under it. So whatever makes extents must deal
//     with the pages there (apply does), and a page that was recorded may be
//     deleted only when the chunks in its place are synced: a power cut may keep
//     the batch and tear the chunks (see recording).
//   - What is recorded lags behind memory. While bytes wait, other changes of
//     the inode are recorded with the size and blocks that were recorded with
//     the last bytes; flags that say what records exist change with those records.
//   - An edge of what is erased leaves its page what it was, hole or not: where no
//     byte is left of it, a page without content stays (eraseWindow, cutOff).
//   - A truncation has happened once the state in memory has changed; if it
//     cannot be recorded, the clip waits in the content, and no window or page
//     behind it is read from the records until then.
//   - Errors of a full cache belong to a write: nothing of a write that fails is
//     taken, and what waits in memory never exceeds what the cache could keep.
package volume

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hammockfs/hammock/chunker"
	"github.com/hammockfs/hammock/fs/cache"
	"github.com/hammockfs/hammock/fs/meta"
)

// Root is the inode number of the root directory.
const Root uint64 = 1

type contextKey string

// StoresUntil is the key of a context's value that says until when the caller
// waits for stores, a time.Time: who asks them gives up then. For anything else
// the context itself is the limit.
const StoresUntil contextKey = "stores until"

// Config says what a volume is made of. DB, Cache and Table are needed; the
// rest has defaults.
type Config struct {
	DB    *meta.DB
	Cache *cache.Cache
	Table *chunker.Table
	// Dirty is how many written bytes may wait in memory; 64 MiB if zero.
	Dirty int64
	// Small is how many bytes of new small files may wait for WriteBack as pages,
	// about; those beyond become chunks when they are closed. 512 KiB if zero, none
	// if negative.
	Small int64
	// Inodes is how many states of clean, closed inodes are remembered;
	// 65,536 if zero.
	Inodes int
	// Age is how long written bytes wait at most before they are committed
	// without being asked; 5 s if zero.
	Age time.Duration
	// Space gives the size and the free part of what the volume can hold, in
	// bytes, for Statfs; nil gives the limits of the cache.
	Space func() (total, free uint64)
	// Leaving says whether stripes are on their way to stores just now, so that a
	// full cache will have room; nil if none ever are. It is called often.
	Leaving func() bool
	Log     *slog.Logger
	Now     func() time.Time
}

// Volume is one mounted filesystem. All methods are safe for concurrent use.
type Volume struct {
	db    *meta.DB
	cache *cache.Cache
	table *chunker.Table
	cfg   Config
	log   *slog.Logger

	tree sync.RWMutex // see the package comment

	mu     sync.Mutex          // guards all below
	inodes map[uint64]*inode   // every state in memory
	idle   inodeList           // states with no pins
	ghosts inodeList           // likewise, of those that are gone
	dirty  map[uint64]*inode   // states with something to commit, pinned
	paged  map[uint64]paged    // inodes whose pages wait for WriteBack
	loads  map[uint64]*loading // states being read from the records
	small  int64               // bytes of the small files among paged

	names      names
	frozen     atomic.Bool
	dirtyBytes atomic.Int64
	written    atomic.Int64    // bytes that programs have written
	promised   atomic.Int64    // bytes of writes that have asked for room and are not in dirtyBytes yet
	sealers    chan struct{}   // one token for each chunk that may be sealed at a time
	scatters   chan struct{}   // likewise for each time that pages of here and there are
	maxChunk   int             // the largest chunk, in bytes
	background context.Context // ends with the volume, for work that no caller waits for
	stop       context.CancelFunc
	done       sync.WaitGroup
}

// Open makes a volume of its parts, creates the root directory in an empty one
// and removes files that were unlinked but open when the last run ended.
func Open(ctx context.Context, cfg Config) (*Volume, error) {
	setDefaults(&cfg)
	bg, stop := context.WithCancel(context.WithoutCancel(ctx))
	v := &Volume{
		db: cfg.DB, cache: cfg.Cache, table: cfg.Table, cfg: cfg, log: cfg.Log,
		inodes: map[uint64]*inode{}, dirty: map[uint64]*inode{}, paged: map[uint64]paged{},
		loads:      map[uint64]*loading{},
		sealers:    make(chan struct{}, runtime.GOMAXPROCS(0)),
		scatters:   make(chan struct{}, maxScatters),
		background: bg, stop: stop, maxChunk: cfg.Table.Params().Max,
	}
	if err := v.prepare(ctx); err != nil {
		stop()
		return nil, err
	}
	v.done.Add(1)
	go v.flusher(bg)
	return v, nil
}

func setDefaults(cfg *Config) {
	if cfg.Dirty == 0 {
		cfg.Dirty = 64 << 20
	}
	if cfg.Small == 0 {
		cfg.Small = smallWaiting
	}
	if cfg.Inodes == 0 {
		cfg.Inodes = 1 << 16
	}
	if cfg.Age == 0 {
		cfg.Age = 5 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
}

func (v *Volume) prepare(ctx context.Context) error {
	if _, err := v.db.Inode(ctx, Root); errors.Is(err, ErrNotExist) {
		if err := v.makeRoot(ctx); err != nil {
			return fmt.Errorf("make the root directory: %w", err)
		}
	} else if err != nil {
		return fmt.Errorf("read the root directory: %w", err)
	}
	orphans, err := v.db.Orphans(ctx)
	if err != nil {
		return fmt.Errorf("list files that were unlinked while open: %w", err)
	}
	for _, ino := range orphans {
		b := v.db.NewBatch()
		b.RemoveInode(ino)
		b.DeleteOrphan(ino)
		if err := v.db.Commit(ctx, b); err != nil {
			return fmt.Errorf("remove inode %d, unlinked while open: %w", ino, err)
		}
	}
	return nil
}

func (v *Volume) makeRoot(ctx context.Context) error {
	now := v.now()
	b := v.db.NewBatch()
	defer b.Recycle()
	v.names.begin(Root)
	b.PutInode(&meta.Inode{Ino: Root, Mode: modeDir | 0o755, Nlink: 2, Parent: Root,
		UID: uint32(max(0, os.Getuid())), GID: uint32(max(0, os.Getgid())), // whoever makes a volume may write into it
		Atime: now, Mtime: now, Ctime: now, Btime: now})
	return v.db.Commit(ctx, b)
}

// Close commits everything that is dirty and stops. The volume is not used
// after it.
func (v *Volume) Close(ctx context.Context) error {
	err := v.Sync(ctx)
	v.stop()
	v.done.Wait()
	return err
}

// Sync commits everything that is dirty and returns when it survives a power
// cut.
func (v *Volume) Sync(ctx context.Context) error {
	if err := v.commitAll(ctx, time.Time{}); err != nil {
		return err
	}
	return v.db.Sync(ctx)
}

func (v *Volume) now() int64 { return v.cfg.Now().UnixNano() }

// Written is how many bytes programs have written to the volume since it was
// opened. It costs nothing.
func (v *Volume) Written() int64 { return v.written.Load() }

// Statfs says how large the volume is and how much of it is free, in bytes.
type Statfs struct {
	Total, Free uint64
}

// Statfs returns the size of what the volume can hold and what of it is free.
func (v *Volume) Statfs(context.Context) Statfs {
	if v.cfg.Space != nil {
		total, free := v.cfg.Space()
		return Statfs{Total: total, Free: free}
	}
	u := v.cache.Usage()
	return Statfs{Total: uint64(u.Limit), Free: uint64(max(0, u.Limit-u.Bytes))}
}
