package storm

import (
	"errors"
	"fmt"
	"slices"
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
		n := s.who(e)
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
		n := s.who(e)
		s.wrong(n.fill())
		time.Sleep(e.lasts)
		s.wrong(n.empty())
	}
}

// who is the node that an event happens to.
func (s *storm) who(e event) *node {
	if e.peer < 0 {
		return s.house.main
	}
	return s.house.peers[e.peer]
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
	moments := s.moments()
	if _, err := s.house.main.Run("sync", "--timeout", "20s"); err != nil {
		s.note("a sync failed: %.300s", err)
		return
	}
	s.note("a sync covers %v", moments)
	s.covers(moments)
}

// moments is how far each actor is.
func (s *storm) moments() []int {
	moments := make([]int, len(s.actors))
	for i, a := range s.actors {
		moments[i] = a.moment()
	}
	return moments
}

// covers notes that a sync which was begun at these moments has returned.
func (s *storm) covers(moments []int) {
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

// routines are the goroutines of each node's process, the mounting one last.
func (s *storm) routines() (list []int, err error) {
	for _, n := range append(slices.Clone(s.house.peers), s.house.main) {
		st, err := n.Status()
		if err != nil {
			return nil, err
		}
		list = append(list, st.Routines)
	}
	return list, nil
}

// leaks looks whether the nodes have come to rest: each runs about as many
// goroutines as before the storm, some for each connection more or less.
func (s *storm) leaks() error {
	for late := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		now, err := s.routines()
		if err != nil {
			return err
		}
		more := 0
		for i, n := range now {
			more = max(more, n-s.idle[i]*3/2-60)
		}
		if more <= 0 {
			s.note("goroutines: %v before, %v after", s.idle, now)
			return nil
		}
		if time.Now().After(late) {
			return fmt.Errorf("goroutines of the peers and the daemon: %v before the storm, %v after it", s.idle, now)
		}
	}
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
	if err := errors.Join(s.measure(), s.leaks()); err != nil {
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
