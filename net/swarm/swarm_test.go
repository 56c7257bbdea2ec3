package swarm

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/hammockfs/hammock/crypt"
)

func TestThreeNodesLearnOfOneAnother(t *testing.T) {
	a, b, c := newParty(t, "anna").found(t), newParty(t, "bert"), newParty(t, "carl")
	sa := a.start(t)
	sb := b.joins(t, sa).start(t)
	meet(t, sb, a)
	sc := c.joins(t, sb).start(t, func(cfg *Config, _ *limits) { cfg.Free = func() int64 { return 7 } }) // bert invites carl: anna has to hear of it
	for _, s := range []*Swarm{sa, sb, sc} {
		for _, p := range []*party{a, b, c} {
			if p.device.Key() != s.cert.Device {
				meet(t, s, p)
			}
		}
		if n := len(s.Members()); n != 3 {
			t.Errorf("%s knows %d members, want 3", s.cfg.Name, n)
		}
	}
	m, ok := sa.Member(c.owner())
	if !ok || m.Inviter != b.owner() || m.Name != "carl" {
		t.Errorf("anna takes carl for %+v", m)
	}
	id, _ := PeerID(c.device.Key())
	p, _ := sa.Peer(id)
	if p.Machine != "machine of carl" || p.Free != 7 || p.Gives != 1<<30 || p.Owner != c.owner() || len(p.Addrs) == 0 {
		t.Errorf("anna sees carl as %+v", p)
	}
	sa.Handle(testProto, echo)
	if err := ask(t.Context(), sc, sa.Self().ID); err != nil {
		t.Errorf("carl asks anna: %v", err)
	}
	if in, out := sc.Counters(); in == 0 || out == 0 {
		t.Errorf("carl counted %d bytes in and %d out", in, out)
	}
}

func TestStrangerIsRefused(t *testing.T) {
	a := newParty(t, "anna").found(t)
	sa := a.start(t)
	sa.Handle(testProto, echo)
	stranger := newParty(t, "mallory")

	st, err := NewStranger(stranger.device)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	s, err := st.Open(t.Context(), sa.Addrs(), testProto)
	if err == nil {
		err = pingPong(s)
	}
	if err == nil {
		t.Error("a stranger was served")
	}
	// Its connection is closed when its time is up.
	gone, once := make(chan struct{}), new(sync.Once)
	st.host.Network().Notify(&network.NotifyBundle{DisconnectedF: func(network.Network, network.Conn) { once.Do(func() { close(gone) }) }})
	if len(st.host.Network().Conns()) > 0 {
		select {
		case <-gone:
		case <-time.After(30 * time.Second):
			t.Error("a stranger's connection stays")
		}
	}

	// A founder of a swarm of his own who claims to belong to this one.
	own := stranger.found(t).start(t)
	id, _ := peer.Decode(sa.Self().ID)
	own.mu.Lock()
	own.roster.id = sa.ID()
	own.cards = make(book)
	own.mu.Unlock()
	if err := own.renewCard(); err != nil {
		t.Fatal(err)
	}
	s, err = st.Open(t.Context(), sa.Addrs(), ProtocolHello)
	if err != nil {
		t.Fatal(err)
	}
	err = own.exchange(s.(network.Stream), id)
	if !errors.Is(err, ErrRefused) {
		t.Errorf("a false member got %v", err)
	}
	if n := len(sa.Peers()); n != 0 {
		t.Errorf("anna knows %d peers", n)
	}
}

func TestStrangersAreFew(t *testing.T) {
	sa := newParty(t, "anna").found(t).start(t, func(_ *Config, l *limits) { l.unproven, l.prove = 2, time.Minute })
	sa.HandleStranger(ProtocolJoin, func(_ context.Context, _ crypt.DeviceKey, st Stream) { io.Copy(st, st); st.Close() })
	served := 0
	for range 5 {
		st, err := NewStranger(newParty(t, "mallory").device)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		s, err := st.Open(t.Context(), sa.Addrs(), ProtocolJoin)
		if err == nil {
			err = pingPong(s)
		}
		if err == nil {
			served++
		}
	}
	if served != 2 {
		t.Errorf("%d strangers at once were served, the limit is 2", served)
	}
}

