package swarm

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
)

// identified returns when libp2p has exchanged with p what both sides speak and
// where they listen. After a hello this may be still under way at the side that
// was dialled.
func identified(t *testing.T, s *Swarm, p *party) peer.ID {
	t.Helper()
	text, err := PeerID(p.device.Key())
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	ids := s.host.(interface{ IDService() identify.IDService }).IDService()
	for _, conn := range s.host.Network().ConnsToPeer(id) {
		select {
		case <-ids.IdentifyWait(conn):
		case <-time.After(30 * time.Second):
			t.Fatalf("%s is connected to %s, but does not learn what it speaks", s.cfg.Name, p.name)
		}
	}
	return id
}

func TestDiscovery(t *testing.T) {
	with := func(c *Config, _ *limits) { c.DHT, c.MDNS = true, true }
	a, b, c := newParty(t, "anna").found(t), newParty(t, "bert"), newParty(t, "carl")
	sa := a.start(t, with)
	sb := b.joins(t, sa).start(t, with)
	sc := c.joins(t, sa).start(t, with)
	meet(t, sa, b, c)
	meet(t, sb, c)
	meet(t, sc, a, b)
	id := identified(t, sb, c)
	info, ok := sb.find(t.Context(), id)
	if !ok || info.ID != id {
		t.Errorf("bert asks where carl is: %v %v", info, ok)
	}
}

// heard is a log that closes a channel when a message comes.
type heard struct {
	slog.Handler
	what string
	once *sync.Once
	ch   chan struct{}
}

func (h heard) Enabled(context.Context, slog.Level) bool { return true }

func (h heard) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.what {
		h.once.Do(func() { close(h.ch) })
	}
	return nil
}

// The DHT asks who connects before the hello, in vain. After the hello each side
// has the other among those whom it asks.
func TestSearchAsksWhoWasGreeted(t *testing.T) {
	refused, greet := make(chan struct{}), make(chan struct{})
	with := func(c *Config, _ *limits) { c.DHT = true }
	a, b := newParty(t, "anna").found(t), newParty(t, "bert")
	sa := a.start(t, with, func(c *Config, _ *limits) {
		c.Log = slog.New(heard{slog.DiscardHandler, refusedSearch, new(sync.Once), refused})
	})
	sb := b.joins(t, sa).start(t, with, func(c *Config, _ *limits) {
		c.Free = func() int64 { <-greet; return 1 } // asked for when the hello is made
	})
	open := sync.OnceFunc(func() { close(greet) })
	t.Cleanup(open) // before bert is closed, which waits for the hello
	select {
	case <-refused:
	case <-time.After(30 * time.Second):
		t.Fatal("bert's search did not come to anna before the hello")
	}
	open()
	meet(t, sa, b)
	meet(t, sb, a)
	for s, other := range map[*Swarm]*party{sa: b, sb: a} {
		id := identified(t, s, other)
		// At once, or when the DHT has had its answer: it tells nobody.
		for late := time.Now().Add(20 * time.Second); s.dht.RoutingTable().Find(id) == ""; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(late) {
				t.Fatalf("%s has greeted %s and does not ask it in searches", s.cfg.Name, other.name)
			}
		}
		if err := s.dht.Ping(t.Context(), id); err != nil {
			t.Errorf("%s asks %s: %v", s.cfg.Name, other.name, err)
		}
	}
}
