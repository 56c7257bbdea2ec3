package uring

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Capability is the flag of INIT by which both sides say that they will use
// this (FUSE_OVER_IO_URING). A kernel that has heard it of us asks nothing until
// the entries are there, or could not be made: so Probe comes first.
const Capability = 1 << 41

const (
	// parameter is the file by which the administrator lets FUSE use io_uring.
	parameter = "/sys/module/fuse/parameters/enable_uring"
	possible  = "/sys/devices/system/cpu/possible"

	// maxQueues is for how many processors there are queues: each has entries of
	// its own, of a thread and the memory of a request.
	maxQueues = 64
	// allEntries is how many requests are served at once, as far as a queue then
	// has neither fewer than minEntries nor more than maxEntries.
	allEntries             = 128
	minEntries, maxEntries = 8, 32
)

// Handler serves a request. in is what a read of the device would have given, in
// three pieces: the header, the operation's own fields, and the rest; out takes
// what would have been written to it. The memory of both is the same, so what is
// still needed of in when out is written must have been copied. It returns how many
// bytes were written; a request without an answer is answered with EIO. Several
// calls run at once, each on a thread that is bound to the processor of whoever
// asked.
type Handler func(in, out [][]byte) int

// Allow sees to it that the next mount of this process may use io_uring, until
// restore is called: once its INIT has been answered, the parameter is nothing to
// it any more. Where the administrator has not switched it on for everybody, root
// does so for this mount, from the Linux on that has had it for long enough
// (6.18). The error is a sentence of what would help.
func Allow() (restore func(), err error) {
	b, err := os.ReadFile(parameter)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("this kernel has no FUSE over io_uring (Linux has it from 6.14 on)")
	case err != nil:
		return nil, fmt.Errorf("may FUSE use io_uring? %w", err)
	case strings.TrimSpace(string(b)) == "Y":
		return func() {}, nil
	case !mature():
		return nil, errors.New("FUSE over io_uring is switched off in this kernel (as root: echo Y > " + parameter + ")")
	}
	if err := os.WriteFile(parameter, []byte("Y"), 0); err != nil {
		return nil, fmt.Errorf("FUSE over io_uring is switched off in this kernel, and only root can switch it on (echo Y > %s): %w", parameter, err)
	}
	return func() { _ = os.WriteFile(parameter, []byte("N"), 0) }, nil
}

// mature says whether this is Linux 6.18 or later.
func mature() bool {
	var u unix.Utsname
	var major, minor int
	if unix.Uname(&u) != nil {
		return false
	}
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > 6 || major == 6 && minor >= 18
}

// Entries is how many requests each processor's queue serves at once; zero if
// there are too many processors.
func Entries() int {
	n, err := processors()
	if err != nil || n > maxQueues {
		return 0
	}
	return min(max(allEntries/n, minEntries), maxEntries)
}

// processors is how many there may ever be, as the kernel counts its queues.
func processors() (int, error) {
	b, err := os.ReadFile(possible)
	if err != nil {
		return 0, fmt.Errorf("count processors: %w", err)
	}
	list := strings.TrimSpace(string(b))
	last, err := strconv.Atoi(list[strings.LastIndexAny(list, "-,")+1:])
	if err != nil {
		return 0, fmt.Errorf("count processors: %w", err)
	}
	return last + 1, nil
}

// Queues are all entries of a connection, each a thread.
type Queues struct {
	per     int // entries of each queue
	all     int // of all
	entries sync.WaitGroup
	made    chan error
	jobs    chan job      // one for each entry; closed: there is nothing to do
	known   chan known    // what came of each
	begin   chan struct{} // closed when the kernel knows the entries
	useless bool          // it does not know enough of them; to be read when begin is closed

	mu   sync.Mutex
	errs []error // guarded by mu
}

type job struct {
	device int
	handle Handler
}

type known struct {
	queue int
	err   error
}

// New makes queues that no kernel knows yet, so that what forbids that is known
// before the kernel is told that there will be some. payload is how many bytes a
// request or an answer may have beside its headers: the largest write. Either Start
// or Close must follow.
func New(payload int) (*Queues, error) {
	n, err := processors()
	if err != nil {
		return nil, err
	}
	if n > maxQueues {
		return nil, fmt.Errorf("this machine has room for more than %d processors", maxQueues)
	}
	per := Entries()
	q := &Queues{per: per, all: n * per, made: make(chan error), jobs: make(chan job), known: make(chan known), begin: make(chan struct{})}
	for queue := range n {
		for range q.per {
			q.entries.Go(func() { q.entry(queue, payload) })
		}
	}
	var errs []error
	for range q.all {
		errs = append(errs, <-q.made)
	}
	if err := errors.Join(errs...); err != nil {
		q.Close()
		return nil, err
	}
	return q, nil
}

// Close ends queues that have not been started.
func (q *Queues) Close() {
	close(q.jobs)
	q.entries.Wait()
}

// Start makes the queues known to the kernel, and begins to serve. device is a
// file descriptor of /dev/fuse whose INIT has been answered. If it fails, nothing is
// served by the queues, which have ended then, and the device has all requests.
func (q *Queues) Start(device int, h Handler) error {
	for range q.all {
		q.jobs <- job{device, h}
	}
	entries := map[int]int{}
	var errs []error
	for range q.all {
		k := <-q.known
		if errs = append(errs, k.err); k.err == nil {
			entries[k.queue]++
		}
	}
	// The kernel uses its queues when each has an entry, and never if one of them
	// has had none but errors.
	q.useless = len(entries)*q.per < q.all
	close(q.begin)
	if q.useless {
		q.entries.Wait()
		return errors.Join(errs...)
	}
	return nil
}

// entry is the life of an entry. Its thread, which is bound to a processor, ends
// with it.
func (q *Queues) entry(queue, payload int) {
	runtime.LockOSThread()
	e, err := newEntry(queue, payload)
	q.made <- err
	if err != nil {
		return
	}
	defer e.close()
	j, ok := <-q.jobs
	if !ok {
		return
	}
	err = e.register(j.device)
	q.known <- known{queue, err}
	if <-q.begin; err != nil || q.useless {
		return
	}
	e.bind(true)
	if err := e.serve(j.handle); err != nil {
		q.mu.Lock()
		q.errs = append(q.errs, err)
		q.mu.Unlock()
	}
}

// Wait returns when the connection has ended and all that was asked has been
// served. An error says what else ended an entry.
func (q *Queues) Wait() error {
	q.entries.Wait()
	q.mu.Lock()
	defer q.mu.Unlock()
	return errors.Join(q.errs...)
}
