package swarm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/room"
)

// The protocols that this package answers or lets strangers use.
const (
	ProtocolHello   = "/hammock/1/hello"
	ProtocolJoin    = "/hammock/1/join"
	ProtocolRecover = "/hammock/1/recover"
)

// Config is what a node brings along.
type Config struct {
	FS          vfs.FS // nil: the disk
	State       string // folder that holds the swarm file; made by [Create]
	Device      *crypt.Device
	Certificate []byte // of Device, by its owner's root key

	Name    string // for people, at most 64 bytes, like Machine and Site
	Machine string // the smallest failure domain
	Site    string // may be empty
	Gives   int64  // bytes kept for others at most
	// Free tells how many of these bytes are free now; nil: all. It may be called
	// from several goroutines and must not wait.
	Free func() int64

	Listen []string // multiaddrs; none: this node only dials
	MDNS   bool     // look for members on the local network
	DHT    bool     // ask other members where a member is
	NAT    bool     // port mapping, AutoNAT, hole punching, relays

	Log *slog.Logger     // nil: silence
	Now func() time.Time // nil: time.Now
}

// Swarm is a running node's place among the members. Safe for concurrent use.
type Swarm struct {
	cfg     Config
	limits  limits
	cert    crypt.Certificate
	host    host.Host
	gate    *gater
	hellos  *hellos
	dht     *dht.IpfsDHT // nil if not wanted
	traffic traffic

	ctx    context.Context // ends at Close
	cancel context.CancelFunc
	work   sync.WaitGroup
	kick   chan struct{} // wakes the loop
	stops  []func() error

	read   sync.Map   // from the ID of a member's device as it is written to its peer.ID
	saving sync.Mutex // taken before mu, held over the write of the file

	mu       sync.RWMutex // guards all below; never held over network or disk
	closed   bool
	roster   *roster
	who      map[crypt.OwnerKey]*standing
	cards    book // this device's own included
	contacts map[peer.ID]*contact
	suspects map[peer.ID]time.Time // until when they may stay unproven
	mine     *device               // this device's card
	tickets  []issuedTicket
	seq      uint64
	sum      crypt.ID // digest of roster and cards
	dirty    bool     // the file is older than the above
	change   chan struct{}
}

// limits are the figures that tests shrink.
type limits struct {
	prove     time.Duration // a stranger's time to say hello, join or recover
	unproven  int           // strangers connected at once
	accepts   pace          // connections of one address
	strangers pace          // strangers' connections and requests of one address
	// sameAddress is how many connections one address may have open that are not
	// members'; of the unproven in all it is a part.
	sameAddress int
	greets      pace          // hellos of one owner's devices
	gossips     pace          // of those, the ones that tell all they know
	refresh     time.Duration // a hello at least this often
	gap         time.Duration // and not more often than this
	tick        time.Duration
	firstRetry  time.Duration
	lastRetry   time.Duration
}

var usualLimits = limits{
	prove: 10 * time.Second, unproven: 128,
	accepts: pace{20, 100}, strangers: pace{2, 40}, sameAddress: 32, greets: pace{20, 200}, gossips: pace{2, 60},
	refresh: time.Minute, gap: 300 * time.Millisecond, tick: 500 * time.Millisecond,
	firstRetry: time.Second, lastRetry: 5 * time.Minute,
}

// Open starts the node: it listens, answers members, and keeps connections to
// all their devices. The context limits only the start. ErrNoSwarm if [Create]
// was not called for the state folder, ErrNotMember if the certificate's owner
// does not belong to the swarm.
func Open(ctx context.Context, cfg Config) (*Swarm, error) { return open(ctx, cfg, usualLimits) }

