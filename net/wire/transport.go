package wire

import (
	"context"
	"io"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// Protocol IDs. The number is the version of everything in PROTOCOL.md.
const (
	ProtoShard   = "/hammock/1/shard"
	ProtoSmall   = "/hammock/1/small"
	ProtoHead    = "/hammock/1/head"
	ProtoJoin    = "/hammock/1/join"
	ProtoRecover = "/hammock/1/recover"
)

// Remote says who is at the other end of a stream, as the transport proved it.
type Remote struct {
	Peer   string          // what a Dialer would dial
	Owner  crypt.OwnerKey  // zero for a stranger
	Device crypt.DeviceKey // always known
	Name   string          // for logs; chosen by the other side
	Addr   string          // of a stranger: the network that it comes from; may be empty
}

// A Stream is an ordered, authenticated, encrypted pipe. A libp2p stream is
// one. One goroutine may read while another writes; Reset and Close may be
// called at any time and end both.
type Stream interface {
	io.Reader
	io.Writer
	// CloseWrite ends what this side sends; the other side reads io.EOF.
	CloseWrite() error
	// Close ends both directions in order.
	Close() error
	// Reset ends both directions at once; the other side's calls fail.
	Reset() error
	// SetReadDeadline and SetWriteDeadline bound later and pending calls; the
	// zero time takes the bound away.
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

// A Dialer opens streams. The peer at the other end is the one that was named,
// proven by its key, or the call fails.
type Dialer interface {
	Open(ctx context.Context, peer, proto string) (Stream, error)
}

// A Handler serves one accepted stream and returns when it is done with it.
// The context ends when the transport closes.
type Handler func(ctx context.Context, from Remote, s Stream)

// A Listener hands over accepted streams, each to its handler in a goroutine
// of its own. Handle serves members only; HandleStranger serves anybody. A
// handler that is nil takes the protocol away.
type Listener interface {
	Handle(proto string, h Handler)
	HandleStranger(proto string, h Handler)
}