func TestJoinByStream(t *testing.T) {
	for _, listen := range []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"} {
		a, b := newParty(t, "anna").found(t), newParty(t, "bert")
		sa := a.start(t, func(c *Config, _ *limits) { c.Listen = []string{listen} })
		sa.HandleStranger(ProtocolJoin, func(ctx context.Context, device crypt.DeviceKey, st Stream) {
			var token Token
			io.ReadFull(st, token[:])
			adm, err := sa.Redeem(ctx, Redemption{Token: token, Certificate: b.cert, Name: "bert", Device: device})
			if err != nil {
				t.Error(err)
			}
			raw, _ := adm.Marshal()
			st.Write(raw)
			st.Close()
		})
		text, err := sa.Invite(t.Context(), Invitation{Allowance: 5})
		if err != nil {
			t.Fatal(err)
		}
		ticket, err := ParseTicket(text)
		if err != nil {
			t.Fatal(err)
		}
		guest, err := NewStranger(b.device)
		if err != nil {
			t.Fatal(err)
		}
		st, err := guest.Open(t.Context(), ticket.Targets(), ProtocolJoin)
		if err != nil {
			t.Fatal(err)
		}
		st.Write(ticket.Token[:])
		raw, err := io.ReadAll(st)
		if err != nil {
			t.Fatal(err)
		}
		guest.Close()
		adm, err := ParseAdmission(raw)
		if err != nil {
			t.Fatal(err)
		}
		if adm.ID() != ticket.Swarm {
			t.Error("admitted to another swarm than the ticket's")
		}
		b.create(t, adm)
		sb := b.start(t)
		meet(t, sb, a)
		meet(t, sa, b)
		if m, _ := sb.Member(b.owner()); m.Allowance != 5 {
			t.Errorf("bert is %+v", m)
		}
	}
}

