package model

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// WorkIn is the environment variable that makes a test binary a worker in the
// folder that it names. The binary's TestMain calls Work first.
const WorkIn = "HAMMOCK_MODEL_WORKER"

// Work is what a worker does: the calls that come in, until there are no more.
// It returns at once if this process is none.
func Work() {
	dir := os.Getenv(WorkIn)
	if dir == "" {
		return
	}
	syscall.Umask(0)
	err := serve(NewFolder(dir, false), os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(d *Folder, in io.Reader, out io.Writer) error {
	calls, results := gob.NewDecoder(in), gob.NewEncoder(out)
	for {
		var c Call
		if err := calls.Decode(&c); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read a call: %w", err)
		}
		if err := results.Encode(d.Do(&c)); err != nil {
			return fmt.Errorf("answer %s: %w", c.Op, err)
		}
	}
}

// Workers are processes that use one folder, each with what it has open.
type Workers struct {
	dir   string
	procs map[int]*worker
}

// worker is one of them.
type worker struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	calls   *gob.Encoder
	results chan *Result
}

// NewWorkers uses a folder; processes start as calls come for them.
func NewWorkers(dir string) *Workers { return &Workers{dir: dir, procs: map[int]*worker{}} }

// callLimit ends a worker whose call does not return: a daemon that is gone
// must not keep a test from ending.
const callLimit = 2 * time.Minute

// Can implements FS.
func (w *Workers) Can(op Op) bool { return folderCalls[op] != nil }

// Do implements FS. A worker that does not answer is ETIMEDOUT, one that has
// died EPIPE.
func (w *Workers) Do(c *Call) *Result {
	if c.Op == Exit {
		w.end(c.By)
		return &Result{}
	}
	p, err := w.worker(c.By)
	if err == nil {
		err = p.calls.Encode(c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		w.end(c.By)
		return &Result{Errno: syscall.EPIPE}
	}
	limit := time.NewTimer(callLimit)
	defer limit.Stop()
	select {
	case r := <-p.results:
		if r == nil {
			w.end(c.By)
			return &Result{Errno: syscall.EPIPE}
		}
		return r
	case <-limit.C:
		w.end(c.By)
		return &Result{Errno: syscall.ETIMEDOUT}
	}
}

// worker is the process of a number, started if it is not there.
func (w *Workers) worker(n int) (*worker, error) {
	if p := w.procs[n]; p != nil {
		return p, nil
	}
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), WorkIn+"="+w.dir)
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = 10 * time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a worker: %w", err)
	}
	p := &worker{cmd: cmd, in: in, calls: gob.NewEncoder(in), results: make(chan *Result)}
	go p.answers(out)
	w.procs[n] = p
	return p, nil
}

// answers hands on what a worker answers, and closes the channel when it ends.
func (p *worker) answers(out io.Reader) {
	defer close(p.results)
	for d := gob.NewDecoder(out); ; {
		r := &Result{}
		if d.Decode(r) != nil {
			return
		}
		p.results <- r
	}
}

// endLimit bounds how long a killed worker may take to end: one that a daemon
// owes an answer ends only with the mount.
const endLimit = 30 * time.Second

// end kills a worker and returns when it is gone, with all that it had open
// closed.
func (w *Workers) end(n int) {
	p := w.procs[n]
	if p == nil {
		return
	}
	delete(w.procs, n)
	_ = p.cmd.Process.Kill()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for range p.results { // so that its pipe is read to the end before it is waited for
		}
		_ = p.cmd.Wait()
	}()
	limit := time.NewTimer(endLimit)
	defer limit.Stop()
	select {
	case <-gone:
	case <-limit.C:
		fmt.Fprintln(os.Stderr, "worker: one that was killed does not end")
	}
}

// End kills all workers.
func (w *Workers) End() {
	for n := range w.procs {
		w.end(n)
	}
}
