package powercuts

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hammockfs/hammock/chunker"
	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/cache"
	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/volume"
	"github.com/hammockfs/hammock/integration/crashdisk"
	"github.com/hammockfs/hammock/placement"
	"github.com/hammockfs/hammock/placement/depot"
)

var ctx = context.Background()

const (
	peers    = 3 // with a policy of 2+1
	nodeDir  = "node"
	patience = 3 * time.Minute // for what must end, on however busy a machine
	never    = 100 * 365 * 24 * time.Hour
)

// house is what all lives of a node have in common: its keys. Nothing of it is on
// the disk.
type house struct {
	root    *crypt.Root
	genesis crypt.Genesis
	secrets *crypt.VolumeSecrets
	device  *crypt.Device
	cert    crypt.Certificate
	atRest  crypt.Key
	table   *chunker.Table
	clock   *clock
}

// clock is a time in which no two changes are at once.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Microsecond)
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newHouse() (*house, error) {
	phrase, err := crypt.NewPhrase()
	if err != nil {
		return nil, err
	}
	h := &house{secrets: crypt.NewVolumeSecrets(), clock: &clock{now: time.Unix(1_800_000_000, 0)}}
	if h.root, err = crypt.RootFromPhrase(phrase); err != nil {
		return nil, err
	}
	if h.genesis, err = h.root.NewGenesis(crypt.Genesis{Version: 1, Time: 1, Suite: crypt.SuiteAES}); err != nil {
		return nil, err
	}
	if h.table, err = chunker.NewTable(h.secrets.GearSeed(), chunker.Default); err != nil {
		return nil, err
	}
	return h, h.newDevice(1)
}

// newDevice makes the house that of a device with an empty disk.
func (h *house) newDevice(epoch uint64) (err error) {
	h.device, h.atRest = crypt.NewDevice(), crypt.NewKey()
	h.cert, err = h.root.Certify(crypt.Certificate{Device: h.device.Key(), Wrap: h.device.Wrap(), WriterEpoch: epoch,
		Rights: crypt.RightWrite, NotBefore: 1, NotAfter: 4_000_000_000})
	return err
}

// bundle is a head with what a recovery needs.
func (h *house) bundle(head []byte) (crypt.Bundle, error) {
	b := crypt.Bundle{Owner: h.root.Owner(), Head: head, Secrets: [][]byte{{1}}}
	var err error
	if b.Genesis, err = h.genesis.Marshal(); err != nil {
		return b, err
	}
	b.Certificate, err = h.cert.Marshal()
	return b, err
}

func (h *house) metaConfig(disk *crashdisk.Disk, c *cache.Cache) meta.Config {
	cfg := meta.Config{
		FS: disk, Dir: nodeDir + "/meta", AtRest: h.atRest, NameKey: h.secrets.NameKey(), Device: h.device, Certificate: h.cert,
		Volume: h.genesis.ID(), Epoch: h.secrets.Current(), Policy: "2+1", Memory: 8 << 20, Journal: 256 << 10, Now: h.clock.Now,
	}
	if c != nil {
		cfg.SyncStripes = func(ctx context.Context) error { return c.Sync(ctx) }
		cfg.ValidRef = c.Valid
	}
	return cfg
}

// running is a house with its lights on.
type running struct {
	*house
	disk   *crashdisk.Disk
	depots [peers]*depot.Depot
	cache  *cache.Cache
	db     *meta.DB
	volume *volume.Volume
	placer *placement.Placer
	ran    chan error // the end of placer.Run
}

func peerDir(i int) string { return fmt.Sprintf("peer%d", i) }

// open opens everything on a disk. restore, if not nil, is a head from which the
// empty node begins.
func (h *house) open(disk *crashdisk.Disk, restore []byte) (_ *running, err error) {
	r := &running{house: h, disk: disk}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	for i := range r.depots {
		if err := r.openDepot(i); err != nil {
			return nil, err
		}
	}
	if restore != nil {
		db, err := meta.Restore(ctx, h.metaConfig(disk, nil), restore)
		if err != nil {
			return nil, err
		}
		if err := db.Close(ctx); err != nil {
			return nil, err
		}
	}
	return r, r.openNode()
}

func (r *running) openDepot(i int) (err error) {
	r.depots[i], err = depot.Open(depot.Config{FS: r.disk, Dir: peerDir(i), Capacity: 256 << 20, SegmentSize: 256 << 10, Now: r.clock.Now})
	return err
}

