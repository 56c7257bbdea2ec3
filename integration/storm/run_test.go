package storm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hammockfs/hammock/integration/rig"
)

// counts are what storms did.
type counts struct{ kills, peerKills, recoveries, calls, syncs, damages, lies int }

func (c *counts) add(d counts) {
	c.kills += d.kills
	c.peerKills += d.peerKills
	c.recoveries += d.recoveries
	c.calls += d.calls
	c.syncs += d.syncs
	c.damages += d.damages
	c.lies += d.lies
}

func (c counts) String() string {
	return fmt.Sprintf("%d kills of the daemon and %d of peers, %d recoveries, disks damaged %d times, %d lies, %d calls, %d syncs",
		c.kills, c.peerKills, c.recoveries, c.damages, c.lies, c.calls, c.syncs)
}

// errWrong is a read that gave bytes that were never written there.
var errWrong = errors.New("wrong bytes were read")

// storm is one that runs.
type storm struct {
	plan   *schedule
	house  *house
	actors []*actor
	began  time.Time
	idle   []int         // goroutines of each node before the storm
	healed chan struct{} // closed when the peers of a round may come back

	mu     sync.Mutex // guards what follows
	counts counts
	lines  []string
	synced []int // what the last sync that returned in this round covers, by actor
	errs   []error
}

// note writes down what happened, for whoever looks for the reason of a failure.
func (s *storm) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf("  %7.3f s ", time.Since(s.began).Seconds())+fmt.Sprintf(format, args...))
}

func (s *storm) journal() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines[max(0, len(s.lines)-60):], "\n")
}

// wrong notes what may not be, found by somebody who runs beside the storm.
func (s *storm) wrong(err error) {
	if err != nil {
		s.note("WRONG: %v", err)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.errs = append(s.errs, err)
	}
}

func (s *storm) run() error {
	if err := s.prepare(); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	for i, r := range s.plan.rounds {
		s.note("round %d", i)
		if err := errors.Join(s.round(&r), errors.Join(s.errs...)); err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
	}
	if err := errors.Join(s.calm(), errors.Join(s.errs...)); err != nil {
		return fmt.Errorf("calm: %w", err)
	}
	return nil
}

// prepare gives each actor its folder, and has all of that on peers.
func (s *storm) prepare() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	root := &actor{name: "root", dir: s.house.main.Dir, bin: exe, history: newHistory()}
	if err := root.begin(); err != nil {
		return err
	}
	for i := range s.plan.actors {
		name := fmt.Sprintf("actor-%d", i)
		root.do(call{Op: "mkdir", Name: name})
		s.actors = append(s.actors, &actor{name: name, dir: filepath.Join(root.dir, name), bin: exe, history: newHistory(),
			r: rand.New(rand.NewPCG(s.plan.seed, uint64(i)+10))})
		if s.plan.synced {
			s.actors[i].syncing = func() func() { m := s.moments(); return func() { s.covers(m) } }
		}
	}
	if err := errors.Join(root.failed, root.end()); err != nil {
		return err
	}
	s.synced = make([]int, len(s.actors))
	if _, err = s.house.main.Run("sync", "--timeout", "2m"); err != nil {
		return err
	}
	s.idle, err = s.routines()
	return err
}

