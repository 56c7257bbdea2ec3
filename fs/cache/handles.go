package cache

import (
	"container/list"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/room"
)

// errGone says that a stripe was evicted while somebody was about to use it.
// Callers look the stripe up again.
var errGone = errors.New("stripe was evicted")

// handles keeps the files of stripes open, the least recently used of them
// being closed when there are too many. Safe for concurrent use; files are
// opened and closed outside of the lock.
type handles struct {
	fs       vfs.FS
	dir      string
	limit    int
	patience time.Duration // how long an open waits for a descriptor

	mu  sync.Mutex // guards all below, stripe.handle, and the fields of handle
	lru list.List  // of *handle, most recently used first
}

type handle struct {
	vfs.File
	stripe *stripe
	refs   int
	elem   *list.Element // nil: no longer in the list, closed with its last ref
}

// acquire returns the open file of s, made when missing. Each acquire is
// followed by one release.
func (h *handles) acquire(s *stripe) (*handle, error) {
	if hd := h.cached(s); hd != nil {
		return hd, nil
	}
	if s.gone.Load() {
		return nil, errGone
	}
	path := h.fs.PathJoin(h.dir, s.name)
	f, err := h.open(path)
	if err != nil {
		return nil, fmt.Errorf("open stripe file %s: %w", s.name, err)
	}
	hd := h.keep(s, f)
	if s.gone.Load() {
		// Evicted meanwhile: the open may have made the file anew.
		h.drop(s)
		h.release(hd)
		_ = h.fs.Remove(path)
		return nil, errGone
	}
	return hd, nil
}

// scarceLimit is for how long an open waits while this process, or the system,
// has no descriptor left; scarcePoll is how often it tries.
const (
	scarceLimit = 5 * time.Second
	scarcePoll  = 10 * time.Millisecond
)

// open opens a file. Where no descriptor is left it closes idle files, and when
// there are none either it waits: others give theirs back.
func (h *handles) open(path string) (vfs.File, error) {
	for until := time.Now().Add(h.patience); ; {
		f, err := h.fs.OpenReadWrite(path, "stripes")
		switch {
		case !room.Scarce(err):
			return f, err
		case h.shed():
		case time.Now().After(until):
			return nil, err
		default:
			time.Sleep(scarcePoll)
		}
	}
}

// shed closes half of the files that nobody uses just now. false: there are none.
func (h *handles) shed() bool {
	h.mu.Lock()
	var idle []*handle
	for e := h.lru.Back(); e != nil; {
		hd := e.Value.(*handle)
		e = e.Prev()
		if hd.refs == 0 {
			idle = append(idle, hd)
		}
	}
	idle = idle[:(len(idle)+1)/2]
	for _, hd := range idle {
		h.detach(hd)
	}
	h.mu.Unlock()
	for _, hd := range idle {
		_ = hd.Close()
	}
	return len(idle) > 0
}

func (h *handles) cached(s *stripe) *handle {
	h.mu.Lock()
	defer h.mu.Unlock()
	hd := s.handle
	if hd != nil {
		hd.refs++
		h.lru.MoveToFront(hd.elem)
	}
	return hd
}

// keep enters f as the file of s, or closes it when another goroutine was
// faster, and returns the handle with one ref taken.
func (h *handles) keep(s *stripe, f vfs.File) *handle {
	h.mu.Lock()
	if hd := s.handle; hd != nil {
		hd.refs++
		h.mu.Unlock()
		_ = f.Close()
		return hd
	}
	hd := &handle{File: f, stripe: s, refs: 1}
	hd.elem = h.lru.PushFront(hd)
	s.handle = hd
	var idle []*handle
	for h.lru.Len() > h.limit {
		if old := h.detach(h.lru.Back().Value.(*handle)); old != nil {
			idle = append(idle, old)
		}
	}
	h.mu.Unlock()
	for _, old := range idle {
		_ = old.Close()
	}
	return hd
}

// detach takes hd out of the list and returns it if the caller must close it.
func (h *handles) detach(hd *handle) *handle {
	h.lru.Remove(hd.elem)
	hd.elem, hd.stripe.handle = nil, nil
	if hd.refs > 0 {
		return nil
	}
	return hd
}

func (h *handles) release(hd *handle) {
	h.mu.Lock()
	hd.refs--
	last := hd.refs == 0 && hd.elem == nil
	h.mu.Unlock()
	if last {
		_ = hd.Close()
	}
}

// drop forgets the open file of s; users of it finish with it.
func (h *handles) drop(s *stripe) {
	h.mu.Lock()
	var idle *handle
	if s.handle != nil {
		idle = h.detach(s.handle)
	}
	h.mu.Unlock()
	if idle != nil {
		_ = idle.Close()
	}
}

// close drops all.
func (h *handles) close() {
	for {
		h.mu.Lock()
		back := h.lru.Back()
		h.mu.Unlock()
		if back == nil {
			return
		}
		h.drop(back.Value.(*handle).stripe)
	}
}
