package swarm

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/time/rate"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/hammockfs/hammock/crypt"
)

const (
	maxNews    = 6 << 20 // bytes of one side's gossip that this side did not know yet
	hearings   = 8       // at once, in all
	ownHearing = 2       // at once, of one owner
)

// hellos shares out what saying hello costs a node among those that do it: each
// owner has a pace, and some hearings, at once. Strangers' go by address (see
// gater).
type hellos struct {
	limits *limits
	all    chan struct{} // a token for each hearing
	mu     sync.Mutex
	owners map[crypt.OwnerKey]*speaker // guarded by mu; members are few
}

// speaker is what one owner's devices have said lately.
type speaker struct {
	greets  *rate.Limiter
	gossips *rate.Limiter
	own     chan struct{}
}

func newHellos(l *limits) *hellos {
	return &hellos{limits: l, all: make(chan struct{}, hearings), owners: make(map[crypt.OwnerKey]*speaker)}
}

func (h *hellos) of(owner crypt.OwnerKey) *speaker {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.owners[owner]
	if s == nil {
		s = &speaker{
			greets:  rate.NewLimiter(rate.Limit(h.limits.greets.perSecond), h.limits.greets.burst),
			gossips: rate.NewLimiter(rate.Limit(h.limits.gossips.perSecond), h.limits.gossips.burst),
			own:     make(chan struct{}, ownHearing),
		}
		h.owners[owner] = s
	}
	return s
}

// hearing waits until an owner may tell all that it knows, and for room to hear
// it; the caller ends it.
func (h *hellos) hearing(ctx context.Context, owner crypt.OwnerKey) (end func(), err error) {
	s := h.of(owner)
	if err := s.gossips.Wait(ctx); err != nil {
		return nil, err
	}
	select {
	case s.own <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case h.all <- struct{}{}:
		return func() { <-h.all; <-s.own }, nil
	case <-ctx.Done():
		<-s.own
		return nil, ctx.Err()
	}
}

// mayGreet says whether a device may say hello now, before anything of it is
// read.
func (s *Swarm) mayGreet(c network.Conn) bool {
	s.mu.RLock()
	d := s.known(c.RemotePeer())
	s.mu.RUnlock()
	if d == nil {
		return s.gate.strangers.allow(c.RemoteMultiaddr())
	}
	return s.hellos.of(d.cert.Owner).greets.Allow()
}

// hearAll reads what tellAll of the other side sends, first being read already.
// What is known here is not kept while the rest comes.
func (s *Swarm) hearAll(ns network.Stream, first *gossip) error {
	var news gossip
	knows := s.knows()
	for size, fresh := 0, 0; ; {
		g := first
		if first = nil; g == nil {
			g = new(gossip)
			if err := readFrame(ns, g); err != nil {
				return fmt.Errorf("hear what is known there: %w", err)
			}
		}
		for i, raws := range [2][][]byte{g.Records, g.Cards} {
			for _, raw := range raws {
				size += len(raw) + 8
				if knows(raw) {
					continue
				}
				fresh += len(raw) + 8
				if i == 0 {
					news.Records = append(news.Records, raw)
				} else {
					news.Cards = append(news.Cards, raw)
				}
			}
		}
		if size > maxGossip || fresh > maxNews {
			return fmt.Errorf("hear what is known there: more than %d bytes, or %d of news", maxGossip, maxNews)
		}
		if g.Last {
			break
		}
	}
	if err := s.learn(news.Records, news.Cards); err != nil {
		s.cfg.Log.Debug("a part of the gossip was left out", "peer", ns.Conn().RemotePeer(), "error", err)
		if errors.Is(err, errTooWrong) {
			return err
		}
	}
	return nil
}

// knows tells records and cards that are here already from news.
func (s *Swarm) knows() func(raw []byte) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	have := make(map[crypt.ID]bool, len(s.roster.hashes)+len(s.cards))
	for h := range s.roster.hashes {
		have[h] = true
	}
	for _, d := range s.cards {
		have[d.hash] = true
	}
	return func(raw []byte) bool { return have[crypt.Sum(raw)] }
}
