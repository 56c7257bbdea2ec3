package model

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/chunker"
	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/cache"
	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/volume"
)

// numbers lets the cache be opened before the metadata that number its stripes.
type numbers struct{ db *meta.DB }

func (n *numbers) NextStripe() (uint64, error) { return n.db.NextStripe() }
func (n *numbers) FindChunk(id crypt.ID) (crypt.Ref, bool) {
	return n.db.FindChunk(id)
}
func (n *numbers) AddChunk(id crypt.ID, r *crypt.Ref) error { return n.db.AddChunk(id, r) }

// host is a volume with its parts, on a file system that outlives them.
type host struct {
	fs    vfs.FS // a crashable memory file system unless it is the disk
	dir   string
	keys  [3]crypt.Key
	dev   *crypt.Device
	cache *cache.Cache
	db    *meta.DB
	v     *volume.Volume
}

func newHost(fs vfs.FS, dir string) *host {
	return &host{fs: fs, dir: dir, keys: [3]crypt.Key{crypt.NewKey(), crypt.NewKey(), crypt.NewKey()}, dev: crypt.NewDevice()}
}

func (h *host) open() error {
	nums := &numbers{}
	c, err := cache.Open(cache.Config{
		FS: h.fs, Dir: h.fs.PathJoin(h.dir, "cache"), Sealer: crypt.NewSealer(h.keys[0], crypt.SuiteAES), Numbers: nums, Index: nums,
		Limit: 8 << 30, Memory: 4 << 20, Target: func(uint8) int { return 1 << 20 },
	})
	if err != nil {
		return err
	}
	h.cache = c
	h.db, err = meta.Open(ctx, meta.Config{
		FS: h.fs, Dir: h.fs.PathJoin(h.dir, "meta"), AtRest: h.keys[1], NameKey: h.keys[2], Device: h.dev,
		Volume: crypt.Sum([]byte("volume")), Epoch: crypt.Epoch{Number: 1, Secret: h.keys[0]}, Chunks: c,
		Encode: func(context.Context, uint64) ([]byte, error) { return []byte{1}, nil }, Memory: 8 << 20, Journal: 4 << 20,
		SyncStripes: func(ctx context.Context) error { return c.Sync(ctx) }, ValidRef: c.Valid,
	})
	if err != nil {
		return errors.Join(err, c.Close(ctx))
	}
	nums.db = h.db
	table, err := chunker.NewTable([32]byte{1}, chunker.Default)
	if err != nil {
		return err
	}
	h.v, err = volume.Open(ctx, volume.Config{DB: h.db, Cache: c, Table: table, Dirty: 16 << 20, Inodes: 8, Age: time.Hour})
	return err
}

func (h *host) close() error {
	return errors.Join(h.v.Close(ctx), h.db.Close(ctx), h.cache.Close(ctx))
}

// kill goes on with what the file system would hold if the process had died at
// this moment.
func (h *host) kill(t tb, seed uint64) {
	fs := h.fs.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(seed, 1))})
	must(t, h.close()) // so that its goroutines end; its files are not looked at any more
	h.fs = fs
	must(t, h.open())
}

func (h *host) checkpoint(t tb, fold bool) {
	must(t, h.v.WriteBack(ctx, 0))
	_, _, err := h.db.Checkpoint(ctx, meta.CheckpointOptions{Fold: fold})
	must(t, err)
}
