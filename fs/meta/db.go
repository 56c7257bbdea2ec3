package meta

import (
	"context"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/crypt"
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
	// have been torn by a power cut. Nil: all are believed.
	ValidRef func(r *crypt.Ref) bool

	Memory  int64 // budget in bytes for Pebble's cache and memtables and for tree nodes; 0: 64 MiB
	Journal int64 // bytes of journal kept before the overlay is flushed; 0: 64 MiB
	Log     *slog.Logger
	Now     func() time.Time
}
