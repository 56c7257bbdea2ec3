//go:build !windows

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hammockfs/hammock/fs/mount"
)

const (
	// drainLimit is how long an unmount waits for uploads unless it was told.
	drainLimit = 2 * time.Minute
	// busyLimit is how long an unmount waits for programs that use the folder:
	// what just looks at it has gone by then.
	busyLimit = 4 * time.Second
	// saveLimit is how long an unmount may take to save what was written, beyond
	// its own limit.
	saveLimit = 30 * time.Second
	// signalLimit is how long a node that was told to end by a signal takes to
	// unmount, programs that use the folder or not.
	signalLimit = 20 * time.Second
	// hurryEvery is how often a second unmount asks the first to hurry.
	hurryEvery = 200 * time.Millisecond
)

// Several may want to unmount: commands, a signal, somebody from outside with
// umount(8). One of them at a time has the turn; it drains and unmounts. The
// others wait for their own limit, then cut the drain short. Once the folder is
// unmounted, wait takes the turn for good and closes the node.

// turn waits until no other unmount runs, and hurries it once limit has passed.
func (m *mounted) turn(ctx context.Context, limit time.Duration) error {
	late := time.NewTimer(limit)
	defer late.Stop()
	for {
		select {
		case m.leaving <- struct{}{}:
			return nil
		case <-late.C:
			m.hurry()
			late.Reset(hurryEvery)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// errHurried is why a drain ended before its time.
var errHurried = errors.New("another command asked for the unmount at once")

func (m *mounted) hurry() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cutDrain != nil {
		m.cutDrain(errHurried)
	}
}

// busyError says who keeps a folder from being unmounted.
type busyError struct{ error }

// leave waits up to the limit for uploads and unmounts. What is only on this
// machine is an error of the kind *notSafeError, once the folder is unmounted.
func (m *mounted) leave(ctx context.Context, limit time.Duration, report func(syncReport)) error {
	if err := m.turn(ctx, limit); err != nil {
		return err
	}
	defer func() { <-m.leaving }()
	if m.isLeft() {
		return m.safety(m.unsynced())
	}
	deadline := time.Now().Add(limit)
	if err := m.save(ctx, limit+saveLimit); err != nil {
		return fmt.Errorf("%s stays mounted, for what was written could not be saved: %w", m.dir, err)
	}
	drained := m.drain(ctx, deadline, limit, report)
	if ctx.Err() != nil && !m.isLeft() {
		return fmt.Errorf("%s stays mounted: %w", m.dir, context.Cause(ctx))
	}
	switch err := m.unmount(ctx, deadline); {
	case errors.Is(err, mount.ErrElsewhere):
		return errors.Join(err, m.safety(drained))
	case err != nil:
		return err
	}
	if drained == nil { // what was written meanwhile
		drained = m.drain(ctx, deadline, limit, silent)
	}
	return m.safety(drained)
}

// unmount takes the folder away. Programs that use it have a moment to end, and
// copies in other mount namespaces the time until the deadline: those who made
// them often do not know that they have one.
func (m *mounted) unmount(ctx context.Context, deadline time.Time) error {
	busy, cancel := context.WithTimeout(ctx, busyLimit)
	defer cancel()
	err := m.server.Unmount(busy)
	if errors.Is(err, mount.ErrElsewhere) && time.Now().Before(deadline) {
		patient, cancel := context.WithDeadline(ctx, deadline)
		defer cancel()
		err = m.server.Unmount(patient)
	}
	if err != nil && !errors.Is(err, mount.ErrElsewhere) {
		return busyError{err}
	}
	return err
}

// save makes what was written survive a power cut. Where it needs bytes from
// peers for that, it does not wait for ever.
func (m *mounted) save(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not finished within %s", limit))
	defer cancel()
	return m.volume.Sync(ctx)
}

// drain syncs to peers until the deadline. With no time at all it only looks.
func (m *mounted) drain(ctx context.Context, deadline time.Time, limit time.Duration, report func(syncReport)) error {
	if limit <= 0 {
		return m.unsynced()
	}
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	m.mu.Lock()
	m.cutDrain = cut
	m.mu.Unlock()
	defer func() { m.mu.Lock(); m.cutDrain = nil; m.mu.Unlock() }()
	ctx, cancel := context.WithDeadlineCause(ctx, deadline, fmt.Errorf("not finished within %s", limit))
	defer cancel()
	return m.sync(ctx, true, report)
}

// unsynced is the error of a sync that did not wait for anything.
func (m *mounted) unsynced() error {
	stripes, _ := m.onlyHere()
	switch {
	case m.lonely():
		return errNoPeers
	case stripes > 0 || m.db.Dirty():
		return errNotSafe
	}
	return nil
}

// notSafeError says what an unmounted volume has on this machine only.
type notSafeError struct{ cause error }

func (e *notSafeError) Error() string { return e.cause.Error() }
func (e *notSafeError) Unwrap() error { return e.cause }

// safety says what an unmount leaves on this machine only.
func (m *mounted) safety(drained error) error {
	if drained == nil || errors.Is(drained, errNoPeers) || errors.Is(drained, errSolo) {
		return nil // a volume without peers is only here, as `status` says; unmounting changes nothing
	}
	what := "changes that are not published to peers are"
	if stripes, bytes := m.onlyHere(); stripes > 0 {
		what = fmt.Sprintf("%s in %d stripes are", showSize(bytes), stripes)
	}
	return &notSafeError{fmt.Errorf("%s on this machine only. They are safe here, and go out to peers when the volume is mounted again: %w", what, drained)}
}

// leaveNow unmounts because of a signal. Programs that use the folder lose it:
// what they have written is saved first.
func (m *mounted) leaveNow() error {
	ctx, cancel := context.WithTimeout(context.Background(), signalLimit)
	defer cancel()
	err := m.leave(ctx, 0, silent)
	if m.isLeft() {
		var left *notSafeError
		if errors.As(err, &left) {
			m.log.Info("unmounted", "left", err) // nobody waited for more
			return nil
		}
		return err
	}
	if errors.Is(err, mount.ErrElsewhere) {
		m.log.Warn("what another mount namespace has of the folder ends with this process, because of a signal; what was written is saved", "error", err)
		return nil
	}
	if derr := m.server.Detach(); derr != nil {
		return errors.Join(err, derr)
	}
	select {
	case <-m.server.Done():
	case <-time.After(time.Second):
	}
	m.log.Warn("the folder was taken away from programs that used it, because of a signal; what they had written is saved", "error", err)
	return nil
}

// answerUnmount is the node's side of `hammock unmount`.
func (m *mounted) answerUnmount(r *http.Request, step func(any)) (any, error) {
	if dir := r.FormValue("dir"); dir != m.dir {
		return nil, fmt.Errorf("this node has its volume mounted on %s, not on %s", m.dir, dir)
	}
	limit, err := time.ParseDuration(r.FormValue("timeout"))
	if err != nil {
		return nil, err
	}
	err = m.leave(r.Context(), max(0, limit), func(s syncReport) { step(s) })
	if !m.isLeft() {
		if busy := (busyError{}); errors.As(err, &busy) {
			err = fmt.Errorf("%w; it stays mounted. End what uses it, or leave it with `cd`, and try again", err)
		}
		return nil, err
	}
	var left *notSafeError
	if errors.As(err, &left) {
		err = exitError{err, statusNotSafe}
	} else if err == nil && m.lonely() {
		step(syncReport{Phase: "left", Result: "unmounted; no peer holds this volume, so losing this machine loses it"})
	}
	return ended{}, err
}

func (m *mounted) isLeft() bool {
	select {
	case <-m.server.Done():
		return true
	default:
		return false
	}
}

func (m *mounted) mountPoint() string { return m.dir }

// freeDead takes away the mount of a daemon that died. It says whether there
// was one.
func freeDead(dir string) (bool, error) {
	if !mount.Dead(dir) {
		return false, nil
	}
	_, err := mount.CheckPoint(dir, true)
	return true, err
}
