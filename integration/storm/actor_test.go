package storm

import (
	"encoding/gob"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// answerLimit is the longest that a call may take. Reads that need peers wait for
// 30 s at most, a close for what it has to write.
const answerLimit = 2 * time.Minute

// errHung is a call that had no answer for so long.
var errHung = errors.New("a call has no answer, and its time is up")

// actor is a worker process, what it is made to do, and the history of that.
type actor struct {
	name string
	dir  string
	r    *rand.Rand
	bin  string

	mu      sync.Mutex // guards history against a sync that asks how far it is
	history *history

	cmd     *exec.Cmd
	calls   *gob.Encoder
	answers *gob.Decoder
	stop    func()
	handles map[int]*handle
	next    int // number of the next handle
	made    int // number of the next name
	failed  error
	done    int // calls that returned well

	syncing    func() func() // under sync=peers: notes what an fsync covers once it has returned
	failedSync bool          // what failed was an fsync

	failedAt time.Time // or when it was told to stop
	unsure   bool      // the last step may not have happened
}

// handle is a file that the worker has open.
type handle struct {
	id     int
	name   string
	append bool
}

// begin starts the worker, without anything open.
func (a *actor) begin() error {
	cmd := exec.Command(a.bin)
	cmd.Env = append(os.Environ(), workIn+"="+a.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start a worker: %w", err)
	}
	a.cmd, a.calls, a.answers = cmd, gob.NewEncoder(in), gob.NewDecoder(out)
	a.handles, a.failed = map[int]*handle{}, nil
	a.stop = func() { in.Close() }
	return nil
}

// end lets the worker end. It must not wait for the mount any more.
func (a *actor) end() error {
	if a.cmd == nil {
		return nil
	}
	a.stop()
	kill := time.AfterFunc(answerLimit, func() { _ = a.cmd.Process.Kill() })
	defer kill.Stop()
	err := a.cmd.Wait()
	a.cmd = nil
	return err
}

// ask has the worker make one call.
func (a *actor) ask(c *call) (*answer, error) {
	late := make(chan struct{})
	kill := time.AfterFunc(answerLimit, func() { close(late); _ = a.cmd.Process.Kill(); a.stop() })
	defer kill.Stop()
	var got answer
	err := a.calls.Encode(c)
	if err == nil {
		err = a.answers.Decode(&got)
	}
	select {
	case <-late:
		return nil, fmt.Errorf("%s: %s: %w", a.name, c, errHung)
	default:
	}
	if err != nil {
		return nil, fmt.Errorf("%s: the worker: %w", a.name, err)
	}
	return &got, nil
}

// do makes a call and notes what it did; false ends what the actor is at, for
// the call failed and nobody knows how much of it was done.
func (a *actor) do(c call) bool {
	if a.failed != nil {
		return false
	}
	covered := func() {}
	if a.syncing != nil && c.syncs() {
		covered = a.syncing()
	}
	got, err := a.ask(&c)
	if err == nil {
		err = got.err()
	}
	if err == nil {
		covered()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.failed = fmt.Errorf("%s: %w", &c, err)
		a.note(&c, c.all(), "?")
		a.unsure, a.failedSync = true, c.syncs()
		return false
	}
	n := c.all()
	if c.Op == "write" || c.Op == "append" || c.Op == "copyrange" {
		n = got.N
	}
	a.note(&c, n, "")
	if c.acks() {
		a.history.ack(a.target(&c))
	}
	if c.Op == "close" {
		delete(a.handles, c.Handle)
	}
	a.done++
	return true
}

// moment is how far the actor is: what a sync that begins now covers.
func (a *actor) moment() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.unsure {
		return a.history.last() - 1
	}
	return a.history.last()
}
