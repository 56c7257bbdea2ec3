package swarm

import (
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/hammockfs/hammock/crypt"
)

// learn takes in records and cards from elsewhere. Everything in them is checked
// against the swarm and its members. The error is the first reason why something
// was left out; the rest has been taken in all the same.
func (s *Swarm) learn(records, cards [][]byte) error {
	s.mu.Lock()
	changed, err := s.roster.merge(records)
	var out []peer.ID
	if changed {
		out = s.recount()
	}
	took, err2 := s.takeCards(cards, s.cfg.Now())
	if changed || took {
		s.dirty = true
		s.sum = digest(s.roster, s.cards)
		s.changed()
	}
	s.mu.Unlock()
	s.closePeers(out)
	return errors.Join(err, err2)
}

// takeCards takes cards whose certificates are valid at a time; the zero time asks for none. It needs s.mu.
func (s *Swarm) takeCards(raws [][]byte, at time.Time) (changed bool, err error) {
	have := make(map[crypt.ID]bool, len(s.cards))
	for _, d := range s.cards {
		have[d.hash] = true
	}
	wrong := 0
	for _, raw := range raws {
		if have[crypt.Sum(raw)] {
			continue
		}
		d, bad := decodeCard(raw)
		switch {
		case bad != nil:
		case s.member(d.cert.Owner) == nil:
			bad = ErrNotMember
		case s.cards[d.id] != nil && !d.beats(s.cards[d.id]):
			continue
		default:
			if bad = d.verify(s.roster.id, at); bad != nil {
				wrong++
			}
		}
		if bad != nil {
			if err == nil {
				err = bad
			}
			if wrong >= maxWrong {
				err = errors.Join(err, errTooWrong)
				break
			}
			continue
		}
		if d.cert.Device == s.cert.Device {
			s.seq = max(s.seq, d.Seq) // of before this folder was restored
		}
		if s.cards.put(d) {
			changed = true
			if c := s.contacts[d.id]; c != nil && !c.greeted {
				c.next = s.cfg.Now() // it is where it was not before
			}
		}
	}
	if changed {
		s.sum = digest(s.roster, s.cards)
	}
	return changed, err
}

// recount works out anew who is a member, forgets the devices of others, and
// tells whose connections must be closed. It needs s.mu.
func (s *Swarm) recount() (out []peer.ID) {
	now := s.cfg.Now()
	s.who = s.roster.standings(now)
	for id, d := range s.cards {
		if s.member(d.cert.Owner) != nil && (d.cert.NotAfter == 0 || now.Unix() <= d.cert.NotAfter) {
			continue
		}
		if d.cert.Device == s.cert.Device {
			continue // its own card stays, so that it can say who it is
		}
		delete(s.cards, id)
		delete(s.contacts, id)
		out = append(out, id)
		s.cfg.Log.Info("a device is no longer a member's", "peer", id, "name", d.Name)
	}
	if sum := digest(s.roster, s.cards); sum != s.sum {
		s.sum, s.dirty = sum, true
		s.changed()
	}
	return out
}

// renewCard signs a new card if what it says has changed.
func (s *Swarm) renewCard() error {
	addrs := s.ownAddrs()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := card{
		Version: 1, Certificate: s.cfg.Certificate, Machine: s.cfg.Machine, Site: s.cfg.Site,
		Name: s.cfg.Name, Gives: s.cfg.Gives, Addrs: addrs,
	}
	if old := s.cards[s.host.ID()]; old != nil && old.Seq >= s.seq && old.says(&c) {
		s.mine = old
		return nil
	}
	s.seq = max(s.seq+1, uint64(max(0, s.cfg.Now().UnixNano())))
	c.Seq = s.seq
	d, err := signCard(s.roster.id, s.cfg.Device, c, time.Time{}) // whether its certificate is valid is for others to say
	if err != nil {
		return err
	}
	s.mine = d
	s.cards.put(d)
	s.sum, s.dirty = digest(s.roster, s.cards), true
	s.changed()
	return nil
}
