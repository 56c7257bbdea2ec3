package scale

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/chunker"
	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/cache"
	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/volume"
	"github.com/hammockfs/hammock/placement"
)

var ctx = context.Background()

// The budgets of cmd/hammock.
const (
	metaMemory  = 96 << 20
	blockMemory = 64 << 20
)

// keys are what a plant and its recovery have in common.
type keys struct {
	content, names crypt.Key
	volume         crypt.ID
}

// random is an ID of nothing.
func random() crypt.ID { return crypt.ID(crypt.NewKey()) }

// plant is a volume on the disk, and what has been counted of it.
type plant struct {
	keys
	atRest crypt.Key
	device *crypt.Device

	dir   string
	from  *plant // where it fetches what it does not have; nil: it has all
	cache *cache.Cache
	db    *meta.DB
	vol   *volume.Volume

	fetched atomic.Int64 // bytes of stripes that came from the plant before
	fetches atomic.Int64
	put     atomic.Int64 // bytes of metadata, before they are sealed
}

func newPlant(dir string) *plant {
	return &plant{keys: keys{crypt.NewKey(), crypt.NewKey(), random()}, atRest: crypt.NewKey(), device: crypt.NewDevice(), dir: dir}
}

// recovered is an empty plant that begins from the head of p.
func (p *plant) recovered(dir string) *plant {
	return &plant{keys: p.keys, atRest: crypt.NewKey(), device: crypt.NewDevice(), dir: dir, from: p}
}

func (p *plant) NextStripe() (uint64, error)              { return p.db.NextStripe() }
func (p *plant) FindChunk(id crypt.ID) (crypt.Ref, bool)  { return p.db.FindChunk(id) }
func (p *plant) AddChunk(id crypt.ID, r *crypt.Ref) error { return p.db.AddChunk(id, r) }
func (p *plant) CloseStripes(c context.Context, class uint8) ([]uint64, error) {
	return p.cache.CloseStripes(c, class)
}

// Put is cache.Cache.Put, counted.
func (p *plant) Put(c context.Context, class uint8, plain []byte) (crypt.Ref, error) {
	p.put.Add(int64(len(plain)))
	return p.cache.Put(c, class, plain)
}

func (p *plant) Get(c context.Context, r *crypt.Ref, dst []byte) ([]byte, error) {
	return p.cache.Get(c, r, dst)
}

// Fetch brings a piece of a stripe from the plant before.
func (p *plant) Fetch(c context.Context, stripe uint64, off, n int, dst []byte) ([]byte, error) {
	if _, err := p.db.Record(c, stripe); err != nil {
		return dst, fmt.Errorf("find out where stripe %x is: %w", stripe, err)
	}
	b, _, err := p.from.cache.Payload(c, stripe, nil)
	if err != nil {
		return dst, err
	}
	if off+n > len(b) {
		return dst, placement.ErrRange
	}
	p.fetches.Add(1)
	p.fetched.Add(int64(n))
	return append(dst, b[off:off+n]...), nil
}

// encode is what a placer of 4+2 records of a closed stripe.
func (p *plant) encode(c context.Context, stripe uint64) ([]byte, error) {
	b, class, err := p.cache.Payload(c, stripe, nil)
	if err != nil {
		return nil, err
	}
	return stripeRecord(stripe, class, len(b)), nil
}

func stripeRecord(stripe uint64, class uint8, payload int) []byte {
	r := placement.Record{Stripe: stripe, Class: class, Code: placement.Code{K: 4, M: 2}, ShardSize: uint32(placement.ShardSize(payload, 4)),
		Payload: uint32(payload), Live: uint32(payload), Birth: 1_800_000_000_000_000_000, Placed: true}
	for i := range 6 {
		r.Shards = append(r.Shards, placement.Shard{ID: random(), Store: uint32(i + 1), Held: true})
	}
	return r.Append(nil)
}

func (p *plant) describe(stripe uint64) (class uint8, payload int) {
	b, err := p.db.Record(ctx, stripe)
	if err != nil {
		return 0, 0
	}
	r, err := placement.ParseRecord(b)
	if err != nil {
		return 0, 0
	}
	return r.Class, int(r.Payload)
}

// open opens the plant on a file system; head, if not nil, is what it begins from.
func (p *plant) open(disk vfs.FS, head []byte) error {
	sealer := crypt.NewSealer(p.content, crypt.SuiteAES)
	cfg := cache.Config{FS: disk, Dir: filepath.Join(p.dir, "cache"), Sealer: sealer, Numbers: p, Index: p, Limit: 1 << 40, Memory: blockMemory,
		Describe: p.describe, Target: func(uint8) int { return 4 << 20 }}
	if p.from != nil {
		cfg.Remote = p
	}
	var err error
	if p.cache, err = cache.Open(cfg); err != nil {
		return err
	}
	if err := p.openRecords(disk, head); err != nil {
		return err
	}
	if err := p.db.Ready(ctx); err != nil {
		return err
	}
	table, err := chunker.NewTable([32]byte{1}, chunker.Default)
	if err != nil {
		return err
	}
	p.vol, err = volume.Open(ctx, volume.Config{DB: p.db, Cache: p.cache, Table: table, Age: time.Hour})
	return err
}

func (p *plant) openRecords(disk vfs.FS, head []byte) (err error) {
	cfg := meta.Config{FS: disk, Dir: filepath.Join(p.dir, "meta"), AtRest: p.atRest, NameKey: p.names, Device: p.device, Volume: p.volume,
		Epoch: crypt.Epoch{Number: 1, Secret: p.content}, Policy: "4+2", Certificate: crypt.Certificate{WriterEpoch: 1}, Memory: metaMemory,
		SyncStripes: func(c context.Context) error { return p.cache.Sync(c) }, ValidRef: p.cache.Valid}
	if head != nil {
		p.db, err = meta.Restore(ctx, cfg, head)
	} else {
		p.db, err = meta.Open(ctx, cfg)
	}
	if err == nil {
		p.db.Attach(p, p.encode)
	}
	return err
}

// close ends whatever was opened.
func (p *plant) close() error {
	var errs []error
	if p.vol != nil {
		errs = append(errs, p.vol.Close(ctx))
	}
	if p.db != nil {
		errs = append(errs, p.db.Close(ctx))
	}
	if p.cache != nil {
		errs = append(errs, p.cache.Close(ctx))
	}
	p.vol, p.db, p.cache = nil, nil, nil
	return errors.Join(errs...)
}

// publish makes a checkpoint, and gives the head and the bytes of metadata.
func (p *plant) publish(fold bool) (head []byte, put int64, err error) {
	before := p.put.Load()
	head, _, err = p.db.Checkpoint(ctx, meta.CheckpointOptions{Fold: fold})
	return head, p.put.Load() - before, err
}

func must(t testing.TB, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}
