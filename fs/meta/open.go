package meta

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta/atrest"
	"github.com/hammockfs/hammock/fs/meta/journal"
	"github.com/hammockfs/hammock/fs/meta/tree"
	"github.com/hammockfs/hammock/room"
)

// Open opens the state in cfg.Dir, or begins an empty one. It replays the journal and reserves a session. The journal and
// the overlay are folders in cfg.Dir.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	d, err := open(ctx, cfg)
	if room.Full(err) && cfg.ballast().Drop() {
		d, err = open(ctx, cfg)
	}
	return d, err
}

func open(ctx context.Context, cfg Config) (*DB, error) {
	d, err := openFiles(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open metadata in %s: %w", cfg.Dir, err)
	}
	if err := d.begin(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open metadata in %s: %w", cfg.Dir, err), d.closeFiles())
	}
	return d, nil
}

func (c *Config) defaults() error {
	if c.FS == nil || c.Device == nil || c.Volume.IsZero() {
		return errors.New("file system, device and volume are needed")
	}
	if c.Memory <= 0 {
		c.Memory = 64 << 20
	}
	if c.Journal <= 0 {
		c.Journal = 64 << 20
	}
	if c.Files <= 0 {
		c.Files = 500
	}
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}

// openFiles opens Pebble and the journal and replays.
func openFiles(ctx context.Context, cfg Config) (*DB, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	d := &DB{
		cfg: cfg, log: cfg.Log, tagger: crypt.NewTagger(&cfg.AtRest), chunks: cfg.Chunks, encode: cfg.Encode,
		metaStripes: map[uint64]struct{}{}, unplaced: map[uint64]struct{}{},
		kicks: make(chan struct{}, 1), folded: cfg.Now(), ballast: cfg.ballast(),
	}
	d.disk = newDisk(cfg.diskPause, d.ballast)
	d.flushed.L = new(sync.Mutex)
	d.values.New = func() any { b := make([]byte, 0, 512); return &b }
	d.names = tree.New(&nameNodes{d}, cfg.Memory/4)
	d.tnodes = &tableNodes{d: d}
	d.table = tree.New(d.tnodes, cfg.Memory/16)
	d.changed = d.newChanges()
	d.held.begin(0, 0)
	d.cites.Store(1) // the first flush syncs what former runs left
	if err := d.openPebble(); err != nil {
		return nil, err
	}
	if err := d.recover(ctx); err != nil {
		close(d.disk.stop)
		err = errors.Join(err, d.closePebble(), d.lock.Close())
		d.pcache.Unref()
		return nil, err
	}
	return d, nil
}

// indexBlock is the size in bytes up to which the index of a table stays in one block: every level more is a read more for
// whoever looks for something, and what is looked for is mostly not there.
const indexBlock = 1 << 20

func (d *DB) openPebble() error {
	d.pcache = pebble.NewCache(d.cfg.Memory * 3 / 8)
	o := &pebble.Options{
		FS: overlayFS{atrest.New(d.cfg.FS, &d.cfg.AtRest, d.beforeSync), d.disk},
		// The journal is the log. What Pebble has not written to tables dies with the process and is replayed.
		DisableWAL:   true,
		Cache:        d.pcache,
		MemTableSize: uint64(d.memTable()),
		// Most pages are cut into chunks soon, and are then gone: to compact them early is to copy them in vain.
		L0CompactionThreshold: 12,
		// A commit that Pebble holds up would hold up everything, and without an end on a full disk: see room.
		MemTableStopWritesThreshold: 1000,
		L0StopWritesThreshold:       1000,
		FormatMajorVersion:          pebble.FormatNewest,
		Logger:                      pebbleLog{d},
		EventListener:               d.listener(),
		MaxOpenFiles:                d.cfg.Files,
	}
	o.Experimental.ReadSamplingMultiplier = -1 // or closing an iterator might wait for the manifest
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].IndexBlockSize = indexBlock
	}
	o.EnsureDefaults()
	dir := d.cfg.FS.PathJoin(d.cfg.Dir, "overlay")
	err := d.makeDir(dir)
	if err == nil {
		d.lock, err = pebble.LockDirectory(dir, d.cfg.FS)
	}
	if err == nil {
		if err = dropLogs(d.cfg.FS, dir); err != nil {
			err = errors.Join(err, d.lock.Close())
		}
	}
	if err == nil {
		o.Lock = d.lock
		if err = d.tryPebble(dir, o); err != nil {
			err = errors.Join(err, d.lock.Close())
		}
	}
	if err != nil {
		d.pcache.Unref()
		return fmt.Errorf("open overlay: %w", err)
	}
	d.disk.busy.Store(true)
	return nil
}

// makeDir makes the folder of the overlay and makes its name durable, and that of the folder around it.
func (d *DB) makeDir(dir string) error {
	fs := d.cfg.FS
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return errors.Join(syncDir(fs, d.cfg.Dir), syncDir(fs, fs.PathDir(d.cfg.Dir)))
}

// dropLogs removes Pebble's own logs. It makes them although they are turned off, and never syncs them: after a power cut
// one may be there with a header that is none, and could not be opened.
func dropLogs(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	for _, name := range names {
		if err == nil && strings.HasSuffix(name, ".log") {
			err = fs.Remove(fs.PathJoin(dir, name))
		}
	}
	return err
}

