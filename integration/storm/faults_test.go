package storm

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// memoryLimit is the most resident memory that a daemon may ever have.
const memoryLimit = 512 << 20

// happen does one event of a round.
func (s *storm) happen(e event, r *round) {
	s.note("%v", e)
	switch e.what {
	case "sync":
		s.sync()
	case "drop":
		if _, err := s.house.main.Run("cache", "drop"); err != nil {
			s.note("the cache was not dropped: %.200s", err)
		}
	case "stop":
		n := s.house.main
		if e.peer >= 0 {
			n = s.house.peers[e.peer]
		}
		_, err := n.Signal(unix.SIGSTOP)
		s.wrong(err)
		s.last(e, r)
		_, err = n.Signal(unix.SIGCONT) // if it was killed meanwhile, nobody is there
		s.wrong(err)
	case "kill":
		p := s.house.peers[e.peer]
		s.wrong(s.killPeer(p))
		s.last(e, r)
		if r.end != "house" { // which starts them all
			s.wrong(p.start())
		}
	case "part":
		s.wrong(s.house.network.set(e.peer, "down"))
		s.last(e, r)
		s.wrong(s.house.network.set(e.peer, "up"))
	case "full":
		s.wrong(s.house.fill())
		time.Sleep(e.lasts)
		s.wrong(s.house.empty())
	}
}

// last waits for the end of a fault: its time, or the next mount.
func (s *storm) last(e event, r *round) {
	time.Sleep(e.lasts)
	if r.late() && e.peer >= 0 {
		<-s.healed
		s.note("peer %d is back", e.peer)
	}
}

func (s *storm) killPeer(p *node) error {
	killed, err := p.Kill()
	if killed {
		s.mu.Lock()
		s.counts.peerKills++
		s.mu.Unlock()
	}
	return err
}

// sync asks for a sync; one that returns well covers all that had returned
// before it was begun.
func (s *storm) sync() {
	moments := make([]int, len(s.actors))
	for i, a := range s.actors {
		moments[i] = a.moment()
	}
	if _, err := s.house.main.Run("sync", "--timeout", "20s"); err != nil {
		s.note("a sync failed: %.300s", err)
		return
	}
	s.note("a sync covers %v", moments)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.syncs++
	for i, m := range moments {
		s.synced[i] = max(s.synced[i], m)
	}
}

// measure looks whether the daemon keeps to its memory.
func (s *storm) measure() error {
	if peak := s.house.main.Peak(); peak > memoryLimit {
		return fmt.Errorf("the daemon had %d MiB resident", peak>>20)
	}
	return nil
}

// calm lets everything come to rest; then all must be there, and sound.
func (s *storm) calm() error {
	h := s.house
	if err := h.awaitPeers(); err != nil {
		return err
	}
	if err := s.syncAll(); err != nil {
		return err
	}
	if _, err := h.main.Run("cache", "drop"); err != nil {
		return err
	}
	if err := s.compare(false); err != nil {
		return fmt.Errorf("from peers: %w", err)
	}
	if _, err := h.main.Run("check", "--data"); err != nil {
		return err
	}
	if err := s.measure(); err != nil {
		return err
	}
	if _, err := h.main.Run("unmount", h.main.Dir, "--timeout", "60s"); err != nil {
		return err
	}
	return s.allEnd()
}

// allEnd asks every process to end, and none may stay.
func (s *storm) allEnd() error {
	var errs []error
	if _, runs := s.house.main.PID(); runs {
		errs = append(errs, errors.New("the daemon runs although it was unmounted"))
	}
	for _, p := range s.house.peers {
		_, err := p.End(unix.SIGTERM, 20*time.Second)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
