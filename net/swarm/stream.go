package swarm

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// Stream opens a stream to a member's device, which it dials and greets first
// when needed. ErrNotMember for others, ErrUnreachable with the reason when the
// device does not answer; the error of ctx when that ends first.
func (s *Swarm) Stream(ctx context.Context, id, proto string) (Stream, error) {
	p, err := peer.Decode(id)
	if err != nil {
		return nil, fmt.Errorf("%q is not a peer ID: %w", clip(id), err)
	}
	for again := false; ; again = true {
		if err := s.greet(ctx, p, false); err != nil {
			return nil, fmt.Errorf("open %s to %s: %w", proto, id, err)
		}
		st, err := s.host.NewStream(network.WithNoDial(ctx, "a connection is greeted before it is used"), p, protocol.ID(proto))
		if err == nil {
			return st, nil
		}
		if again || ctx.Err() != nil || s.host.Network().Connectedness(p) == network.Connected {
			return nil, fmt.Errorf("open %s to %s: %w: %w", proto, id, ErrUnreachable, err)
		}
		s.lost(p)
	}
}

// membersOnly wraps a handler: strangers' streams are reset.
func (s *Swarm) membersOnly(h Handler) network.StreamHandler {
	return func(ns network.Stream) {
		s.mu.RLock()
		d := s.known(ns.Conn().RemotePeer())
		var from Peer
		if d != nil {
			from = s.peer(d)
		}
		s.mu.RUnlock()
		if d == nil || !s.serve(func() { h(s.ctx, from, ns) }) {
			ns.ResetWithError(network.StreamGated)
		}
	}
}

// Origin is the network that an accepted stream comes from: what one household
// can hardly have many of. Empty where it has no IP address, as through a relay.
func Origin(st Stream) string {
	ns, ok := st.(network.Stream)
	if !ok {
		return ""
	}
	if net := network64(ns.Conn().RemoteMultiaddr()); net.IsValid() {
		return net.String()
	}
	return ""
}

// anybody wraps a handler for members and strangers, within the limits.
func (s *Swarm) anybody(h StrangerHandler) network.StreamHandler {
	return func(ns network.Stream) {
		key, err := deviceOf(ns.Conn().RemotePeer())
		if err != nil || !s.gate.strangers.allow(ns.Conn().RemoteMultiaddr()) {
			ns.ResetWithError(network.StreamRateLimited)
			return
		}
		if !s.serve(func() { h(s.ctx, key, ns) }) {
			ns.Reset()
		}
	}
}

// serve runs f on the caller's goroutine, which Close then waits for.
func (s *Swarm) serve(f func()) bool {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return false
	}
	s.work.Add(1)
	s.mu.Unlock()
	defer s.work.Done()
	f()
	return true
}

// lost notes that the connections to a device are gone.
func (s *Swarm) lost(id peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.suspects, id)
	if c := s.contacts[id]; c != nil && c.greeted {
		c.greeted = false
		c.next = s.cfg.Now()
		s.changed()
	}
}

// changed tells those that watch. It needs s.mu.
func (s *Swarm) changed() {
	close(s.change)
	s.change = make(chan struct{})
	s.wake()
}

func (s *Swarm) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}
