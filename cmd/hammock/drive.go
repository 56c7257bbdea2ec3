package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/chunker"
	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/cache"
	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/volume"
	"github.com/hammockfs/hammock/placement"
)

// drive is the volume of a node, ready to be mounted: what is recorded, what is
// cached, what is placed, and the work that goes on behind the mount.
type drive struct {
	node   *node
	log    *slog.Logger
	stores *stores
	placer *placement.Placer
	cache  *cache.Cache
	db     *meta.DB
	volume *volume.Volume
	policy placement.Policy

	heads  publisher
	writes writeMeter

	checkpoints chan struct{} // holds a token while a checkpoint runs
	sending     chan struct{} // holds a token while a head is sent to its keepers
	whole       time.Time     // when the newest head was made that may go out; guarded by the token
	stop        context.CancelFunc
	done        sync.WaitGroup
	over        atomic.Bool  // a newer device has taken over; see successor.go
	fetched     atomic.Int64 // payload bytes that came from peers
	looked      atomic.Bool  // a sync of this run has looked for strays
	stored      atomic.Int64 // payload bytes that were on peers before this run; see space.go
}

// openDrive opens the volume of a node.
func openDrive(ctx context.Context, n *node) (*drive, error) {
	d, err := openRecords(ctx, n)
	if err != nil {
		return nil, err
	}
	if err := d.openVolume(ctx); err != nil {
		d.placer.Close()
		return nil, errors.Join(err, d.closeParts(ctx))
	}
	return d, nil
}