func open(ctx context.Context, cfg Config, lim limits) (*Swarm, error) {
	s, err := load(cfg, lim)
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// load makes the node from its file, without a network.
func load(cfg Config, lim limits) (*Swarm, error) {
	cfg.FS = orDefault(cfg.FS)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cert, err := checkCertificate(cfg.Certificate, time.Time{})
	if err != nil {
		return nil, err
	}
	if err := cert.Verify(cfg.Now()); err != nil {
		// The clock may have been wrong when it was made, or is now. What is on this machine is its owner's all the same.
		cfg.Log.Error("other members will not talk to this device; is the clock of this machine right?", "error", err)
	}
	if cert.Device != cfg.Device.Key() {
		return nil, errors.New("the certificate is not for this device")
	}
	st, err := readState(cfg.FS, cfg.State)
	if err != nil {
		return nil, err
	}
	s := &Swarm{
		cfg: cfg, limits: lim, cert: cert,
		kick: make(chan struct{}, 1), change: make(chan struct{}),
		contacts: make(map[peer.ID]*contact), suspects: make(map[peer.ID]time.Time),
		cards: make(book), tickets: st.Tickets, seq: st.Seq,
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if s.roster, err = newRoster(st.Genesis); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if _, err := s.roster.merge(st.Records); err != nil {
		cfg.Log.Warn("a member record of the swarm file was left out", "error", err)
	}
	s.recount()
	if s.who[cert.Owner] == nil {
		return nil, fmt.Errorf("%w: the owner of this device was never admitted, was revoked or has expired", ErrNotMember)
	}
	s.takeCards(st.Cards, time.Time{}) // or a start with a wrong clock would forget all addresses
	return s, nil
}

func (s *Swarm) start(ctx context.Context) error {
	s.gate, s.hellos = newGater(s), newHellos(&s.limits)
	for _, step := range []func() error{s.listen, s.renewCard, s.saveFirst, s.discover, s.answerAll} {
		if err := step(); err != nil {
			return err
		}
	}
	s.goDo(s.keepContacts)
	return ctx.Err()
}

// goDo runs f in a goroutine that Close waits for; false when closing.
func (s *Swarm) goDo(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.work.Go(f)
	return true
}

// Close ends all streams and connections, waits for all handlers and saves.
func (s *Swarm) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	var errs []error
	for _, stop := range slices.Backward(s.stops) {
		errs = append(errs, stop())
	}
	s.work.Wait()
	return errors.Join(append(errs, s.save())...)
}

// save writes the swarm file if it is older than what this node knows.
func (s *Swarm) save() error {
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.Lock()
	if !s.dirty {
		s.mu.Unlock()
		return nil
	}
	st := state{Genesis: s.roster.raw, Records: s.roster.list(), Cards: s.cards.list(), Tickets: slices.Clone(s.tickets), Seq: s.seq}
	s.dirty = false
	s.mu.Unlock()
	b, err := encodeState(&st)
	if err == nil {
		err = writeState(s.cfg.FS, s.cfg.State, b)
	}
	if err != nil {
		s.mu.Lock()
		s.dirty = true
		s.mu.Unlock()
	}
	return err
}

// saveFirst is save at a start. A full disk is no reason not to begin: it is tried again.
func (s *Swarm) saveFirst() error {
	err := s.save()
	if room.Full(err) {
		s.cfg.Log.Error("the swarm file could not be written and will be tried again", "error", err)
		return nil
	}
	return err
}

// ID is the ID of the swarm.
func (s *Swarm) ID() crypt.ID { return s.roster.id }

// Self is this device, as the others see it.
func (s *Swarm) Self() Peer {
	free := s.free()
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := s.peer(s.mine)
	p.Connected, p.Free, p.LastSeen = true, free, s.cfg.Now()
	return p
}

func (s *Swarm) free() int64 {
	if s.cfg.Free == nil {
		return s.cfg.Gives
	}
	return max(0, s.cfg.Free())
}

// Addrs are this device's addresses as others can dial them, /p2p/ included.
func (s *Swarm) Addrs() []string {
	addrs := s.ownAddrs()
	for i := range addrs {
		addrs[i] += "/p2p/" + s.host.ID().String()
	}
	return addrs
}

// Members lists who belongs to the swarm now, the founder first, then by name.
func (s *Swarm) Members() []Member {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]Member, 0, len(s.who))
	for _, m := range s.who {
		all = append(all, m.Member)
	}
	slices.SortFunc(all, func(a, b Member) int {
		if a.Founder != b.Founder {
			if a.Founder {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name+a.Owner.String(), b.Name+b.Owner.String())
	})
	return all
}

