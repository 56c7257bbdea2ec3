package journal

import (
	"context"
	"fmt"
	"runtime"
)

// flight is one fdatasync that others may wait for.
type flight struct {
	done    chan struct{}
	waiters int
	crowded bool // there were others in the flight before
}

// Sync returns when every record up to and including upto survives a power cut. Callers that come while another's
// fdatasync runs share the next one; a caller alone does its own, without handing it to anybody. Its end of waiting by
// ctx does not undo anything. An error of the disk is final: every later Append and Sync returns it.
func (j *Journal) Sync(ctx context.Context, upto LSN) error {
	upto = min(upto, j.Last())
	for {
		if f := j.fault.Load(); f != nil {
			return f.err
		}
		if j.Synced() >= upto {
			return nil
		}
		f, mine := j.board()
		if mine {
			j.fly(f)
			continue
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return fmt.Errorf("wait for the journal's sync: %w", context.Cause(ctx))
		}
	}
}

// board returns the flight that is under way, or a new one which the caller has to fly.
func (j *Journal) board() (f *flight, mine bool) {
	j.flightMu.Lock()
	defer j.flightMu.Unlock()
	if j.flight != nil {
		j.flight.waiters++
		return j.flight, false
	}
	j.flight = &flight{done: make(chan struct{}), crowded: j.crowded}
	return j.flight, true
}

// fly syncs all that was appended until now; the outcome is in synced and fault.
func (j *Journal) fly(f *flight) {
	if f.crowded {
		// Those who were just woken with this caller are about to append: let them, so that this flight takes them all
		// along and not the half of them.
		runtime.Gosched()
	}
	j.mu.Lock()
	s, upto := j.cur, j.last
	j.mu.Unlock()
	_ = j.syncSegment(s, upto)
	j.flightMu.Lock()
	j.flight, j.crowded = nil, f.waiters > 0
	j.flightMu.Unlock()
	close(f.done)
}

// syncSegment makes the records up to upto durable, the newest of which lie in s. If s has been left behind since, then
// they are durable already and s, whose file may be closed, is not touched.
func (j *Journal) syncSegment(s *segment, upto LSN) error {
	j.syncMu.Lock()
	defer j.syncMu.Unlock()
	if f := j.fault.Load(); f != nil {
		return f.err
	}
	if j.Synced() >= upto {
		return nil
	}
	if err := s.file.SyncData(); err != nil {
		err = fmt.Errorf("the disk failed to keep the journal (sync of %s: %w): changes after record %d may be lost; "+
			"no more are taken until a restart", s.name, err, j.Synced())
		j.fault.Store(&fault{err})
		return err
	}
	j.synced.Store(uint64(upto))
	return nil
}
