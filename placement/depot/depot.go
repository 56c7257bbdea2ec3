// Package depot keeps what a node keeps for others: shards, and the heads of volumes.
//
// # Model
//
// The bytes of shards lie in segments, files of up to 256 MiB that are only appended to, each shard in a record with its
// Bao outboard behind it (FORMAT.md). A Pebble database, the index, knows for each shard where it lies and who holds it.
// An owner holds a shard by a claim: (owner, shard, stripe), with a generation that counts his puts. Two owners who put
// equal bytes have a claim each on one record, and each is charged for all of it.
//
// A put goes through a [Reservation]: space is taken from the owner's allowance, from the depot's capacity and from the
// disk before the first byte comes; the bytes are checked against the ID, appended, synced together with those of other
// puts, entered in the index, and only then is the answer yes. [Depot.Delete] moves a claim to the trash, where it rests
// for seven days; a put of the same takes it out again. When the last claim on a shard is gone, its record is dead;
// segments less than half of which is alive are rewritten in the background and removed.
//
// # Crashes
//
// The index is the truth, but for puts of late. A put syncs the segment and not the index: its record says all that it
// does. The index has a [mark] up to which it knows all records, and a start enters what lies behind it (tail.go). What
// a record does not say is synced: a deletion, a put to a claim that is known, a put after claims were forgotten of
// which a power cut might bring some back. Before claims are forgotten the mark passes their records, so that these never
// come back. The index is synced after the segments that it points to, and a segment is removed only after the index that
// no longer points to it has been synced. So at a start every entry has its bytes, and what lies behind the last record
// of a segment is torn. Should the index be lost, it is rebuilt from the segments (but not the heads, which their owners
// send again).
//
// # Traps
//
// There is no oracle: a put carries all bytes and writes them out again even where an equal shard of another is there, and
// [ErrNotFound] is found without a look at what others hold. Only a put of what its owner holds for the same stripe
// writes nothing, if what lies there is still right; if it has rotted, the put makes it right. So every record but those
// was paid for by a claim, and nobody fills the segments with dead ones. Free space is what the claims leave, not what
// lies on the disk.
//
// A delete ends the puts of the same claim that are under way, and waits for those that are being stored: a put whose
// sender has given up cannot come to an end after the delete and be kept for nobody.
//
// Trash counts against the owner's allowance and the capacity until it is reaped; else a put and a delete in turn would
// fill the disk.
//
// The index is not encrypted: IDs, owners and numbers lie open on this machine's disk.
package depot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/room"
	"golang.org/x/sync/semaphore"
)

const (
	// TrashTime is how long a deleted shard can be had back.
	TrashTime = 7 * 24 * time.Hour
	// IdleTime is how long a reservation lives without a byte coming.
	IdleTime = 30 * time.Second
	// defaultMemory is what the bytes of reservations may take, unless Config says otherwise.
	defaultMemory = 64 << 20
	// maxSegment is how long a segment gets where the depot is large.
	maxSegment = 256 << 20
	// maxTail is how many bytes of segments a start reads at most, or little more, for what the index does not know.
	maxTail = 64 << 20
	// tidyEvery is how often the trash is looked through.
	tidyEvery = 10 * time.Minute
)

// Config says what a depot is made of. FS, Dir and Capacity are needed.
type Config struct {
	FS       vfs.FS
	Dir      string // made if need be; the depot's alone
	Capacity int64  // bytes that all claims together may take, records and proofs included
	Log      *slog.Logger
	Now      func() time.Time // wall clock, for the trash and for certificates
	// Memory bounds the bytes of reservations that are being filled; further ones wait. At least MaxShard; 0: 64 MiB.
	Memory int64
	// KeepFree is left free on the disk; 0: a fiftieth of it, at most 1 GiB.
	KeepFree int64
	// Reserve is how many bytes of the disk a ballast holds for the index, should others fill the disk; 0: none.
	Reserve int64
	// Files is how many files of the index are kept open; 0: 500.
	Files int
	// SegmentSize is when a new segment is begun; 0: a 64th of Capacity, within 1 MiB and 256 MiB.
	SegmentSize int64

	manual bool // no background work, for tests
}