// openRecords opens all of a drive but the volume itself: nothing is put in order, uploaded or published.
func openRecords(ctx context.Context, n *node) (_ *drive, err error) {
	d := &drive{node: n, log: n.log, stores: newStores(n), checkpoints: make(chan struct{}, 1), sending: make(chan struct{}, 1)}
	if d.policy, err = placement.ParsePolicy(n.set.Policy); err != nil {
		return nil, err
	}
	distinct, err := placement.ParseDistinct(n.set.Distinct)
	if err != nil {
		return nil, err
	}
	pad := n.keys.VolumeSecrets().PadKey()
	cfg := placement.Config{Policy: d.policy, Distinct: distinct, Stores: d.stores, Payloads: payloads{d}, Journal: journal{d}, Records: records{d},
		Notes: notes{d}, Debts: debts{d}, Pad: func(dst []byte, stripe uint64) { crypt.Pad(dst, &pad, stripe) }, Memory: placeBudget, Log: n.log,
		Busy: d.writes.busy}
	if err := n.set.care(&cfg); err != nil {
		return nil, err
	}
	d.placer = placement.New(cfg)
	defer func() {
		if err != nil {
			d.closeParts(ctx)
		}
	}()
	if d.cache, err = cache.Open(d.cacheConfig()); err != nil {
		return nil, fmt.Errorf("open the cache: %w", err)
	}
	if err = n.state.takeRestored(); err != nil {
		return nil, err
	}
	if d.db, err = meta.Open(ctx, metaConfig(n, d.cache)); err != nil {
		return nil, fmt.Errorf("open the volume's records: %w", err)
	}
	d.stores.attach(d.db)
	d.db.Attach(d.cache, d.placer.Encode)
	if _, err = d.stores.discover(ctx); err != nil {
		return nil, err
	}
	if err = d.db.Ready(ctx); err != nil {
		return nil, fmt.Errorf("fetch the volume's newest changes: %w", err)
	}
	if err = d.resume(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *drive) openVolume(ctx context.Context) error {
	table, err := chunker.NewTable(d.gear())
	if err != nil {
		return fmt.Errorf("make the chunker's table: %w", err)
	}
	d.volume, err = volume.Open(ctx, volume.Config{DB: d.db, Cache: d.cache, Table: table, Dirty: d.node.state.dirty(), Space: d.space,
		Leaving: d.placer.Uploading, Log: d.log})
	if err != nil {
		return fmt.Errorf("open the volume: %w", err)
	}
	d.writes.attach(d.volume.Written)
	d.tend(ctx)
	bg, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.stop = stop
	d.done.Add(3)
	go func() { defer d.done.Done(); d.runPlacer(bg) }()
	go func() { defer d.done.Done(); d.countStored(bg) }()
	go func() { defer d.done.Done(); d.housekeeping(bg) }()
	return nil
}

func (d *drive) runPlacer(ctx context.Context) {
	if err := d.placer.Run(ctx); err != nil && ctx.Err() == nil {
		d.log.Error("uploading has stopped", "error", err)
	}
}

// gear is the seed and sizes of the chunker: the volume's own, or the shared
// domain's so that equal files have equal chunks.
func (d *drive) gear() ([32]byte, chunker.Params) {
	if d.node.keys.Domain.IsZero() {
		return d.node.keys.VolumeSecrets().GearSeed(), chunker.Default
	}
	return crypt.Domain{Secret: d.node.keys.Domain}.GearSeed(), chunker.Shared
}

func (d *drive) cacheConfig() cache.Config {
	n := d.node
	cfg := cache.Config{
		FS: vfs.Default, Dir: n.state.path("cache"), Limit: n.set.Cache, Memory: blockBudget, Files: shareOfFiles(8, 256),
		Sealer:  crypt.NewSealer(n.keys.VolumeSecrets().Current().ContentKey(), n.genesis.Suite),
		Numbers: numbers{d}, Index: index{d}, Remote: remote{d}, Known: d.placed, Describe: d.describe, Lossy: d.lossy,
		Target: d.target, OnClosed: func(stripe uint64, class uint8) { d.placer.Enqueue(stripe, class) }, Log: n.log,
	}
	cfg.KeepFree, cfg.Reserve = n.state.shares("cache")
	if !n.keys.Domain.IsZero() {
		cfg.Shared = crypt.NewSealer(crypt.Domain{Secret: n.keys.Domain}.ContentKey(), n.genesis.Suite)
		cfg.SharedSize = sharedSize
		cfg.SharedPad = func(dst []byte, k *crypt.Key) { crypt.PadShared(dst, k) }
	}
	return cfg
}

// sharedCode is the one code of stripes in a shared domain, so that equal
// chunks of two owners become equal shards.
var sharedCode = placement.Code{K: 4, M: 2}

func sharedSize(sealed int) int { return sharedCode.K * placement.ShardSize(sealed, sharedCode.K) }

// target is the payload at which a stripe is closed.
func (d *drive) target(class uint8) int {
	code, ok := d.policy.Code(class, max(len(d.stores.table()), d.policy.Needs()))
	if !ok {
		return 4 << 20
	}
	return code.Target()
}

func metaConfig(n *node, c *cache.Cache) meta.Config {
	s := n.keys.VolumeSecrets()
	cfg := meta.Config{
		FS: n.state.disk(), Dir: n.state.path(recordsDir), AtRest: n.keys.AtRest, NameKey: s.NameKey(), Device: n.device, Certificate: n.cert,
		Volume: n.genesis.ID(), Epoch: s.Current(), Epochs: s.Epochs, Policy: n.set.Policy, Memory: metaBudget, Journal: journalBudget, Files: shareOfFiles(4, 500), Log: n.log,
	}
	if c != nil {
		_, cfg.Reserve = n.state.shares(recordsDir)
		cfg.SyncStripes = func(ctx context.Context) error { return c.Sync(ctx) }
		cfg.ValidRef = c.Valid
	}
	return cfg
}

// resume unpins what is placed and queues what is not.
func (d *drive) resume(ctx context.Context) error {
	for _, s := range d.cache.Closed() {
		if !s.Pinned {
			continue
		}
		if d.placed(s.Number) {
			d.cache.Unpin(s.Number)
		} else {
			d.placer.Enqueue(s.Number, s.Class)
		}
	}
	unplaced, err := d.db.Unplaced(ctx)
	if err != nil {
		return fmt.Errorf("list stripes that are not on peers yet: %w", err)
	}
	for _, stripe := range unplaced {
		class, _ := d.describe(stripe)
		d.placer.Enqueue(stripe, class)
	}
	return nil
}

// record returns the decoded record of a stripe; false if there is none.
func (d *drive) record(ctx context.Context, stripe uint64) (placement.Record, bool, error) {
	b, err := d.db.Record(ctx, stripe)
	if errors.Is(err, meta.ErrNotExist) || err == nil && len(b) == 0 {
		return placement.Record{}, false, nil
	}
	if err != nil {
		return placement.Record{}, false, err
	}
	r, err := placement.ParseRecord(b)
	return r, err == nil, err
}

// placed says whether a stripe is safe on peers.
func (d *drive) placed(stripe uint64) bool {
	r, ok, err := d.record(context.Background(), stripe)
	return err == nil && ok && r.Placed
}

func (d *drive) describe(stripe uint64) (class uint8, payload int) {
	r, ok, err := d.record(context.Background(), stripe)
	if err != nil || !ok {
		return 0, 0
	}
	return r.Class, int(r.Payload)
}

func (d *drive) lossy(ctx context.Context, stripe uint64) bool {
	record, err := d.db.Record(ctx, stripe)
	return err == nil && d.placer.Lossy(record)
}

// housekeepingEvery is how often stripes are closed by age and new peers are
// looked at; checkpointEvery how often the data of files that have been quiet for
// quietFor moves into chunks, and changes are published if that helps.
const (
	housekeepingEvery = 5 * time.Second
	checkpointEvery   = 30 * time.Second
	quietFor          = 10 * time.Second
)

// housekeeping does what nobody asks for: it notices peers, closes old stripes,
// publishes changes.
func (d *drive) housekeeping(ctx context.Context) {
	tick := time.NewTicker(housekeepingEvery)
	defer tick.Stop()
	last := time.Now()
	heads := pace{helps: d.helpful, last: last}
	ask := map[string]time.Time{}
	for {
		watch := d.node.swarm.Watch()
		d.askKeepers(ctx, ask)
		if _, err := d.stores.discover(ctx); err != nil && ctx.Err() == nil {
			d.log.Error("note the swarm's stores", "error", err)
		}
		d.placer.Kick()
		select {
		case <-ctx.Done():
			return
		case <-watch:
			d.publishAgain(ctx)
			continue
		case <-tick.C:
		}
		d.tend(ctx)
		if _, fresh := d.advance(); fresh {
			d.publishAgain(ctx)
		}
		if time.Since(last) >= checkpointEvery {
			last = time.Now()
			due := heads.due(last)
			if err := d.checkpoint(ctx, due); err != nil && ctx.Err() == nil {
				heads.failed()
				d.log.Error("publish the newest changes; they are safe on this machine, and it will be tried again", "error", err)
			}
			d.publishAgain(ctx)
		}
	}
}

// close commits and closes everything. The node stays.
func (d *drive) close(ctx context.Context) error {
	var errs []error
	if d.volume != nil {
		errs = append(errs, d.volume.Close(ctx))
	}
	if d.stop != nil {
		d.stop()
	}
	d.placer.Close()
	d.done.Wait()
	errs = append(errs, d.closeParts(ctx))
	return errors.Join(errs...)
}

func (d *drive) closeParts(ctx context.Context) error {
	var errs []error
	if d.db != nil {
		errs = append(errs, d.db.Close(ctx))
	}
	if d.cache != nil {
		errs = append(errs, d.cache.Close(ctx))
	}
	return errors.Join(errs...)
}

// The cache, the records and the placer need one another; these stand between
// them. Each is used only once the drive is open.
type (
	numbers  struct{ *drive }
	index    struct{ *drive }
	remote   struct{ *drive }
	payloads struct{ *drive }
	journal  struct{ *drive }
	records  struct{ *drive }
	notes    struct{ *drive }
	debts    struct{ *drive }
)

// Records implements placement.Records.
func (r records) Records(ctx context.Context, after uint64, fn func(stripe uint64, record []byte) bool) error {
	return r.db.Records(ctx, after, fn)
}

// SaveStanding and Standings implement placement.Notes.
func (n notes) SaveStanding(ctx context.Context, store uint32, value []byte) error {
	return n.db.SaveStanding(ctx, store, value)
}

func (n notes) Standings(ctx context.Context) (map[uint32][]byte, error) { return n.db.Standings(ctx) }

// Owe, Paid and Debts implement placement.Debts.
func (d debts) Owe(ctx context.Context, list []placement.Debt) error {
	return d.db.Owe(ctx, metaDebts(list))
}

func (d debts) Paid(ctx context.Context, list []placement.Debt) error {
	return d.db.Paid(ctx, metaDebts(list))
}

func (d debts) Debts(ctx context.Context, after *placement.Debt, limit int) ([]placement.Debt, error) {
	list, err := d.db.Debts(ctx, (*meta.Debt)(after), limit)
	out := make([]placement.Debt, len(list))
	for i := range list {
		out[i] = placement.Debt(list[i])
	}
	return out, err
}

func metaDebts(list []placement.Debt) []meta.Debt {
	out := make([]meta.Debt, len(list))
	for i := range list {
		out[i] = meta.Debt(list[i])
	}
	return out
}

func (n numbers) NextStripe() (uint64, error) { return n.db.NextStripe() }

func (i index) FindChunk(id crypt.ID) (crypt.Ref, bool)  { return i.db.FindChunk(id) }
func (i index) AddChunk(id crypt.ID, r *crypt.Ref) error { return i.db.AddChunk(id, r) }

// Fetch gets payload bytes of a stripe from peers.
func (r remote) Fetch(ctx context.Context, stripe uint64, off, n int, dst []byte) ([]byte, error) {
	until := time.Now().Add(r.node.set.readTimeout())
	if asked, ok := ctx.Value(volume.StoresUntil).(time.Time); ok && asked.Before(until) {
		until = asked
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	record, err := r.db.Record(ctx, stripe)
	if err != nil {
		return dst, fmt.Errorf("find out where stripe %x is: %w", stripe, err)
	}
	before := len(dst)
	dst, err = r.placer.Fetch(ctx, stripe, record, off, n, dst)
	r.fetched.Add(int64(len(dst) - before))
	return dst, err
}

func (p payloads) Payload(ctx context.Context, stripe uint64, dst []byte) ([]byte, uint8, error) {
	b, class, err := p.cache.Payload(ctx, stripe, dst)
	if errors.Is(err, cache.ErrNotHere) {
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return b, class, err
}

// PayloadSize tells the placer how much memory a stripe will take.
func (p payloads) PayloadSize(stripe uint64) (bytes int, ok bool) { return p.cache.PayloadSize(stripe) }

func (j journal) Intend(ctx context.Context, stripe uint64, record []byte) error {
	return j.db.Intend(ctx, stripe, record)
}

func (j journal) Placed(ctx context.Context, stripe uint64, record []byte) error {
	if err := j.db.Placed(ctx, stripe, record); err != nil {
		return err
	}
	j.cache.Unpin(stripe)
	return nil
}

func (j journal) Record(ctx context.Context, stripe uint64) ([]byte, error) {
	b, err := j.db.Record(ctx, stripe)
	if errors.Is(err, meta.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return b, err
}
