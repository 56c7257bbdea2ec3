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
)

const (
	// waitLimit is how long one request waits for data that is not here.
	waitLimit = 30 * time.Second
	// killPoll is how often an interrupted request asks whether its caller is
	// being killed: the kernel interrupts each request only once, maybe for a
	// harmless signal that came first.
	killPoll = 100 * time.Millisecond
)

var (
	errKilled  = errors.New("the program that asked is being killed")
	errTooLate = errors.New("data did not arrive within " + waitLimit.String())
)

// request is the context of one FUSE request that may wait for the network. It
// ends when the caller is being killed, at waitLimit, or with the server. A
// watcher is only started when somebody waits: most requests never do.
type request struct {
	context.Context // the server's
	cancel          <-chan struct{}
	pid             uint32
	deadline        time.Time
	killed          func(pid uint32) bool

	mu       sync.Mutex
	done     chan struct{} // these three are made with the watcher
	finished chan struct{}
	gone     chan struct{}
	err      error
}

// request returns a context for a request that only reads. end must be called when
// the request has been served.
func (s *Server) request(cancel <-chan struct{}, h *fuse.InHeader) *request {
	return &request{Context: s.ctx, cancel: cancel, pid: h.Pid, deadline: time.Now().Add(waitLimit), killed: beingKilled}
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
func (r *request) Deadline() (time.Time, bool) { return r.deadline, true }

// Done implements context.Context.
func (r *request) Done() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil {
		r.done, r.finished, r.gone = make(chan struct{}), make(chan struct{}), make(chan struct{})
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
	err := r.reason()
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
	late := time.NewTimer(time.Until(r.deadline))
	defer late.Stop()
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
