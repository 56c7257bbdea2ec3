package meta

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta/journal"
	"github.com/hammockfs/hammock/fs/meta/tree"
	"github.com/hammockfs/hammock/room"
)

// Chunks stores and fetches sealed chunks: the cache. Put returns once the bytes are in their stripe's file by write(2).
type Chunks interface {
	Put(ctx context.Context, class uint8, plain []byte) (crypt.Ref, error)
	Get(ctx context.Context, r *crypt.Ref, dst []byte) ([]byte, error)
	CloseStripes(ctx context.Context, class uint8) ([]uint64, error)
}

// Encoder makes the record of a closed stripe: the IDs of its shards and where they are meant to go. It is idempotent.
type Encoder func(ctx context.Context, stripe uint64) (record []byte, err error)

// Classes of stripes.
const (
	ClassData  uint8 = 1
	ClassMeta  uint8 = 2 // leaves, deltas, values out of line
	ClassIndex uint8 = 3 // inner nodes, the stripe table
)

// Config is what a DB needs. FS, Dir, AtRest, NameKey, Device, Volume and Epoch are required.
type Config struct {
	FS          vfs.FS
	Dir         string
	AtRest      crypt.Key
	NameKey     crypt.Key
	Device      *crypt.Device
	Certificate crypt.Certificate // its writer epoch goes into heads
	Volume      crypt.ID
	Epoch       crypt.Epoch   // seals new heads
	Epochs      []crypt.Epoch // older ones, which open heads of before
	Policy      string        // name of the placement policy, for whoever recovers

	// Chunks and Encode may come later: see Attach.
	Chunks Chunks
	Encode Encoder
	// SyncStripes makes every stripe byte written so far survive a power cut. It runs before anything that cites stripes
	// is synced. Nil: nothing to do.
	SyncStripes func(ctx context.Context) error
	// ValidRef says whether the sealed bytes of r are here and open. It is asked in replay about extents whose stripe may
	// have been torn by a power cut. An error ends Open: what cannot be looked at is not torn. Nil: all are believed.
	ValidRef func(r *crypt.Ref) (bool, error)

	Memory  int64 // budget in bytes for Pebble's cache and memtables and for tree nodes; 0: 64 MiB
	Journal int64 // bytes of journal kept before the overlay is flushed; 0: 64 MiB
	Files   int   // open files of the overlay; 0: 500
	// Reserve is how many bytes of its disk a ballast holds for what must be recorded when others have filled it; 0: none.
	Reserve int64
	Log     *slog.Logger
	Now     func() time.Time

	diskPause time.Duration // shorter in tests
}

// DB is the metadata of one volume. All methods but Attach, Ready and Close may be called at any time by anybody.
//
// Order of locks: checkpoint, commit, generation.mu; the others are leaves.
type DB struct {
	cfg     Config
	log     *slog.Logger
	pebble  *pebble.DB
	pcache  *pebble.Cache
	lock    *pebble.Lock // of the overlay's folder
	journal *journal.Journal
	tagger  *crypt.Tagger
	names   *tree.Store
	table   *tree.Store
	tnodes  *tableNodes
	chunks  Chunks
	encode  Encoder
	values  sync.Pool
	filter  filter

	levels  atomic.Pointer[levels]
	applied atomic.Uint64 // newest journal record that is visible
	dirty   atomic.Int32  // clean, cleanEnough or dirty
	disk    *disk
	ballast *room.Ballast
	closed  atomic.Bool

	// commit makes journal order the order of visibility. It guards app, held and changed.
	commit  sync.Mutex
	app     application
	held    held
	changed *changes

	// checkpoint is held for the whole of a checkpoint. It guards pub and folded.
	checkpoint sync.Mutex
	pub        published
	folded     time.Time

	headMu  sync.Mutex
	newest  []byte // the newest head, maybe not synced
	head    []byte // the newest synced head
	counter uint64
	deltas  int

	session     uint32
	settled     bool // guarded by commit: see settle
	inoCount    atomic.Uint64
	stripeCount atomic.Uint64
	known       known
	stripeMu    sync.Mutex
	metaStripes map[uint64]struct{} // stripes of checkpoints: those of this run, and of before if they were not placed
	newMeta     []uint64            // those of them that are not noted in the journal yet
	touched     map[uint64]struct{} // those of the checkpoint that runs
	unplaced    map[uint64]struct{} // numbers given out in this run, of data stripes not placed yet

	storeMu  sync.Mutex
	stores   []StoreEntry
	sessions []uint32 // ascending

	torn []tornWindow

	cites      atomic.Uint64 // counts what may cite stripes
	backed     atomic.Uint64 // the value of cites up to which they are synced
	inMemory   atomic.Int64  // bytes of batches applied that no finished flush took
	flushMu    sync.Mutex    // guards the next two
	flushing   <-chan struct{}
	flushBytes int64 // inMemory when it began

	kicks       chan struct{}
	flushed     sync.Cond // its lock guards flushErr
	flushErr    error     // of the last flush
	stopFlusher context.CancelFunc
	flusherDone chan struct{}
}

// Attach gives the DB its chunks and encoder, before its first use.
func (d *DB) Attach(c Chunks, e Encoder) { d.chunks, d.encode = c, e }

// Close flushes what is in memory and closes the files. It makes no checkpoint. Nothing else may be running.
func (d *DB) Close(ctx context.Context) error {
	if d.closed.Swap(true) {
		return ErrClosed
	}
	d.stopFlusher()
	<-d.flusherDone
	err := d.flush(context.WithoutCancel(ctx))
	return errors.Join(err, d.closeFiles())
}

func (d *DB) closeFiles() error {
	close(d.disk.stop)
	var err error
	for _, c := range []func() error{d.journal.Close, d.closePebble, d.lock.Close} {
		err = errors.Join(err, c())
	}
	d.pcache.Unref()
	return err
}

// closePebble leaves Pebble as it is if a goroutine of it was stopped for good: it would be waited for.
func (d *DB) closePebble() error {
	done := make(chan error, 1)
	go func() { done <- d.pebble.Close() }()
	select {
	case err := <-done:
		return err
	case <-d.disk.parked:
		return errors.Join(d.disk.failed(), d.lock.Close()) // its share of the lock
	}
}

// Stats are figures for status and logs.
type Stats struct {
	Generation   uint64
	Counter      uint64 // of the newest head
	Changed      int    // records changed since the last checkpoint, 0 if not Dirty; -1 when not known one by one
	Deltas       int
	JournalBytes int64  // not yet released
	Entries      uint64 // in the namespace tree
	Session      uint32
}

// Stats returns figures. It does not wait for a checkpoint that runs.
func (d *DB) Stats() Stats {
	lv := d.levels.Load()
	s := Stats{Generation: lv.cur.num, Entries: lv.names.Entries, Session: d.session, JournalBytes: d.journal.Pending()}
	d.commit.Lock()
	switch s.Changed = d.changed.count(); {
	case !d.Dirty():
		s.Changed = 0
	case d.changed.lost:
		s.Changed = -1
	}
	d.commit.Unlock()
	d.headMu.Lock()
	s.Counter, s.Deltas = d.counter, d.deltas
	d.headMu.Unlock()
	return s
}

// Dirty says whether names, files or data stripes changed since the last checkpoint. Records of stripes that checkpoints
// made do not count: publishing those would make new ones without end.
func (d *DB) Dirty() bool { return d.dirty.Load() == dirty }
