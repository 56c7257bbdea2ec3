package swarm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	lswarm "github.com/libp2p/go-libp2p/p2p/net/swarm"

	"github.com/hammockfs/hammock/crypt"
)

// contact is what this run of the node knows of one member's device beside its
// card.
type contact struct {
	turn    chan struct{} // holds one token: who greets
	greeted bool          // connected, and the hello is over
	relayed bool          // but only through a relay, which carries no data
	last    time.Time     // of the last hello
	told    crypt.ID      // digest of what it was told by then
	seen    time.Time
	free    int64
	next    time.Time // of the next attempt while not greeted
	misses  int       // attempts that failed one after another
	why     error     // the last of them failed
	busy    bool      // the loop is greeting it
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
	recounted, saved := s.cfg.Now(), true
	for {
		for _, id := range s.due() {
			s.goDo(func() { s.approach(id) })
		}
		err := s.save()
		if err != nil && saved {
			s.cfg.Log.Error("the swarm file could not be written and will be tried again", "error", err)
		}
		saved = err == nil
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
	if err := s.greet(s.ctx, id, true); err != nil {
		s.cfg.Log.Debug("a member's device was not greeted", "peer", id, "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.contact(id).busy = false
}

// missed notes a failed attempt; the next one comes later each time.
func (s *Swarm) missed(id peer.ID, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.contact(id)
	c.misses++
	wait := min(s.limits.lastRetry, s.limits.firstRetry<<min(c.misses-1, 16))
	c.next, c.why = s.cfg.Now().Add(wait/2+rand.N(wait/2+1)), err
}

// greet makes sure that there is a connection over which a hello has passed; with
// again it says hello once more. Callers for the same device take turns.
func (s *Swarm) greet(ctx context.Context, id peer.ID, again bool) error {
	c, err := s.greetable(id)
	if err != nil || !again && s.isGreeted(c, time.Hour) {
		return err
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return ErrClosed
	}
	if s.isGreeted(c, s.limits.gap) || !again && s.isGreeted(c, time.Hour) {
		return nil // by who had the turn before
	}
	if !again {
		if err := s.hopeless(id, c); err != nil {
			return err
		}
	}
	if err = s.dial(ctx, id); err == nil {
		err = s.sayHello(ctx, id)
	}
	if err == nil || ctx.Err() != nil || s.ctx.Err() != nil {
		return err
	}
	if !errors.Is(err, ErrUnreachable) && !errors.Is(err, ErrRefused) && !errors.Is(err, ErrNotMember) {
		err = fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	s.missed(id, err)
	return err
}

func (s *Swarm) greetable(id peer.ID) (*contact, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if s.known(id) == nil {
		return nil, fmt.Errorf("device %s: %w", id, ErrNotMember)
	}
	return s.contact(id), nil
}

// isGreeted says whether the device is connected and said hello within age.
func (s *Swarm) isGreeted(c *contact, age time.Duration) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return c.greeted && s.cfg.Now().Sub(c.last) < age
}

// hopeless spares a caller the wait for a device that has just been tried in vain
// and is not due again: the loop tries it, and it will call when it is back.
func (s *Swarm) hopeless(id peer.ID, c *contact) error {
	if s.host.Network().Connectedness(id) == network.Connected {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if c.misses > 0 && s.cfg.Now().Before(c.next) {
		return fmt.Errorf("tried a moment ago: %w", c.why)
	}
	return nil
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
	err := s.connect(ctx, d.addrInfo())
	if err == nil || ctx.Err() != nil {
		return err
	}
	if found, ok := s.find(ctx, id); ok {
		err = s.connect(ctx, found)
	}
	return err
}

// connect dials now, whatever libp2p thinks of earlier failures: when to try
// again is decided here.
func (s *Swarm) connect(ctx context.Context, to peer.AddrInfo) error {
	if n, ok := s.host.Network().(interface{ Backoff() *lswarm.DialBackoff }); ok {
		n.Backoff().Clear(to.ID)
	}
	return reason(s.host.Connect(ctx, to))
}

// reason puts libp2p's list of failed addresses on one line.
func reason(err error) error {
	var de *lswarm.DialError
	if err == nil || !errors.As(err, &de) {
		return err
	}
	if len(de.DialErrors) == 0 {
		return fmt.Errorf("%w: %w", ErrUnreachable, de.Cause)
	}
	var each []string
	for _, e := range de.DialErrors {
		each = append(each, fmt.Sprintf("%s: %v", e.Address, e.Cause))
	}
	return fmt.Errorf("%w: %s", ErrUnreachable, strings.Join(each, "; "))
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
	c := s.contact(id)
	if c.relayed && !conn.Stat().Limited {
		c.relayed = false
		s.changed()
	}
	if !c.greeted && conn.Stat().Direction == network.DirInbound {
		c.next = s.cfg.Now().Add(s.limits.firstRetry) // whoever dialled says hello
	}
}

func (s *Swarm) disconnected(n network.Network, conn network.Conn) {
	id := conn.RemotePeer()
	switch n.Connectedness(id) {
	case network.Connected:
	case network.Limited:
		s.mu.Lock()
		defer s.mu.Unlock()
		if c := s.contacts[id]; c != nil && !c.relayed {
			c.relayed = true
			s.changed()
		}
	default:
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
