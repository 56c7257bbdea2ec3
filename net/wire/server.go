package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// Depot is where a Server puts and finds shards. Errors are those of this
// package (or become so through ServerConfig.Errors). Concurrent use.
type Depot interface {
	// Reserve sets size bytes aside, or refuses, before any byte was taken.
	Reserve(ctx context.Context, owner crypt.OwnerKey, p Put, size int64) (Reservation, error)
	// Slice appends the Bao slice of whole groups of a shard that owner holds
	// here to dst, and says the size of the whole shard.
	Slice(ctx context.Context, owner crypt.OwnerKey, id crypt.ID, off, n int64, dst []byte) (size int64, slice []byte, err error)
	// Quote is Slice that need not look whether the bytes are still right.
	Quote(ctx context.Context, owner crypt.OwnerKey, id crypt.ID, off, n int64, dst []byte) (size int64, slice []byte, err error)
	Has(ctx context.Context, owner crypt.OwnerKey, id crypt.ID) (size int64, ok bool, err error)
	Delete(ctx context.Context, owner crypt.OwnerKey, shard crypt.ID, stripe, generation uint64) error
}

// Reservation takes the bytes of one shard. Commit returns when they were
// compared with their hash, written and synced. Abort after Commit does nothing.
type Reservation interface {
	io.Writer
	Commit(ctx context.Context) error
	Abort()
}

// Keeper keeps heads. What it is given was verified.
type Keeper interface {
	PutHead(ctx context.Context, b crypt.Bundle) error
	Heads(ctx context.Context, owner crypt.OwnerKey) ([]crypt.Bundle, error)
}

// Door lets strangers in. The certificate was verified, and is the one of the
// device at the other end of the stream. Both return the swarm's state as the
// newcomer needs it, at most MaxState bytes.
type Door interface {
	// Join uses up the token of a ticket.
	Join(ctx context.Context, from Remote, token, certificate []byte, name string) (state []byte, err error)
	// Recover admits a device of an owner who is a member; that the owner's
	// root key asked for it was verified.
	Recover(ctx context.Context, from Remote, certificate []byte) (state []byte, err error)
}

// ServerConfig is what a node offers; what is nil is not offered.
type ServerConfig struct {
	Swarm  crypt.ID // scope of the signatures of deletes
	Depot  Depot
	Keeper Keeper
	Door   Door
	// Info answers an owner's question for room.
	Info func(ctx context.Context, owner crypt.OwnerKey) (Info, error)
	// Errors turns errors of Depot, Keeper and Door into those of this package;
	// may be nil.
	Errors func(error) error
	Limits Limits // zero: DefaultLimits
	Meter  *Meter
	Log    *slog.Logger
	Now    func() time.Time
}

// A Server answers the requests of peers.
type Server struct {
	cfg    ServerConfig
	gates  *gates
	ctx    context.Context // ends at Close
	stop   context.CancelFunc
	mu     sync.Mutex
	closed bool           // guarded by mu
	wg     sync.WaitGroup // one for each stream being served
}

// NewServer makes a server; Register connects it to a network.
func NewServer(cfg ServerConfig) *Server {
	if cfg.Limits == (Limits{}) {
		cfg.Limits = DefaultLimits()
	}
	if cfg.Meter == nil {
		cfg.Meter = new(Meter)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Errors == nil {
		cfg.Errors = func(err error) error { return err }
	}
	s := &Server{cfg: cfg, gates: newGates(cfg.Limits)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Register takes over the protocols of this package on l.
func (s *Server) Register(l Listener) {
	for _, proto := range []string{ProtoShard, ProtoSmall, ProtoHead} {
		l.Handle(proto, s.Handler(proto))
	}
	if s.cfg.Door == nil {
		return
	}
	for _, proto := range []string{ProtoJoin, ProtoRecover} {
		l.HandleStranger(proto, s.Handler(proto))
	}
}

// Close resets all streams and waits for their handlers. Close it before the
// network that it is registered with.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop() // and with it the contexts of all streams, which resets them
	s.wg.Wait()
	return nil
}

// Handler serves one stream of a protocol until it ends.
func (s *Server) Handler(proto string) Handler {
	return func(ctx context.Context, from Remote, st Stream) {
		if !s.begin() {
			st.Reset()
			return
		}
		defer s.wg.Done()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.ctx, cancel)()
		defer context.AfterFunc(ctx, func() { st.Reset() })() // a pending read does not know the context
		s.serve(ctx, proto, from, st)
	}
}

func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.wg.Add(1)
	}
	return !s.closed
}