// Depot keeps shards and heads. All its methods are safe for concurrent use.
type Depot struct {
	cfg      Config
	log      *slog.Logger
	index    *index
	segments *segments
	ballast  *room.Ballast
	memory   *semaphore.Weighted
	buffers  sync.Pool

	ids   [256]sync.Mutex // by first byte of a shard: held from reading its entry to having committed a new one
	heads sync.Mutex      // the same for heads
	tidy  sync.Mutex      // one reaping or compaction at a time; taken before ids

	marking sync.RWMutex // held while a mark is found and committed, alone by what must not be undone by another
	loose   atomic.Bool  // claims were forgotten, and a power cut may bring them back
	tail    atomic.Int64 // about how many bytes of records have been appended since the index was synced

	mu     sync.Mutex // guards ledger and open; only segments.mu is taken after it
	ledger ledger
	open   map[*Reservation]struct{}
	turns  turns

	broken atomic.Bool // the index could not be written
	closed atomic.Bool
	kick   chan struct{}
	stop   context.CancelFunc
	done   sync.WaitGroup
}

// Open opens the depot of a folder, or makes it. Two daemons never open one: the second gets an error. What a crash
// left half done is put in order first.
func Open(cfg Config) (*Depot, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &Depot{
		cfg:    cfg,
		log:    cfg.Log,
		memory: semaphore.NewWeighted(cfg.Memory),
		ledger: newLedger(),
		open:   map[*Reservation]struct{}{},
		kick:   make(chan struct{}, 1),
		stop:   cancel,

		ballast: room.NewBallast(cfg.FS, cfg.Dir, "ballast", cfg.Reserve),
	}
	if err := d.start(ctx); err != nil {
		cancel()
		return nil, fmt.Errorf("open depot %s: %w", cfg.Dir, err)
	}
	if !cfg.manual {
		d.done.Go(func() { d.background(ctx) })
		d.wake()
	}
	return d, nil
}

func (c *Config) defaults() error {
	if c.FS == nil || c.Dir == "" || c.Capacity <= 0 {
		return errors.New("open depot: no file system, folder or capacity given")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Memory == 0 {
		c.Memory = defaultMemory
	}
	c.Memory = max(c.Memory, maxRecord)
	if c.Files == 0 {
		c.Files = 500
	}
	if c.SegmentSize == 0 {
		c.SegmentSize = min(max(c.Capacity/64, 1<<20), maxSegment)
	}
	return nil
}

// background reaps and compacts until ctx ends.
func (d *Depot) background(ctx context.Context) {
	t := time.NewTicker(tidyEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-d.kick:
		}
		if err := d.Tidy(ctx); err != nil && ctx.Err() == nil {
			d.log.Error("tidy the depot", "err", err)
		}
	}
}

// wake makes the background work look for something to do.
func (d *Depot) wake() {
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

// Close ends open reservations and background work and closes the files. Calls that are under way must have ended, and
// none may follow, but for a Close, which does nothing.
func (d *Depot) Close() error {
	if d.closed.Swap(true) {
		return nil
	}
	d.stop()
	d.done.Wait()
	d.mu.Lock()
	var left []*Reservation
	for r := range d.open {
		left = append(left, r)
	}
	d.mu.Unlock()
	for _, r := range left {
		r.Abort()
	}
	return errors.Join(d.index.close(), d.segments.close())
}

// alive refuses work after the index could not be written.
func (d *Depot) alive() error {
	if d.broken.Load() || d.index.guard.failed() != nil {
		return fmt.Errorf("%w: its index could not be written; it needs a restart", ErrClosed)
	}
	return nil
}

// commit applies a batch to the index.
func (d *Depot) commit(b batch, sync bool) error {
	err := d.alive()
	if err == nil {
		err = d.writable()
	}
	if err != nil {
		_ = b.Close()
		return err
	}
	err = d.index.commit(b, sync)
	if err != nil {
		d.broken.Store(true)
		d.log.Error("the depot's index could not be written, no more is taken", "err", err)
	}
	return err
}

// sync makes all commits so far survive a power cut.
func (d *Depot) sync() error {
	b := d.index.batch()
	_ = b.LogData(nil, nil)
	return d.commit(b, true)
}

// lock takes the lock of a shard's entry and returns what gives it back.
func (d *Depot) lock(id crypt.ID) (unlock func()) {
	m := &d.ids[id[0]]
	m.Lock()
	return m.Unlock
}