func (r *running) openNode() (err error) {
	if err := r.makeFolder(); err != nil {
		return err
	}
	pad := r.secrets.PadKey()
	r.placer = placement.New(placement.Config{Policy: placement.Policy2x1, Stores: stores{r}, Payloads: payloads{r}, Journal: journal{r},
		Pad: func(dst []byte, stripe uint64) { crypt.Pad(dst, &pad, stripe) }, Memory: 32 << 20})
	r.cache, err = cache.Open(cache.Config{
		FS: r.disk, Dir: nodeDir + "/cache", Limit: 64 << 20, Memory: 4 << 20, Sealer: crypt.NewSealer(r.secrets.Current().ContentKey(), r.genesis.Suite),
		Numbers: numbers{r}, Index: index{r}, Remote: remote{r}, Known: r.placed, Describe: r.describe,
		Target: func(uint8) int { return 128 << 10 }, OnClosed: func(stripe uint64, class uint8) { r.placer.Enqueue(stripe, class) }, Now: r.clock.Now,
	})
	if err != nil {
		return err
	}
	if r.db, err = meta.Open(ctx, r.metaConfig(r.disk, r.cache)); err != nil {
		return err
	}
	r.db.Attach(r.cache, r.placer.Encode)
	for i := range peers {
		if _, err := r.db.AddStore(ctx, meta.StoreEntry{Kind: 1, Peer: peerDir(i), Machine: peerDir(i)}); err != nil {
			return err
		}
	}
	if err := r.db.Ready(ctx); err != nil {
		return err
	}
	if err := r.resume(); err != nil {
		return err
	}
	r.volume, err = volume.Open(ctx, volume.Config{DB: r.db, Cache: r.cache, Table: r.table, Age: never, Leaving: r.placer.Uploading, Now: r.clock.Now})
	if err != nil {
		return err
	}
	r.ran = make(chan error, 1)
	go func() { r.ran <- r.placer.Run(ctx) }()
	return nil
}

// makeFolder makes the folder of the node, as `hammock init` does.
func (r *running) makeFolder() error {
	if err := r.disk.MkdirAll(nodeDir, 0o700); err != nil {
		return err
	}
	top, err := r.disk.OpenDir("/")
	if err != nil {
		return err
	}
	return errors.Join(top.Sync(), top.Close())
}

// resume unpins what is placed and queues what is not.
func (r *running) resume() error {
	for _, s := range r.cache.Closed() {
		switch {
		case !s.Pinned:
		case r.placed(s.Number):
			r.cache.Unpin(s.Number)
		default:
			r.placer.Enqueue(s.Number, s.Class)
		}
	}
	unplaced, err := r.db.Unplaced(ctx)
	for _, stripe := range unplaced {
		class, _ := r.describe(stripe)
		r.placer.Enqueue(stripe, class)
	}
	return err
}

// close ends whatever was opened.
func (r *running) close() error {
	var errs []error
	if r.volume != nil {
		errs = append(errs, r.volume.Close(ctx))
	}
	if r.placer != nil {
		r.placer.Close()
	}
	if r.ran != nil {
		errs = append(errs, <-r.ran)
	}
	if r.db != nil {
		errs = append(errs, r.db.Close(ctx))
	}
	if r.cache != nil {
		errs = append(errs, r.cache.Close(ctx))
	}
	for _, d := range r.depots {
		if d != nil {
			errs = append(errs, d.Close())
		}
	}
	return errors.Join(errs...)
}

// sync returns when the loss of the node would lose nothing, as drive.sync does.
func (r *running) sync(fold bool) error { return r.syncWithin(patience, fold) }

func (r *running) syncWithin(limit time.Duration, fold bool) error {
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := r.volume.WriteBack(within, 0); err != nil {
		return err
	}
	if err := r.volume.Sync(within); err != nil {
		return err
	}
	if _, err := r.cache.CloseStripes(within, 0); err != nil {
		return err
	}
	if err := r.placer.Wait(within); err != nil {
		return err
	}
	head, _, err := r.db.Checkpoint(within, meta.CheckpointOptions{Fold: fold})
	if err != nil {
		return err
	}
	if err := r.placer.Wait(within); err != nil {
		return err
	}
	b, err := r.bundle(head)
	for _, d := range r.depots {
		err = errors.Join(err, d.PutHead(within, b))
	}
	return err
}

func must(t testing.TB, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}
