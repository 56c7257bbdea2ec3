package swarm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/hammockfs/hammock/crypt"
)

const (
	helloTime = 10 * time.Second
	maxGossip = 16 << 20 // bytes of one side's records and cards
	frameRoom = 32 << 10 // bytes of records and cards that go into one frame
)

// hello is what each side says first, the one that dialled before the other.
// The card carries the certificate of the device whose key TLS has shown.
type hello struct {
	Version uint64   `cbor:"1,keyasint"`
	Swarm   crypt.ID `cbor:"2,keyasint"`
	Proof   [][]byte `cbor:"3,keyasint,omitempty"` // records from the founder down to the owner
	Card    []byte   `cbor:"4,keyasint,omitempty"`
	Free    int64    `cbor:"5,keyasint,omitempty"`
	Digest  crypt.ID `cbor:"6,keyasint"`
	// Refusal, in an answer, is why there is none.
	Refusal string `cbor:"7,keyasint,omitempty"`
}

// gossip is a part of all that one side knows. Same, in the first one, means that
// the digests are equal and nothing follows.
type gossip struct {
	Records [][]byte `cbor:"1,keyasint,omitempty"`
	Cards   [][]byte `cbor:"2,keyasint,omitempty"`
	Last    bool     `cbor:"3,keyasint,omitempty"`
	Same    bool     `cbor:"4,keyasint,omitempty"`
}

// check bounds what the parser of records need not see.
func (h *hello) check(swarm crypt.ID) error {
	switch {
	case h.Version != 1:
		return fmt.Errorf("it speaks version %d of the hello, this program version 1", h.Version)
	case h.Swarm != swarm:
		return errors.New("it belongs to another swarm")
	case len(h.Proof) > maxDepth:
		return errors.New("its proof of membership is too long")
	case h.Free < 0:
		return errors.New("it has less than no free space")
	}
	return nil
}

func (s *Swarm) hello() hello {
	free := s.free() // may ask the depot: not under the lock
	s.mu.RLock()
	defer s.mu.RUnlock()
	return hello{
		Version: 1, Swarm: s.roster.id, Proof: s.who[s.cert.Owner].proof(),
		Card: s.mine.raw, Free: free, Digest: s.sum,
	}
}

