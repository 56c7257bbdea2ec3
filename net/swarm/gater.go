package swarm

import (
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"golang.org/x/time/rate"
)

// gater decides which connections come into being: outbound only to members'
// devices, inbound as many as the limits allow.
type gater struct {
	s         *Swarm
	accepts   *throttle
	strangers *throttle
}

var _ connmgr.ConnectionGater = (*gater)(nil)

func newGater(s *Swarm) *gater {
	return &gater{s: s, accepts: newThrottle(s.limits.accepts, s.cfg.Now), strangers: newThrottle(s.limits.strangers, s.cfg.Now)}
}

func (g *gater) InterceptPeerDial(id peer.ID) bool                 { return g.s.isKnown(id) }
func (g *gater) InterceptAddrDial(id peer.ID, _ ma.Multiaddr) bool { return g.s.isKnown(id) }

// InterceptAccept is asked before TLS, when only the address is known.
func (g *gater) InterceptAccept(c network.ConnMultiaddrs) bool {
	return g.accepts.allow(c.RemoteMultiaddr())
}

// InterceptSecured is asked when TLS has shown the other side's key.
func (g *gater) InterceptSecured(dir network.Direction, id peer.ID, c network.ConnMultiaddrs) bool {
	if g.s.isKnown(id) {
		return true
	}
	if dir == network.DirOutbound {
		return false
	}
	return g.strangers.allow(c.RemoteMultiaddr()) && g.s.suspect(id)
}

func (g *gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }

func (s *Swarm) isKnown(id peer.ID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.known(id) != nil
}

// suspect gives an unknown device its time to prove itself; false if too many
// others have theirs.
func (s *Swarm) suspect(id peer.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.suspects[id]; !ok && len(s.suspects) >= s.limits.unproven {
		return false
	}
	s.suspects[id] = s.cfg.Now().Add(s.limits.prove)
	return true
}

// maxThrottled bounds the addresses that a throttle remembers.
const maxThrottled = 4096

// pace is how often something may happen: per second in the long run, and at
// once.
type pace struct {
	perSecond float64
	burst     int
}

// throttle limits each network address by itself: an IPv4 address, or the /64 of
// an IPv6 one. In a flood of addresses the new ones share one allowance. Safe for
// concurrent use.
type throttle struct {
	pace pace
	now  func() time.Time

	mu     sync.Mutex
	by     map[netip.Prefix]*rate.Limiter
	forgot time.Time // when quiet addresses were dropped last
}

func newThrottle(p pace, now func() time.Time) *throttle {
	return &throttle{pace: p, now: now, by: make(map[netip.Prefix]*rate.Limiter)}
}

func (t *throttle) allow(addr ma.Multiaddr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, key := t.now(), network64(addr)
	l := t.by[key]
	if l == nil && len(t.by) >= maxThrottled {
		t.forget(now)
		if len(t.by) >= maxThrottled {
			key = netip.Prefix{}
			l = t.by[key]
		}
	}
	if l == nil {
		l = rate.NewLimiter(rate.Limit(t.pace.perSecond), t.pace.burst)
		t.by[key] = l
	}
	return l.AllowN(now, 1)
}

// forget drops the addresses that have been quiet for long enough to have their
// full allowance again; at most once a second, for it looks at all of them.
func (t *throttle) forget(now time.Time) {
	if now.Sub(t.forgot) < time.Second {
		return
	}
	t.forgot = now
	for k, l := range t.by {
		if l.TokensAt(now) >= float64(t.pace.burst) {
			delete(t.by, k)
		}
	}
}

// network64 is what one household can hardly have many of. Addresses without an
// IP (a relay) share one allowance.
func network64(addr ma.Multiaddr) netip.Prefix {
	ip, err := manet.ToIP(addr)
	if err != nil {
		return netip.Prefix{}
	}
	a, ok := netip.AddrFromSlice(ip)
	if !ok {
		return netip.Prefix{}
	}
	a = a.Unmap()
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}
