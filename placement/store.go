package placement

import (
	"context"
	"errors"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// What stores answer. Stores may wrap them; any other error means that the store could not be asked, or failed.
var (
	// ErrNoShard: the store does not have this shard (for this owner). It starts a repair.
	ErrNoShard = errors.New("the store does not have this shard")
	// ErrWrongBytes: what the store sent is not what the shard's ID names. It starts a repair.
	ErrWrongBytes = errors.New("the store sent wrong bytes")
	// ErrFull: the store has no room for this shard.
	ErrFull = errors.New("the store is full")
)

// A Put names what is put: a delete later names the same.
type Put struct {
	Shard              crypt.ID
	Stripe, Generation uint64
	Index              int // of the shard in its stripe; for log lines
}

// A Store takes shards and gives ranges of them. It is safe for concurrent use, and both methods return soon after ctx ends.
// The suite in storetest runs this contract.
type Store interface {
	// Put keeps data durably: when it returns nil, the store has checked the bytes against p.Shard and survives a power
	// cut with them. Putting a shard again changes nothing and is no error. data is the caller's again on return.
	// ErrFull, ErrWrongBytes (data is not p.Shard).
	Put(ctx context.Context, p Put, data []byte) error
	// ReadRange appends bytes [off, off+n) of the shard of size bytes to dst. They have been proven against id before it
	// returns, so that wrong ones never do (ErrWrongBytes); a size that is not the shard's is ErrWrongBytes or
	// ErrNoShard. off is a multiple of crypt.GroupSize, and so is off+n, unless it is size. ErrNoShard.
	ReadRange(ctx context.Context, id crypt.ID, size, off, n int64, dst []byte) ([]byte, error)
}

// StoreInfo is what is known of a store. Strings that are empty are not known.
type StoreInfo struct {
	Number        uint32 // of the volume's store table; never 0
	Name          string // as users know it
	Owner         crypt.OwnerKey
	Site, Machine string  // failure domains; a store without a machine counts as one of its own
	Free          int64   // bytes that it would take now; where that is not known a guess, for 0 means full
	Reliability   float64 // share of the time that it answers rightly, 0 to 1; 0: as the placer has measured it
	Verdict       Verdict // the placer's own, on what it knows of the store; whoever implements Stores leaves it alone

	away     time.Duration // since it was last seen
	doubtful bool          // something went wrong lately
	Online   bool          // can be asked now
	Here     bool          // on this machine: no protection against its loss
}

// Stores is where the placer learns what stores there are: all that are known and not declared lost, whether they are
// online or not, in any order. Both methods are called often and from many goroutines, and do not wait.
type Stores interface {
	Stores() []StoreInfo
	Store(number uint32) (Store, bool)
}

// Payloads gives closed stripes that lie on this machine. Payload appends to dst (the returned slice may be other memory,
// then it is only read); it must not call the Placer. An error that is fs.ErrNotExist says that the stripe is not here (any more). If Payloads also has a
// method PayloadSize(stripe uint64) (bytes int, ok bool), Stats knows the size of what is queued.
type Payloads interface {
	Payload(ctx context.Context, stripe uint64, dst []byte) (payload []byte, class uint8, err error)
}

// Journal keeps records. Intend and Placed return when the record would survive a power cut. Intend is called before the
// puts that the record announces; Placed when enough of them succeeded for the local copy to go, and again whenever
// shards have moved. Record gives the newest record of either call; without one it returns nothing and nil, or an error
// that is fs.ErrNotExist.
type Journal interface {
	Intend(ctx context.Context, stripe uint64, record []byte) error
	Placed(ctx context.Context, stripe uint64, record []byte) error
	Record(ctx context.Context, stripe uint64) ([]byte, error)
}