func (s *Server) serve(ctx context.Context, proto string, from Remote, st Stream) {
	l := newLink(st, s.cfg.Meter.of(proto), pace{s.cfg.Limits.Silence, s.cfg.Limits.Slowest})
	g, leave, err := s.admit(proto, from)
	switch {
	case g == nil:
		st.Reset()
		return
	case err != nil:
		l.writeFrame(asRefusal(err).reply(), nil)
		st.Close()
		return
	}
	defer leave()
	c := &session{Server: s, link: l, gate: g, proto: proto, from: from}
	if err = c.run(ctx); err == nil {
		st.Close()
		return
	}
	st.Reset()
	s.cfg.Log.Debug("stream ended", "protocol", proto, "peer", from.Peer, "name", clean(from.Name, maxName), "err", err)
}

// admit counts a stream. No gate: it is not even worth an answer.
func (s *Server) admit(proto string, from Remote) (g *gate, leave func(), err error) {
	busy := refuse(ErrBusy, "too many streams")
	if proto == ProtoJoin || proto == ProtoRecover {
		// Members have no better right to these than others.
		all, one := s.gates.all, s.gates.stranger(from.Addr)
		if !all.enter() {
			return one, nil, busy
		}
		if !one.enter() {
			all.leave()
			return one, nil, busy
		}
		return one, func() { one.leave(); all.leave() }, nil
	}
	if from.Owner.IsZero() {
		return nil, nil, nil // the transport should not have let it through
	}
	g = s.gates.of(from.Owner)
	switch {
	case !g.requests.Allow(): // a stream costs about as much as a request
		return nil, nil, nil
	case !g.enter():
		return g, nil, busy
	}
	return g, g.leave, nil
}

func (r *Refusal) reply() *reply {
	return &reply{Code: r.Code, Sentence: clean(r.Sentence, maxSentence)}
}

// session is one accepted stream.
type session struct {
	*Server
	*link
	gate      *gate
	proto     string
	from      Remote
	unread    bool   // the request has a body that was not taken
	challenge []byte // of the last request, if it asked for one
}

// broken wraps an error after which the stream cannot go on.
type broken struct{ error }

func (b broken) Unwrap() error { return b.error }

// run serves requests until the other side is done (nil) or the stream breaks.
func (c *session) run(ctx context.Context) error {
	for {
		if err := c.await(c.cfg.Limits.Idle); err != nil {
			return ended(err)
		}
		header, err := c.readHeader(c.cfg.Limits.Header)
		var q request
		if err == nil {
			q, err = parseRequest(header)
		}
		if err == nil {
			c.unread = q.Body > 0 && q.Code != opPut
			if err = c.gate.request(ctx); err == nil {
				err = c.handle(ctx, &q)
			}
		} else if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
			return err
		} else {
			c.unread = true // where the next frame begins is not known
		}
		if err != nil && !c.refused(ctx, err) {
			return ended(err)
		}
		if c.unread {
			return nil
		}
	}
}

// ended says whether a stream ended in order.
func ended(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// refused tells the other side why not, and whether the stream can go on.
func (c *session) refused(ctx context.Context, err error) bool {
	var b broken
	if errors.As(err, &b) || ctx.Err() != nil {
		return false
	}
	r := asRefusal(err)
	if r.Code == codeFailed {
		r = asRefusal(c.cfg.Errors(err))
	}
	if r.Code == codeFailed {
		c.cfg.Log.Error("request of a peer failed", "protocol", c.proto, "peer", c.from.Peer, "err", err)
	}
	if r.Code == codeMalformed {
		c.unread = true
	}
	return c.writeFrame(r.reply(), nil) == nil
}

func (c *session) handle(ctx context.Context, q *request) error {
	challenge := c.challenge
	c.challenge = nil
	switch {
	case c.proto == ProtoShard && q.Code == opPut:
		return c.put(ctx, q)
	case c.proto == ProtoShard && q.Code == opGet:
		return c.get(ctx, q, MaxRange)
	case c.proto == ProtoSmall && q.Code == opGet:
		return c.get(ctx, q, MaxSmall)
	case c.proto == ProtoSmall && q.Code == opHas:
		return c.has(ctx, q)
	case c.proto == ProtoSmall && q.Code == opDelete:
		return c.delete(ctx, q)
	case c.proto == ProtoSmall && q.Code == opInfo:
		return c.info(ctx)
	case c.proto == ProtoHead && q.Code == opHeadPut:
		return c.headPut(ctx, q)
	case c.proto == ProtoHead && q.Code == opHeadGet:
		return c.headGet(ctx, q)
	case c.proto == ProtoJoin && q.Code == opJoin:
		return c.join(ctx, q)
	case c.proto == ProtoRecover && q.Code == opChallenge:
		return c.ask()
	case c.proto == ProtoRecover && q.Code == opRecover:
		return c.recover(ctx, q, challenge)
	}
	c.unread = q.Body > 0
	return fmt.Errorf("%w: code %d", ErrUnsupported, q.Code)
}

// yes answers a request.
func (c *session) yes(r *reply, body []byte) error {
	r.Body = uint64(len(body))
	if err := c.writeFrame(r, body); err != nil {
		return broken{err}
	}
	return nil
}