// Member tells about one owner; false if it is no member now.
func (s *Swarm) Member(owner crypt.OwnerKey) (Member, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m := s.member(owner)
	if m == nil {
		return Member{}, false
	}
	return m.Member, true
}

// IsMember says whether an owner belongs to the swarm now.
func (s *Swarm) IsMember(owner crypt.OwnerKey) bool {
	_, ok := s.Member(owner)
	return ok
}

// member needs s.mu.
func (s *Swarm) member(owner crypt.OwnerKey) *standing {
	m := s.who[owner]
	if m == nil || !m.Expiry.IsZero() && !s.cfg.Now().Before(m.Expiry) {
		return nil
	}
	return m
}

// Peers lists the known devices of members, connected or not, without this one,
// by ID.
func (s *Swarm) Peers() []Peer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]Peer, 0, len(s.cards))
	for id, d := range s.cards {
		if id != s.host.ID() {
			all = append(all, s.peer(d))
		}
	}
	slices.SortFunc(all, func(a, b Peer) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// Peer tells about one known device of a member, by its peer ID.
func (s *Swarm) Peer(id string) (Peer, bool) {
	p, read := s.read.Load(id)
	if !read {
		var err error
		if p, err = peer.Decode(id); err != nil {
			return Peer{}, false
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	d := s.known(p.(peer.ID))
	if d == nil {
		return Peer{}, false
	}
	if !read {
		s.read.Store(d.text, d.id)
	}
	return s.peer(d), true
}

// known is the card of a member's device, nil for all others. It needs s.mu.
func (s *Swarm) known(id peer.ID) *device {
	d := s.cards[id]
	if d == nil || s.member(d.cert.Owner) == nil {
		return nil
	}
	return d
}

// peer needs s.mu.
func (s *Swarm) peer(d *device) Peer {
	p := Peer{
		ID: d.text, Owner: d.cert.Owner, Device: d.cert.Device,
		Machine: d.Machine, Site: d.Site, Name: d.Name, Gives: d.Gives,
		Addrs: slices.Clone(d.Addrs),
	}
	if c := s.contacts[d.id]; c != nil {
		p.Connected, p.Free, p.LastSeen = c.greeted && !c.relayed, c.free, c.seen
	}
	return p
}

// Watch gives a channel that is closed at the next change of members or peers;
// call it again for the change after that. Look at the state after calling Watch,
// not before, or a change in between goes unseen.
func (s *Swarm) Watch() <-chan struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.change
}

// Counters are the bytes that streams of all protocols carried since Open.
func (s *Swarm) Counters() (bytesIn, bytesOut int64) {
	return s.traffic.in.Load(), s.traffic.out.Load()
}

// Handle makes h answer a protocol, for members only; others' streams are reset.
func (s *Swarm) Handle(proto string, h Handler) {
	s.host.SetStreamHandler(protocol.ID(proto), s.membersOnly(h))
}

// HandleStranger makes h answer ProtocolJoin or ProtocolRecover, for anybody, as
// often as the limits of an address allow. Other protocols are refused by panic,
// a mistake of the program.
func (s *Swarm) HandleStranger(proto string, h StrangerHandler) {
	if proto != ProtocolJoin && proto != ProtocolRecover {
		panic("swarm: strangers may only join and recover, not " + proto)
	}
	s.host.SetStreamHandler(protocol.ID(proto), s.anybody(h))
}
