package meta

import (
	"context"
	"errors"

	"github.com/hammockfs/hammock/crypt"
)

var errUnwritten = errors.New("not written yet")

type DB struct{ cfg Config }

// Open opens the state in cfg.Dir, or begins an empty one. It reserves a session of its own and replays the journal.
func Open(ctx context.Context, cfg Config) (*DB, error) { return nil, errUnwritten }

// Restore makes an empty state the volume of this head, and opens it. Nothing is fetched: after Attach, Ready fetches
// the deltas; until then reads say ErrNotReady.
func Restore(ctx context.Context, cfg Config, head []byte) (*DB, error) { return nil, errUnwritten }

// Attach gives the DB its chunks and encoder, before its first use.
func (d *DB) Attach(c Chunks, e Encoder) {}

// Ready finishes what Open or Restore could not do without chunks: it puts the deltas of a restored head into the overlay and
// heals windows that a power cut tore. Call it once after Attach; it returns at once if there is nothing to do.
func (d *DB) Ready(ctx context.Context) error { return errUnwritten }

// Close flushes what is in memory and closes the files. It makes no checkpoint.
func (d *DB) Close(ctx context.Context) error { return errUnwritten }

// Inode returns the record of an inode, or ErrNotExist.
func (d *DB) Inode(ctx context.Context, ino uint64) (Inode, error) { return Inode{}, errUnwritten }

// Lookup returns the entry of a name, or ErrNotExist.
func (d *DB) Lookup(ctx context.Context, dir uint64, name string) (Dirent, error) {
	return Dirent{}, errUnwritten
}

// ReadDir returns about n entries with cookies above after, in cookie order. Entries of one cookie are never split, so it
// may return a few more than n. None: the end.
func (d *DB) ReadDir(ctx context.Context, dir, after uint64, n int) ([]Dirent, error) {
	return nil, errUnwritten
}

// IsEmpty says whether a directory has no entries.
func (d *DB) IsEmpty(ctx context.Context, dir uint64) (bool, error) { return false, errUnwritten }

// Window returns the extents of [w*Window, (w+1)*Window), sorted; none for a hole.
func (d *DB) Window(ctx context.Context, ino, w uint64) ([]Extent, error) { return nil, errUnwritten }

// Pages returns the numbers of the pages that an inode has, ascending.
func (d *DB) Pages(ctx context.Context, ino uint64) ([]uint64, error) { return nil, errUnwritten }

// Page appends the bytes of a page to dst and says whether there is one.
func (d *DB) Page(ctx context.Context, ino, page uint64, dst []byte) ([]byte, bool, error) {
	return nil, false, errUnwritten
}

// Xattr returns an extended attribute's value, or ErrNoXattr.
func (d *DB) Xattr(ctx context.Context, ino uint64, name string) ([]byte, error) {
	return nil, errUnwritten
}

// Xattrs returns the names of an inode's extended attributes, sorted.
func (d *DB) Xattrs(ctx context.Context, ino uint64) ([]string, error) { return nil, errUnwritten }

// Orphans returns the inodes that had no name but were open somewhere.
func (d *DB) Orphans(ctx context.Context) ([]uint64, error) { return nil, errUnwritten }

// Record is one record of the merged view, decoded.
type Record struct {
	Ino     uint64
	Kind    Kind
	Inode   Inode
	Dirent  Dirent
	Number  uint64 // of a window or page
	Extents []Extent
	Name    string // of an xattr
	Data    []byte // of a page or xattr; valid during the call
}

// Walk calls fn for each record of the volume in key order: inode by inode.
func (d *DB) Walk(ctx context.Context, fn func(*Record) error) error { return errUnwritten }

// Inodes calls fn for each inode, in the order of their numbers.
func (d *DB) Inodes(ctx context.Context, fn func(Inode) error) error { return errUnwritten }

