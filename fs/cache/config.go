package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/crypt"
)

// The classes of stripes. They never mix in one stripe.
const (
	ClassData     uint8 = 1 // contents of files
	ClassMetadata uint8 = 2 // leaves of trees, deltas
	ClassIndex    uint8 = 3 // tree nodes above the leaves, the stripe table
	classes             = 4
)

// SharedMin is the length in bytes from which on a chunk of file data is sealed
// for the shared domain, where there is one. Shorter chunks are always private.
const SharedMin = 256 << 10

// The ages at which Tick closes an open data stripe, counted from its first
// append: early when it holds enough to be worth placing, late otherwise.
const (
	closeAge      = 30 * time.Second
	closeAgeSmall = 10 * time.Minute
	closeSmall    = 1 << 20
)

var (
	// ErrFull says that the limit of the cache, or the disk, is reached and that
	// nothing can be evicted since all of it is only here (ENOSPC).
	ErrFull = errors.New("cache is full of data that is only on this machine")
	// ErrRot says that sealed bytes do not open and that no store had better ones.
	ErrRot = errors.New("stored bytes are damaged and no good copy was found")
	// ErrUnreachable says that bytes are not here and could not be fetched now.
	ErrUnreachable = errors.New("data is not on this machine and could not be fetched")
	// ErrNotHere says that a stripe is not on this machine, or not wholly, or not
	// closed yet.
	ErrNotHere = errors.New("stripe is not complete on this machine")
	// ErrRef says that a ref is malformed, or that a read lies outside its chunk.
	ErrRef = errors.New("malformed chunk reference")
	// ErrClosed says that the cache has been closed.
	ErrClosed = errors.New("cache is closed")
)

// Numbers gives out stripe numbers, none twice.
type Numbers interface {
	NextStripe() (uint64, error)
}

// Index is the local dedup index, from the hash of a chunk's key to where the
// chunk is. It may forget; it must not invent.
type Index interface {
	FindChunk(id crypt.ID) (crypt.Ref, bool)
	AddChunk(id crypt.ID, r *crypt.Ref) error
}

// Remote fetches n bytes at offset off of a stripe's payload from the stores
// and appends them to dst. It checks them against the stripe's record.
type Remote interface {
	Fetch(ctx context.Context, stripe uint64, off, n int, dst []byte) ([]byte, error)
}

// Config says what a cache works with. FS, Dir, Sealer, Numbers, Limit and
// Target are required.
type Config struct {
	FS  vfs.FS
	Dir string // folder of its own; made when missing

	Sealer *crypt.Sealer // the private domain
	// Shared seals long chunks of file data when not nil. Such a chunk stands
	// alone in a stripe of SharedSize bytes (given its sealed length; at least
	// that), filled up by SharedPad from the chunk's key.
	Shared     *crypt.Sealer
	SharedSize func(sealed int) int
	SharedPad  func(dst []byte, k *crypt.Key)

	Numbers Numbers
	Index   Index  // nil: no dedup
	Remote  Remote // nil: what is not here is unreachable

	// Known says whether a stripe that is not here may be cited by a new ref
	// because it is placed on stores. nil: none is.
	Known func(stripe uint64) bool
	// Describe gives class and payload length of a stripe that is placed on
	// stores; zeros when not known. With it, fetches are widened to whole groups of
	// 16 KiB (so that a partial file shows no chunk boundaries), grow while a
	// stripe is read on, and take small stripes of metadata whole.
	// nil: nothing is known.
	Describe func(stripe uint64) (class uint8, payload int)

	// Lossy says that some part of a stripe can only be computed from as many bytes
	// as all of it has. It may wait. nil: none is.
	Lossy func(ctx context.Context, stripe uint64) bool

	Limit    int64 // sealed bytes on disk
	Memory   int64 // opened blocks, bytes; at least 1 MiB is used
	KeepFree int64 // bytes of the disk that are left free: nothing new is taken below that; 0: none
	Reserve  int64 // bytes of the disk that a ballast holds for what has been taken; 0: none
	Files    int   // open files; 0: 256

	Target   func(class uint8) int            // payload bytes at which a stripe is closed
	OnClosed func(stripe uint64, class uint8) // called once for each, outside of locks; may be nil

	Log *slog.Logger
	Now func() time.Time
}

// fill puts in defaults and reports what is missing.
func (cfg *Config) fill() error {
	if cfg.FS == nil || cfg.Dir == "" || cfg.Sealer == nil || cfg.Numbers == nil || cfg.Target == nil {
		return errors.New("cache: FS, Dir, Sealer, Numbers and Target are required")
	}
	if cfg.Limit <= 0 {
		return fmt.Errorf("cache: limit of %d bytes", cfg.Limit)
	}
	if cfg.Shared != nil && (cfg.SharedSize == nil || cfg.SharedPad == nil) {
		return errors.New("cache: a shared domain needs SharedSize and SharedPad")
	}
	cfg.Memory = max(cfg.Memory, 1<<20)
	if cfg.Files <= 0 {
		cfg.Files = 256
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return nil
}