// tryPebble opens Pebble. Where the manifest cannot be written, Pebble's Open may wait without end for a flush that fails
// again and again. It is left alone then, with what it holds in memory; it changes nothing any more.
func (d *DB) tryPebble(dir string, o *pebble.Options) (err error) {
	done := make(chan error, 1)
	var db *pebble.DB
	go func() {
		var err error
		db, err = pebble.Open(dir, o)
		done <- err
	}()
	select {
	case err = <-done:
	case <-d.disk.broken:
		t := time.NewTimer(10 * d.disk.wait)
		defer t.Stop()
		select {
		case err = <-done:
		case <-t.C:
			d.disk.left.Store(true)
			return errors.Join(d.disk.failed(), d.lock.Close()) // its share of the lock
		}
	}
	if fault := d.disk.failed(); err == nil && fault != nil {
		err = errors.Join(fault, db.Close())
	}
	if err == nil {
		d.pebble = db
	}
	return err
}

// recover brings levels and marks back from Pebble, then replays the journal from where Pebble ends.
func (d *DB) recover(ctx context.Context) error {
	if err := d.checkVolume(); err != nil {
		return err
	}
	if err := d.loadLevels(ctx); err != nil {
		return err
	}
	after, err := d.durable()
	if err != nil {
		return err
	}
	if err := d.loadOwn(); err != nil {
		return err
	}
	d.applied.Store(uint64(after))
	r, err := newReplay(d)
	if err != nil {
		return err
	}
	d.journal, err = journal.Open(journal.Config{
		FS: d.cfg.FS, Dir: d.cfg.FS.PathJoin(d.cfg.Dir, "journal"), Key: d.cfg.AtRest,
		SegmentSize: min(max(d.cfg.Journal/4, 64<<10), journal.DefaultSegmentSize),
	}, after, r.record)
	return err
}

func (d *DB) checkVolume() error {
	v, err := d.local(localVolume)
	if err != nil {
		return err
	}
	if v != nil && !bytes.Equal(v, d.cfg.Volume[:]) {
		return errors.New("the state belongs to another volume")
	}
	return nil
}

// durable returns the newest journal record that Pebble holds.
func (d *DB) durable() (journal.LSN, error) {
	v, closer, err := d.pebble.Get([]byte{spaceLSN})
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer closer.Close()
	v, err = d.tagger.CheckValue([]byte{spaceLSN}, v)
	if err != nil || len(v) != 8 {
		return 0, fmt.Errorf("%w: position in the journal: %w", ErrFormat, err)
	}
	return journal.LSN(binary.BigEndian.Uint64(v)), nil
}

func (d *DB) loadLevels(ctx context.Context) error {
	lv := &levels{cur: newGeneration(1)}
	g, err := d.local(localGenerations)
	if err != nil {
		return err
	}
	if len(g) == 16 {
		lv.cur.num = binary.BigEndian.Uint64(g)
		if n := binary.BigEndian.Uint64(g[8:]); n != 0 {
			lv.frozen = newGeneration(n)
		}
	}
	for _, gen := range lv.overlays() {
		if err := d.loadMarks(ctx, gen); err != nil {
			return fmt.Errorf("read marks of generation %d: %w", gen.num, err)
		}
	}
	p, err := d.local(localPublished)
	if err != nil {
		return err
	}
	if p != nil {
		if d.pub, err = parsePublished(p); err != nil {
			return err
		}
		lv.names, lv.table, lv.pending = d.pub.Names.root(), d.pub.Table.root(), d.pub.Pending
	}
	if b, err := d.local(localDirty); err != nil {
		return err
	} else if len(b) == 1 {
		d.dirty.Store(int32(b[0]))
	}
	d.levels.Store(lv)
	return nil
}

// begin reads what this device keeps for itself, reserves a session and starts the flusher.
func (d *DB) begin(ctx context.Context) error {
	if err := d.loadLocals(); err != nil {
		return err
	}
	if err := d.openFilter(ctx); err != nil {
		return fmt.Errorf("read the dedup index: %w", err)
	}
	if err := d.reserveSession(ctx); err != nil {
		return err
	}
	fctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.stopFlusher, d.flusherDone = stop, make(chan struct{})
	go d.flusher(fctx)
	return nil
}

func (d *DB) loadLocals() error {
	d.changed = d.newChanges() // what replay did is partly older than the newest checkpoint
	if d.changed.level = d.dirty.Load(); d.changed.level != clean {
		d.changed.lose() // which records changed since it died with the process
	}
	p, err := d.local(localPublished)
	if err != nil {
		return err
	}
	if p != nil {
		if d.pub, err = parsePublished(p); err != nil {
			return err
		}
		if d.pub.Folded != 0 {
			d.folded = time.Unix(0, d.pub.Folded)
		}
	}
	d.deltas = len(d.pub.Deltas)
	for _, r := range d.pub.Records {
		record, err := d.latest(r.Stripe, r.Record)
		if err != nil {
			return err
		}
		d.known.put(r.Stripe, record)
	}
	if err := d.loadHead(); err != nil {
		return err
	}
	return errors.Join(d.loadStores(), d.loadSessions(), d.loadTorn())
}

func (d *DB) loadHead() error {
	b, err := d.local(localHead)
	if err != nil || b == nil {
		return err
	}
	h, err := crypt.ParseHead(b)
	if err != nil {
		return fmt.Errorf("the newest head: %w", err)
	}
	d.newest, d.counter = b, h.Counter
	if h.Device == d.cfg.Device.Key() {
		d.head = b
	}
	return nil
}