// sayHello is the side that begins.
func (s *Swarm) sayHello(ctx context.Context, id peer.ID) error {
	ctx, cancel := context.WithTimeout(ctx, helloTime)
	defer cancel()
	ns, err := s.host.NewStream(network.WithAllowLimitedConn(ctx, "a hello is small"), id, ProtocolHello)
	if err != nil {
		return fmt.Errorf("say hello: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { ns.Reset() })
	defer stop()
	if err := s.exchange(ns, id); err != nil {
		ns.Reset()
		return fmt.Errorf("say hello: %w", err)
	}
	return ns.Close()
}

func (s *Swarm) exchange(ns network.Stream, id peer.ID) error {
	if err := writeFrame(ns, s.hello()); err != nil {
		return err
	}
	var answer hello
	if err := readFrame(ns, &answer); err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	if answer.Refusal != "" {
		if checkText("", answer.Refusal, 2*maxName) != nil {
			answer.Refusal = "no reason that can be read"
		}
		return fmt.Errorf("%w: %s", ErrRefused, answer.Refusal)
	}
	err := s.believe(&answer, id)
	if err != nil {
		return err
	}
	told := s.digest()
	if told == answer.Digest {
		err = writeFrame(ns, gossip{Same: true, Last: true})
	} else if told, err = s.tellAll(ns); err == nil {
		err = s.hearAll(ns, nil)
	}
	if err == nil {
		s.greeted(id, answer.Free, told)
	}
	return err
}

func (s *Swarm) digest() crypt.ID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sum
}

// believe takes in what a hello proves and says whether the device that sent it
// is a member's.
func (s *Swarm) believe(h *hello, id peer.ID) error {
	if err := h.check(s.roster.id); err != nil {
		return err
	}
	d, err := parseCard(s.roster.id, h.Card, s.cfg.Now())
	if err != nil {
		return err
	}
	if d.id != id {
		return errors.New("it shows the card of another device")
	}
	learned := s.learn(h.Proof, [][]byte{h.Card})
	if !s.isKnown(id) {
		return errors.Join(ErrNotMember, learned)
	}
	return nil
}

// answerHello is the side that was dialled. It says nothing of the swarm before
// the other side has proved that it belongs to it.
func (s *Swarm) answerHello(ns network.Stream) {
	id := ns.Conn().RemotePeer()
	if !s.mayGreet(ns.Conn()) {
		ns.ResetWithError(network.StreamRateLimited)
		return
	}
	ns.SetDeadline(time.Now().Add(helloTime))
	var h hello
	if err := readFrame(ns, &h); err != nil {
		ns.Reset()
		return
	}
	if err := s.believe(&h, id); err != nil {
		s.cfg.Log.Info("a stranger was refused", "peer", id, "addr", ns.Conn().RemoteMultiaddr(), "error", err)
		writeFrame(ns, hello{Version: 1, Refusal: ErrNotMember.Error()})
		ns.Close()
		return
	}
	if err := s.answer(ns, id, h.Free); err != nil {
		s.cfg.Log.Debug("a hello broke off", "peer", id, "error", err)
		ns.Reset()
		return
	}
	ns.Close()
}

func (s *Swarm) answer(ns network.Stream, id peer.ID, free int64) error {
	mine := s.hello()
	if err := writeFrame(ns, mine); err != nil {
		return err
	}
	var first gossip
	if err := readFrame(ns, &first); err != nil {
		return err
	}
	told := mine.Digest
	if !first.Same {
		end, err := s.hearing(id)
		if err != nil {
			return err
		}
		err = s.hearAll(ns, &first)
		end()
		if err == nil {
			told, err = s.tellAll(ns)
		}
		if err != nil {
			return err
		}
	}
	s.greeted(id, free, told)
	return nil
}

// hearing waits for the turn of a device that has shown to be a member's.
func (s *Swarm) hearing(id peer.ID) (end func(), err error) {
	s.mu.RLock()
	d := s.known(id)
	s.mu.RUnlock()
	if d == nil {
		return nil, ErrNotMember
	}
	ctx, cancel := context.WithTimeout(s.ctx, helloTime)
	defer cancel()
	return s.hellos.hearing(ctx, d.cert.Owner)
}

// tellAll sends all records and cards; told is their digest.
func (s *Swarm) tellAll(ns network.Stream) (told crypt.ID, err error) {
	s.mu.RLock()
	records, cards, told := s.roster.list(), s.cards.list(), s.sum
	s.mu.RUnlock()
	for {
		var g gossip
		room := frameRoom
		g.Records, records = take(records, &room)
		if len(records) == 0 {
			g.Cards, cards = take(cards, &room)
		}
		g.Last = len(records) == 0 && len(cards) == 0
		if err := writeFrame(ns, g); err != nil {
			return told, fmt.Errorf("tell what is known here: %w", err)
		}
		if g.Last {
			return told, nil
		}
	}
}

// take splits off what fits into room.
func take(raws [][]byte, room *int) (head, rest [][]byte) {
	for i, raw := range raws {
		if *room -= len(raw) + 8; *room < 0 {
			return raws[:i], raws[i:]
		}
	}
	return raws, nil
}

// greeted notes that both sides know each other. told is the digest of what the
// other side knows of this side's knowledge: what came later is still news to it.
func (s *Swarm) greeted(id peer.ID, free int64, told crypt.ID) {
	s.searchable(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.suspects, id)
	if s.known(id) == nil || s.host.Network().Connectedness(id) == network.NotConnected {
		return
	}
	c := s.contact(id)
	relayed := s.host.Network().Connectedness(id) == network.Limited
	news := !c.greeted || c.free != free || c.relayed != relayed
	c.relayed = relayed
	now := s.cfg.Now()
	c.greeted, c.last, c.seen, c.told, c.free, c.misses = true, now, now, told, free, 0
	if news {
		s.changed()
	}
}
