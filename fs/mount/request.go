package mount

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/hammockfs/hammock/fs/volume"
)

const (
	// waitLimit is how long one request waits for data that is not here, unless
	// Config says otherwise.
	waitLimit = 30 * time.Second
	// killPoll is how often an interrupted request asks whether its caller is
	// being killed: the kernel interrupts each request only once, maybe for a
	// harmless signal that came first.
	killPoll = 100 * time.Millisecond
)

var (
	errKilled  = errors.New("the program that asked is being killed")
	errTooLate = errors.New("the data did not arrive in time")
)

// request is the context of one FUSE request that may wait for the network. It
// ends when the caller is being killed, at its deadline, or with the server. A
// watcher is only started when somebody waits: most requests never do.
type request struct {
	context.Context // the server's
	cancel          <-chan struct{}
	pid             uint32
	until           time.Time // it does not wait for stores any longer
	patient         bool      // but for what is here it does
	crowd           *crowd    // with whom it waits for a turn; nil for most
	killed          func(pid uint32) bool

	mu       sync.Mutex
	done     chan struct{} // these four are made with the watcher
	finished chan struct{}
	gone     chan struct{}
	crowded  chan struct{}
	err      error
}

// request returns a context for a request that only reads. end must be called when
// the request has been served.
func (s *Server) request(cancel <-chan struct{}, h *fuse.InHeader) *request {
	return &request{Context: s.ctx, cancel: cancel, pid: h.Pid, until: time.Now().Add(s.limit), killed: beingKilled}
}

// patient returns a context for a request that changes something. It waits for
// stores no longer than one that reads, however many others were before it at the
// same file or folder, but it gives the disk of this machine all the time.
func (s *Server) patient(cancel <-chan struct{}, h *fuse.InHeader) *request {
	r := s.request(cancel, h)
	r.patient = true
	return r
}

// lasting returns a context for what is done though the caller is being killed, like
// close(2): the bytes were taken from him. It ends with the server, and waits for
// stores no longer than a request does in all; what cannot be committed then is
// tried again later.
func (s *Server) lasting() context.Context {
	return context.WithValue(s.ctx, volume.StoresUntil, time.Now().Add(s.limit))
}

// Value tells those who ask stores how long they may take.
func (r *request) Value(key any) any {
	if key == volume.StoresUntil {
		return r.until
	}
	return r.Context.Value(key)
}

// end stops the watcher if there is one, and waits for it.
func (r *request) end() {
	r.mu.Lock()
	finished, gone := r.finished, r.gone
	r.mu.Unlock()
	if finished != nil {
		close(finished)
		<-gone
	}
}

// Deadline implements context.Context.
func (r *request) Deadline() (time.Time, bool) {
	if r.patient {
		return time.Time{}, false
	}
	return r.until, true
}

// Done implements context.Context.
func (r *request) Done() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil {
		r.done, r.finished, r.gone, r.crowded = make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
		go r.watch()
	}
	return r.done
}

// Err implements context.Context.
func (r *request) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	return r.Context.Err()
}

// watch closes done when the request must not wait any longer. It ends with the
// request.
func (r *request) watch() {
	defer close(r.gone)
	r.crowd.enter(r)
	err := r.reason()
	r.crowd.leave(r, err == nil)
	if err == nil {
		return
	}
	r.mu.Lock()
	r.err = err
	r.mu.Unlock()
	close(r.done)
}

// reason waits for an end of the wait; nil if the request was served first.
func (r *request) reason() error {
	late := time.NewTimer(time.Until(r.until))
	defer late.Stop()
	if r.patient {
		late.Stop()
	}
	poll := time.NewTicker(killPoll)
	poll.Stop()
	defer poll.Stop()
	cancel := r.cancel
	for {
		select {
		case <-cancel:
			cancel = nil
			if r.killed(r.pid) {
				return errKilled
			}
			poll.Reset(killPoll)
		case <-poll.C:
			if r.killed(r.pid) {
				return errKilled
			}
		case <-late.C:
			return errTooLate
		case <-r.crowded:
			return errCrowded
		case <-r.Context.Done():
			return r.Context.Err()
		case <-r.finished:
			return nil
		}
	}
}

// beingKilled reports whether a signal that cannot be survived waits for the
// thread. The kernel turns every signal that ends a process, a Ctrl-C without a
// handler too, into SIGKILL for each of its threads. A caller that is not in our
// process namespace has number 0 and is never taken to be killed.
func beingKilled(tid uint32) bool {
	if tid == 0 {
		return false
	}
	b, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(tid), 10) + "/status")
	return err == nil && pendingKill(string(b))
}

// pendingKill looks for SIGKILL (9: bit 8) in the two sets of pending signals.
func pendingKill(status string) bool {
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		if name != "SigPnd" && name != "ShdPnd" {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err == nil && set&(1<<8) != 0 {
			return true
		}
	}
	return false
}