func TestRevokedMemberIsDisconnected(t *testing.T) {
	a, b, c := newParty(t, "anna").found(t), newParty(t, "bert"), newParty(t, "carl")
	sa := a.start(t)
	sb := b.joins(t, sa).start(t)
	sc := c.joins(t, sb).start(t)
	meet(t, sa, b, c)
	meet(t, sb, c)
	sa.Handle(testProto, echo)
	if err := sb.Revoke(t.Context(), a.owner()); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("bert revokes the founder: %v", err)
	}
	if err := sc.Revoke(t.Context(), b.owner()); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("carl revokes who invited him: %v", err)
	}
	if err := sa.Revoke(t.Context(), c.owner()); err != nil {
		t.Fatal(err)
	}
	until(t, sb, "bert hears of it", func() bool { return !sb.IsMember(c.owner()) })
	until(t, sc, "carl has no peer", func() bool { return !sees(sc, a) && !sees(sc, b) })
	if len(sa.Peers()) != 1 || !sees(sa, b) {
		t.Errorf("anna has %d peers", len(sa.Peers()))
	}
	if err := ask(t.Context(), sc, sa.Self().ID); err == nil {
		t.Error("a revoked member was served")
	}
	if err := ask(t.Context(), sb, sa.Self().ID); err != nil {
		t.Errorf("bert was locked out with carl: %v", err)
	}
	// Bert cannot let carl in again against the founder.
	text, err := sb.Invite(t.Context(), Invitation{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.redeem(t, sb, text); !errors.Is(err, ErrNotMember) {
		t.Errorf("a revoked owner redeems a ticket: %v", err)
	}
}

func TestRestartKeepsMembersAndTickets(t *testing.T) {
	a, b, c := newParty(t, "anna").found(t), newParty(t, "bert"), newParty(t, "carl")
	sa := a.start(t)
	sb := b.joins(t, sa).start(t)
	meet(t, sb, a)
	text, err := sa.Invite(t.Context(), Invitation{Name: "Carl the Great"})
	if err != nil {
		t.Fatal(err)
	}
	before := sa.Self()
	if err := sa.Close(); err != nil {
		t.Fatal(err)
	}
	until(t, sb, "bert misses anna", func() bool { return !sees(sb, a) })

	sa = a.start(t)
	if sa.Self().ID != before.ID || !sa.IsMember(b.owner()) {
		t.Error("anna forgot who she or bert is")
	}
	meet(t, sa, b) // at bert's address of before; bert learns anna's new one
	meet(t, sb, a)
	if _, err := c.redeem(t, sa, text); err != nil {
		t.Errorf("redeem after a restart: %v", err)
	}
	if m, _ := sa.Member(c.owner()); m.Name != "Carl the Great" {
		t.Errorf("carl is %+v", m)
	}
}

// TestWrongClock starts a node with a clock that is years off, either way, so that
// no certificate is valid. It begins, says so, and forgets nobody: with the clock
// set right it finds the others again.
func TestWrongClock(t *testing.T) {
	a, b := newParty(t, "anna"), newParty(t, "bert")
	for _, p := range []*party{a, b} {
		cert, err := p.root.Certify(crypt.Certificate{Device: p.device.Key(), Wrap: p.device.Wrap(), WriterEpoch: 1,
			Rights: crypt.RightWrite | crypt.RightInvite, NotBefore: time.Now().Add(-time.Hour).Unix(), NotAfter: time.Now().Add(24 * time.Hour).Unix()})
		if err != nil {
			t.Fatal(err)
		}
		if p.cert, err = cert.Marshal(); err != nil {
			t.Fatal(err)
		}
	}
	a.found(t)
	sa := a.start(t)
	sb := b.joins(t, sa).start(t)
	meet(t, sb, a)
	meet(t, sa, b)
	if err := sb.Close(); err != nil {
		t.Fatal(err)
	}
	for _, off := range []time.Duration{-20 * 365 * 24 * time.Hour, 20 * 365 * 24 * time.Hour} {
		sb = b.start(t, func(c *Config, _ *limits) { c.Now = func() time.Time { return time.Now().Add(off) } })
		if len(sb.Peers()) != 1 {
			t.Errorf("bert knows %d peers with a clock that is off by %v", len(sb.Peers()), off)
		}
		if err := sb.Close(); err != nil {
			t.Fatal(err)
		}
	}
	sb = b.start(t)
	meet(t, sb, a)
	meet(t, sa, b)
}

func TestSecondDevice(t *testing.T) {
	a, b := newParty(t, "anna").found(t), newParty(t, "bert")
	sa := a.start(t)
	phone := partyOf(t, "phone", a.root, 0)
	adm, err := sa.AdmitDevice(t.Context(), phone.cert, phone.device.Key())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sa.AdmitDevice(t.Context(), b.cert, b.device.Key()); !errors.Is(err, ErrNotMember) {
		t.Errorf("admit a stranger's device: %v", err)
	}
	if _, err := sa.AdmitDevice(t.Context(), phone.cert, b.device.Key()); err == nil {
		t.Error("a certificate served another device")
	}
	phone.create(t, adm)
	sp := phone.start(t)
	meet(t, sp, a)
	meet(t, sa, phone)
	if _, err := sp.Invite(t.Context(), Invitation{}); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("a device without the right invites: %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	a, b := newParty(t, "anna"), newParty(t, "bert")
	if _, err := Open(t.Context(), a.config()); !errors.Is(err, ErrNoSwarm) {
		t.Errorf("without a state: %v", err)
	}
	a.found(t)
	g, _ := NewGenesis(a.root, "anna", time.Now())
	if err := Create(a.fs, "state", &Admission{Genesis: g}); !errors.Is(err, ErrExists) {
		t.Errorf("create twice: %v", err)
	}
	cfg := b.config()
	cfg.FS = a.fs
	if _, err := Open(t.Context(), cfg); !errors.Is(err, ErrNotMember) {
		t.Errorf("by a stranger: %v", err)
	}
	cfg = a.config()
	cfg.Certificate = b.cert
	if _, err := Open(t.Context(), cfg); err == nil {
		t.Error("opened with another's certificate")
	}
	cfg = a.config()
	cfg.Listen = []string{"/ip4/192.0.2.1/tcp/1"}
	if _, err := Open(t.Context(), cfg); err == nil {
		t.Error("listens where it cannot")
	}
	if _, err := (&Stranger{}).Open(t.Context(), []string{"nonsense"}, testProto); !errors.Is(err, ErrAddr) {
		t.Errorf("dial nonsense: %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	a, b := newParty(t, "anna").found(t), newParty(t, "bert")
	sa := a.start(t)
	sb := b.joins(t, sa).start(t)
	meet(t, sa, b)
	sb.Close()
	until(t, sa, "anna misses bert", func() bool { return !sees(sa, b) })
	id, _ := PeerID(b.device.Key())
	if _, err := sa.Stream(t.Context(), id, testProto); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a stream to who is away: %v", err)
	}
	id, _ = PeerID(newParty(t, "carl").device.Key())
	if _, err := sa.Stream(t.Context(), id, testProto); !errors.Is(err, ErrNotMember) {
		t.Errorf("a stream to a stranger: %v", err)
	}
	sa.Close()
	if _, err := sa.Stream(t.Context(), id, testProto); err == nil {
		t.Error("a stream from a closed node")
	}
}

// What libp2p brings for those behind a NAT starts and ends with the node.
func TestWithReachability(t *testing.T) {
	with := func(c *Config, _ *limits) { c.NAT = true }
	a, b := newParty(t, "anna").found(t), newParty(t, "bert")
	sa := a.start(t, with)
	sb := b.joins(t, sa).start(t, with)
	meet(t, sb, a)
	sa.Handle(testProto, echo)
	if err := ask(t.Context(), sb, sa.Self().ID); err != nil {
		t.Error(err)
	}
	id, _ := peer.Decode(sb.Self().ID)
	stranger, _ := peerID(newParty(t, "mallory").device.Key())
	if !sa.AllowReserve(id, nil) || sa.AllowReserve(stranger, nil) || sa.AllowConnect(stranger, nil, id) || sa.AllowConnect(id, nil, stranger) {
		t.Error("the relay is not for members, or not for members only")
	}
}

// A handler that waits for its stream or its context does not outlive Close.
func TestCloseEndsHandlers(t *testing.T) {
	a, b := newParty(t, "anna").found(t), newParty(t, "bert")
	sa := a.start(t)
	sb := b.joins(t, sa).start(t)
	began, ended := make(chan struct{}), make(chan struct{})
	sa.Handle(testProto, func(ctx context.Context, _ Peer, st Stream) {
		defer close(ended)
		close(began)
		<-ctx.Done()
		io.Copy(io.Discard, st)
	})
	st, err := sb.Stream(t.Context(), sa.Self().ID, testProto)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	<-began
	if err := sa.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-ended:
	default:
		t.Error("Close returned before the handler did")
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	anna, bert := newParty(b, "anna").found(b), newParty(b, "bert")
	sa := anna.start(b)
	sb := bert.joins(b, sa).start(b)
	sa.Handle(testProto, echo)
	id := sa.Self().ID
	b.Run("kept stream", func(b *testing.B) {
		st, err := sb.Stream(b.Context(), id, testProto)
		if err != nil {
			b.Fatal(err)
		}
		defer st.Close()
		buf := make([]byte, 64)
		for b.Loop() {
			if _, err := st.Write(buf); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(st, buf); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("new stream", func(b *testing.B) {
		for b.Loop() {
			if err := ask(b.Context(), sb, id); err != nil {
				b.Fatal(err)
			}
		}
	})
}