// Commit makes the batch visible, all of it or nothing. When it returns, the batch is in the journal's file and survives
// the end of the process; Sync makes it survive a power cut.
func (d *DB) Commit(ctx context.Context, b *Batch) error { return errUnwritten }

// Sync makes everything committed before it survive a power cut. It runs Config.SyncStripes first.
func (d *DB) Sync(ctx context.Context) error { return errUnwritten }

// NextIno returns an inode number that was never used.
func (d *DB) NextIno() uint64 { return 0 }

// NextStripe returns a stripe number that was never used.
func (d *DB) NextStripe() (uint64, error) { return 0, errUnwritten }

// FindChunk looks in the local dedup index.
func (d *DB) FindChunk(id crypt.ID) (crypt.Ref, bool) { return crypt.Ref{}, false }

// AddChunk adds to the local dedup index. It is forgotten if the process ends before it reaches a table.
func (d *DB) AddChunk(id crypt.ID, r *crypt.Ref) error { return errUnwritten }

// Record returns the record of a stripe, or ErrNotExist.
func (d *DB) Record(ctx context.Context, stripe uint64) ([]byte, error) { return nil, errUnwritten }

// Intend notes, synced, that shards of the stripe are about to be put where record says.
func (d *DB) Intend(ctx context.Context, stripe uint64, record []byte) error { return errUnwritten }

// Placed notes, synced, where the shards of the stripe are.
func (d *DB) Placed(ctx context.Context, stripe uint64, record []byte) error { return errUnwritten }

// Unplaced returns the stripes intended but not placed.
func (d *DB) Unplaced(ctx context.Context) ([]uint64, error) { return nil, errUnwritten }

// Stripes calls fn for each stripe that has a record, in the order of their numbers.
func (d *DB) Stripes(ctx context.Context, fn func(stripe uint64, record []byte) error) error {
	return errUnwritten
}

// StoreEntry is a place that takes shards, as the volume knows it. Number is given by AddStore and never changes.
type StoreEntry struct {
	Number  uint32         `cbor:"1,keyasint"`
	Kind    uint8          `cbor:"2,keyasint,omitempty"`
	Peer    string         `cbor:"3,keyasint,omitempty"`
	Owner   crypt.OwnerKey `cbor:"4,keyasint,omitempty"`
	Machine string         `cbor:"5,keyasint,omitempty"`
	Addrs   []string       `cbor:"6,keyasint,omitempty"`
}

// AddStore gives a store a number, or returns the one it has: stores are the same if kind and peer are. Other fields are
// updated. It is committed, not synced.
func (d *DB) AddStore(ctx context.Context, e StoreEntry) (uint32, error) { return 0, errUnwritten }

// Stores returns the store table, by number.
func (d *DB) Stores() []StoreEntry { return nil }

// CheckpointOptions says how to publish. Fold puts everything into the tree instead of writing a delta.
type CheckpointOptions struct{ Fold bool }

// Checkpoint publishes the volume as it is now: it returns a signed head, synced here before it returns, and its counter.
// The caller sends it to the keepers. Nothing changed: the head of before. One runs at a time; commits go on meanwhile.
func (d *DB) Checkpoint(ctx context.Context, o CheckpointOptions) (head []byte, counter uint64, err error) {
	return nil, 0, errUnwritten
}

// Head returns the newest head, always the same bytes; nil if there was no checkpoint yet.
func (d *DB) Head() []byte { return nil }

// Dirty says whether names, files or data stripes changed since the last checkpoint.
func (d *DB) Dirty() bool { return false }

// Stats are figures for status and logs.
type Stats struct {
	Generation   uint64
	Counter      uint64 // of the newest head
	Changed      int    // records changed since the last checkpoint; -1 when not known one by one
	Deltas       int
	DeltaBytes   int64
	JournalBytes int64  // not yet released
	Entries      uint64 // in the namespace tree
	Session      uint32
	Unplaced     int
}

// Stats returns figures.
func (d *DB) Stats() Stats { return Stats{} }