// round has the actors work while things happen, and then looks at what is left.
func (s *storm) round(r *round) error {
	if err := s.damage(r); err != nil {
		return fmt.Errorf("damage: %w", err)
	}
	s.healed = make(chan struct{})
	heal := sync.OnceFunc(func() { close(s.healed) })
	defer heal()
	for _, a := range s.actors {
		if err := a.begin(); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var working, happening sync.WaitGroup
	for _, a := range s.actors {
		working.Go(func() { a.work(ctx); a.failedAt = time.Now() })
	}
	began := time.Now()
	for _, e := range r.events {
		time.Sleep(time.Until(began.Add(e.at)))
		happening.Go(func() { s.happen(e, r) })
	}
	time.Sleep(time.Until(began.Add(r.length)))
	ended := time.Now()
	if err := s.strike(r); err != nil {
		return err
	}
	stop()
	working.Wait()
	if !r.gentle() {
		s.house.main.Detach() // only now: what they asked of it has failed
	}
	if !r.late() {
		heal()
		happening.Wait()
	}
	for _, a := range s.actors {
		if r.gentle() {
			a.finish()
		}
		if err := errors.Join(a.end(), s.excuse(a, r, ended)); err != nil {
			return err
		}
	}
	if err := s.after(r); err != nil {
		return fmt.Errorf("after %s: %w", r.end, err)
	}
	heal()
	happening.Wait()
	if err := s.compare(r.end == "recover"); err != nil {
		return fmt.Errorf("after %s: %w", r.end, err)
	}
	return s.confess(r)
}

// late says whether the node is mounted again before its peers are back.
func (r *round) late() bool {
	return r.healLate && r.end != "recover" && r.end != "quiet" && !r.fills()
}

// fills says whether a disk is full for a while.
func (r *round) fills() bool {
	return slices.ContainsFunc(r.events, func(e event) bool { return e.what == "full" })
}

// fillsOurs says whether that is the daemon's.
func (r *round) fillsOurs() bool {
	return slices.ContainsFunc(r.events, func(e event) bool { return e.what == "full" && e.peer < 0 })
}

// troubles says whether peers may not take what they should.
func (r *round) troubles() bool {
	return r.damage != "" || slices.ContainsFunc(r.events, func(e event) bool { return e.peer >= 0 && e.lasts > 0 })
}

// gentle says whether a round ends without a kill.
func (r *round) gentle() bool { return r.end == "quiet" || r.end == "remount" }

// excuse is nil if an actor met only what it may meet.
func (s *storm) excuse(a *actor, r *round, killed time.Time) error {
	s.counts.calls += a.done
	a.done = 0
	if a.failed == nil {
		return nil
	}
	s.note("%s ended with: %v", a.name, a.failed)
	if !r.gentle() && !a.failedAt.Before(killed) && rig.Gone(a.failed) {
		return nil
	}
	if r.fillsOurs() && errors.Is(a.failed, syscall.ENOSPC) {
		return nil
	}
	if s.plan.synced && r.troubles() && a.failedSync && errors.Is(a.failed, syscall.EIO) {
		return nil // not on enough peers, which is what -o sync=peers is to say
	}
	return fmt.Errorf("%s: what no fault excuses: %w", a.name, a.failed)
}

// strike is how a round ends, while the actors are at work.
func (s *storm) strike(r *round) error {
	s.note("%s", r.end)
	if r.gentle() {
		return nil
	}
	var errs []error
	if r.end == "house" {
		for _, p := range s.house.peers {
			errs = append(errs, s.killPeer(p))
		}
	}
	errs = append(errs, s.measure())
	killed, err := s.house.main.Kill()
	if !killed && err == nil {
		err = errors.New("the daemon had ended by itself")
	}
	s.counts.kills++
	return errors.Join(append(errs, err)...)
}

// after brings everything up again and compares.
func (s *storm) after(r *round) error {
	h := s.house
	for i, a := range s.actors {
		a.history.covered(max(a.history.synced, s.synced[i]))
	}
	if r.end == "remount" {
		if _, err := h.main.Run("unmount", h.main.Dir, "--timeout", "20s"); err != nil && !((r.late() || r.troubles()) && notAllSafe(err)) {
			return err
		}
	}
	if r.end == "house" {
		for _, p := range h.peers {
			if err := p.start(); err != nil {
				return err
			}
		}
	}
	if r.end == "recover" {
		if err := h.recover(); err != nil {
			return err
		}
		s.counts.recoveries++
	}
	if r.end != "quiet" {
		if err := h.main.start(); err != nil {
			return err
		}
		s.note("mounted")
	}
	return nil
}

// notAllSafe says whether an unmount ended well, but not with all on peers.
func notAllSafe(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() == 3
}

// compare reads everything and looks whether it may be so.
func (s *storm) compare(recovered bool) error {
	for i, a := range s.actors {
		if err := a.begin(); err != nil {
			return err
		}
		got, err := a.ask(&call{Op: "tree"})
		if err == nil {
			err = got.err()
		}
		if err != nil {
			return fmt.Errorf("%s: read all: %w", a.name, err)
		}
		h := a.history
		lo := h.last()
		if recovered {
			lo = h.synced
		} else if a.unsure {
			lo--
		}
		step, contents, err := h.match(newFound(got.Tree), lo, h.last(), h.synced)
		if err != nil {
			return fmt.Errorf("%s: %w\nits last calls:\n%s", a.name, err, h.tail("", 25))
		}
		s.note("%s is as after step %d of %d to %d", a.name, step, lo, h.last())
		h.adopt("found so", step, contents)
		a.unsure = false
		s.synced[i] = h.synced
		if err := a.end(); err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
	}
	if recovered {
		return s.syncAll()
	}
	return nil
}
