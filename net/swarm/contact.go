package swarm

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// contact is what this run of the node knows of one member's device beside its
// card.
type contact struct {
	turn    chan struct{} // holds one token: who greets
	greeted bool          // connected, and the hello is over
	last    time.Time     // of the last hello
	told    [32]byte      // the digest that both sides had after it
	seen    time.Time
	free    int64
	next    time.Time // of the next attempt while not greeted
	misses  int
	busy    bool // the loop is greeting it
}

// contact needs s.mu.
func (s *Swarm) contact(id peer.ID) *contact {
	c := s.contacts[id]
	if c == nil {
		c = &contact{turn: make(chan struct{}, 1)}
		s.contacts[id] = c
	}
	return c
}

// keepContacts greets all known devices: those away again and again, those here
// once in a while and whenever there is news. It is also what saves the file and
// ends what has expired.
func (s *Swarm) keepContacts() {
	tick := time.NewTicker(s.limits.tick)
	defer tick.Stop()
	recounted := s.cfg.Now()
	for {
		for _, id := range s.due() {
			s.goDo(func() { s.approach(id) })
		}
		if err := s.save(); err != nil {
			s.cfg.Log.Error("the swarm file could not be written", "error", err)
		}
		select {
		case <-s.ctx.Done():
			return
		case <-s.kick:
			continue
		case <-tick.C:
		}
		s.closeUnproven()
		if now := s.cfg.Now(); now.Sub(recounted) >= s.limits.refresh/6 {
			recounted = now
			s.recheck()
		}
	}
}

// maxApproaches bounds the hellos that the loop has under way at once.
const maxApproaches = 8

// due lists whom to greet now and marks them busy.
func (s *Swarm) due() []peer.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	busy := 0
	for _, c := range s.contacts {
		if c.busy {
			busy++
		}
	}
	var ids []peer.ID
	for id := range s.cards {
		if busy+len(ids) >= maxApproaches {
			break
		}
		if id == s.host.ID() || s.known(id) == nil {
			continue
		}
		if c := s.contact(id); !c.busy && s.wants(c, now) {
			c.busy = true
			ids = append(ids, id)
		}
	}
	return ids
}

// wants needs s.mu.
func (s *Swarm) wants(c *contact, now time.Time) bool {
	if !c.greeted {
		return !now.Before(c.next)
	}
	since := now.Sub(c.last)
	return since >= s.limits.refresh || c.told != s.sum && since >= s.limits.gap
}

// approach is one attempt of the loop.
func (s *Swarm) approach(id peer.ID) {
	err := s.greet(s.ctx, id, true)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.contact(id)
	c.busy = false
	if err == nil || s.ctx.Err() != nil {
		return
	}
	s.cfg.Log.Debug("a member's device is not reached", "peer", id, "error", err)
	c.misses++
	wait := min(s.limits.lastRetry, s.limits.firstRetry<<min(c.misses-1, 16))
	c.next = s.cfg.Now().Add(wait/2 + rand.N(wait/2+1))
}

// greet makes sure that there is a connection over which a hello has passed; with
// again it says hello once more. Callers for the same device take turns.
func (s *Swarm) greet(ctx context.Context, id peer.ID, again bool) error {
	s.mu.Lock()
	if s.known(id) == nil {
		s.mu.Unlock()
		return fmt.Errorf("device %s: %w", id, ErrNotMember)
	}
	c := s.contact(id)
	done := c.greeted && !again
	s.mu.Unlock()
	if done {
		return nil
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return ErrClosed
	}
	s.mu.RLock()
	done = c.greeted && (!again || s.cfg.Now().Sub(c.last) < s.limits.gap)
	s.mu.RUnlock()
	if done {
		return nil
	}
	if err := s.dial(ctx, id); err != nil {
		return err
	}
	return s.sayHello(ctx, id)
}

// dial connects to a known device, at the addresses of its card or where the
// others say that it is.
func (s *Swarm) dial(ctx context.Context, id peer.ID) error {
	if s.host.Network().Connectedness(id) == network.Connected {
		return nil
	}
	s.mu.RLock()
	d := s.known(id)
	s.mu.RUnlock()
	if d == nil {
		return fmt.Errorf("device %s: %w", id, ErrNotMember)
	}
	err := s.host.Connect(ctx, d.addrInfo())
	if err == nil || ctx.Err() != nil {
		return err
	}
	if found, ok := s.find(ctx, id); ok {
		if err = s.host.Connect(ctx, found); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// connected and disconnected are called by libp2p and must not wait.
func (s *Swarm) connected(_ network.Network, conn network.Conn) {
	id := conn.RemotePeer()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known(id) == nil {
		if _, ok := s.suspects[id]; !ok {
			s.suspects[id] = s.cfg.Now().Add(s.limits.prove)
		}
		return
	}
	if c := s.contact(id); !c.greeted && conn.Stat().Direction == network.DirInbound {
		c.next = s.cfg.Now().Add(s.limits.firstRetry) // whoever dialled says hello
	}
}

func (s *Swarm) disconnected(n network.Network, conn network.Conn) {
	id := conn.RemotePeer()
	if state := n.Connectedness(id); state != network.Connected && state != network.Limited {
		s.lost(id)
	}
}

// closeUnproven closes the connections of those who have not proved membership
// in time.
func (s *Swarm) closeUnproven() {
	s.mu.Lock()
	var late []peer.ID
	for id, until := range s.suspects {
		if s.known(id) != nil {
			delete(s.suspects, id)
		} else if !s.cfg.Now().Before(until) {
			late = append(late, id)
		}
	}
	s.mu.Unlock()
	for _, id := range late {
		s.host.Network().ClosePeer(id)
		s.mu.Lock()
		delete(s.suspects, id)
		s.mu.Unlock()
	}
}

// recheck lets memberships and certificates expire.
func (s *Swarm) recheck() {
	s.mu.Lock()
	out := s.recount()
	s.mu.Unlock()
	s.closePeers(out)
}

func (s *Swarm) closePeers(ids []peer.ID) {
	for _, id := range ids {
		s.host.Network().ClosePeer(id)
	}
}
