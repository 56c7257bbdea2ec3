package storm

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/hammockfs/hammock/integration/liar"
)

// A peer that lies is one of those whose disks may be damaged, always the same
// one, and nobody else is away meanwhile. What peers say that they have is then
// on enough of those who do: a sync waits for k + m/2 shards, rounded up, so one
// of them may be a lie. There is one peer more than shards, for one that was
// found out gets nothing new.

// auditEvery has a storm find out within its time.
const auditEvery = "300ms"

// lie has a peer lie until the round is over.
func (s *storm) lie(r *round) error {
	s.counts.lies++
	p := s.house.peers[r.hurt[0]]
	if err := s.killPeer(p); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := p.In(context.Background(), self)
	cmd.Env = append(liar.Env(r.mode, p.State, r.delay), liar.EnvAt+"="+p.listen)
	if p.freed, err = p.Replace(cmd, liar.Ready); err != nil {
		return err
	}
	s.note("%s lies: %s", p.Name, r.mode)
	return s.house.awaitPeers()
}

// confess ends the lies of a round. What was lost by them is found, and put
// back.
func (s *storm) confess(r *round) error {
	if r.damage != "lie" {
		return nil
	}
	h, p := s.house, s.house.peers[r.hurt[0]]
	if p.Bin != p.bin { // or it was killed, and came back honest
		if err := s.killPeer(p); err != nil {
			return err
		}
		if err := p.start(); err != nil {
			return err
		}
	}
	p.freed()
	if err := h.awaitPeers(); err != nil {
		return err
	}
	if _, err := h.main.Run("peers", "forgive", p.Name); err != nil {
		return err
	}
	if err := s.syncAll(); err != nil {
		return err
	}
	for late := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		_, err := h.main.Run("repair", "--now") // asks for each shard
		if err == nil {
			return s.awaitFull(time.Minute)
		}
		if time.Now().After(late) {
			return fmt.Errorf("what %s lost by its lies is not back: %w", p.Name, err)
		}
	}
}
