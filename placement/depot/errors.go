package depot

import (
	"errors"
	"fmt"
)

// What can be wrong with a request. All come wrapped with what was being done; use errors.Is. An error that is none of
// these is the disk's or the index's own, and the depot's log says more.
var (
	// ErrNotFound: this owner has put no such shard here. What others have put makes no difference to it.
	ErrNotFound = errors.New("no such shard of this owner is kept here")
	// ErrFull: the space that this node gives, all owners together, is taken.
	ErrFull = errors.New("the depot is full")
	// ErrDiskFull is ErrFull for another reason: the disk under the depot has too little space left.
	ErrDiskFull = fmt.Errorf("%w: the disk that it lies on has too little space left", ErrFull)
	// ErrQuota: the owner has used up his own allowance here.
	ErrQuota = errors.New("the owner's allowance is used up")
	// ErrTooLarge: the shard is above MaxShard, or more bytes came than were reserved.
	ErrTooLarge = errors.New("too large")
	// ErrShort: fewer bytes came than were reserved, or a shard of no bytes was asked for.
	ErrShort = errors.New("too short")
	// ErrWrongBytes: the bytes are not those that the shard's ID names.
	ErrWrongBytes = errors.New("the bytes do not match the shard's ID")
	// ErrExpired: no byte came for a reservation for half a minute, or it was aborted or committed before.
	ErrExpired = errors.New("the reservation is over")
	// ErrStale: a newer put or delete of the same shard, or a newer head, is known here.
	ErrStale = errors.New("something newer is known")
	// ErrRotten: the shard was kept here, but its bytes can no longer be read back as they were.
	ErrRotten = errors.New("the shard has rotted")
	// ErrTooManyHeads: this owner has as many heads here as are kept, and none of them may make room.
	ErrTooManyHeads = errors.New("too many heads of this owner")
	// ErrCounter: the head's counter is too far above the one that is known.
	ErrCounter = errors.New("the head's counter has jumped too far")
	// ErrClosed: the depot was closed, or closed itself because its index could not be written.
	ErrClosed = errors.New("the depot is closed")
)
