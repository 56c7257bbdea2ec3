package wire

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// fair is a weighted semaphore that is shared out evenly among owners, however
// many requests each of them has waiting: whoever has been given least is next
// (start-time fair queueing). So one owner's flood takes no more than his part
// once somebody else asks. Safe for concurrent use.
type fair struct {
	total int64         // to be held at once
	own   int64         // by one owner; less where others hold something or wait
	grace time.Duration // how long others may hold more than their part while one waits; 0: for ever
	// floor is what an owner may hold even where nobody else wants as much; 0: his
	// part, always. What is held is worked on at the same time, by the same disk
	// and processors, so who holds more gets more of those.
	floor int64

	mu    sync.Mutex
	held  int64                    // guarded by mu, like all below
	now   int64                    // virtual time: when whoever was served last began
	lines map[crypt.OwnerKey]*line // of everybody ever served; members are few
}

// line is one owner's.
type line struct {
	held    int64
	until   int64 // virtual time by which what he was given is used up
	holds   []*hold
	waiting []*hold
	wanted  int64     // the most that he held and waited for lately
	at      time.Time // when that was
}

// lately is how long it counts what an owner wanted: between two requests he is
// not gone.
const lately = 100 * time.Millisecond

// wants is what an owner holds and waits for, or did a moment ago.
func (l *line) wants(now time.Time) int64 {
	n := l.held
	for _, h := range l.waiting {
		n += h.n
	}
	if n >= l.wanted || now.Sub(l.at) > lately {
		return n
	}
	return l.wanted
}

// hold is a part of the total that somebody has or waits for.
type hold struct {
	n     int64
	since time.Time
	cut   func() // ends what it is held for; may be nil
	ready chan struct{}
}

func newFair(total, own int64, grace time.Duration) *fair {
	return &fair{total: total, own: min(own, total), grace: grace, lines: map[crypt.OwnerKey]*line{}}
}

// acquire waits for n, which the caller gives back with release. cut is called,
// once, when the owner holds more than his part and others have waited for
// theirs.
func (f *fair) acquire(ctx context.Context, owner crypt.OwnerKey, n int64, cut func()) (release func(), err error) {
	h := &hold{n: min(n, f.own), cut: cut, ready: make(chan struct{})}
	f.mu.Lock()
	l := f.lines[owner]
	if l == nil {
		l = &line{}
		f.lines[owner] = l
	}
	l.waiting = append(l.waiting, h)
	now := time.Now()
	l.wanted, l.at = l.wants(now), now
	f.serve()
	f.mu.Unlock()
	release = sync.OnceFunc(func() { f.release(l, h) })
	if err := f.await(ctx, l, h); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

func (f *fair) await(ctx context.Context, l *line, h *hold) error {
	var late <-chan time.Time
	if f.grace > 0 {
		t := time.NewTicker(f.grace)
		defer t.Stop()
		late = t.C
	}
	for {
		select {
		case <-h.ready:
			return nil
		default:
		}
		select {
		case <-h.ready:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-late:
			f.press(l, h)
		}
	}
}

// serve gives to those that wait, in order, what there is. It needs f.mu.
func (f *fair) serve() {
	p := f.parts()
	for {
		var next *line
		for _, l := range f.lines {
			if len(l.waiting) > 0 && l.fits(p.of(l)) && (next == nil || l.until < next.until) {
				next = l
			}
		}
		// Who is first is waited for: else many small ones would keep a large one
		// out for ever.
		if next == nil || f.held+next.waiting[0].n > f.total {
			return
		}
		h := next.waiting[0]
		next.waiting = next.waiting[1:]
		f.now = max(f.now, next.until)
		next.until = f.now + h.n
		next.held += h.n
		f.held += h.n
		h.since = time.Now()
		next.holds = append(next.holds, h)
		close(h.ready)
	}
}

// fits says whether what is first in line would leave an owner within his part,
// or is all that he has.
func (l *line) fits(part int64) bool { return l.held == 0 || l.held+l.waiting[0].n <= part }

// parts is what each owner may hold now.
type parts struct {
	most          int64 // anybody
	floor         int64
	first, second int64 // the largest wishes of two owners
	greedy        *line // whose wish the first is
}

// parts needs f.mu.
func (f *fair) parts() parts {
	p := parts{floor: f.floor}
	active, now := int64(0), time.Now()
	for _, l := range f.lines {
		n := l.wants(now)
		if n > 0 {
			active++
		}
		if n > p.first {
			p.first, p.second, p.greedy = n, p.first, l
		} else {
			p.second = max(p.second, n)
		}
	}
	p.most = min(f.own, f.total/max(1, active))
	if active < 2 {
		p.floor = 0
	}
	return p
}

// of is less than somebody else wants, where anybody wants anything: so that the
// other gets the half that is his, whatever is lost on the way.
func (p *parts) of(l *line) int64 {
	if p.floor == 0 {
		return p.most
	}
	others := p.first
	if l == p.greedy {
		others = p.second
	}
	return min(p.most, max(p.floor, others/4*3))
}

// release gives back what is held, or no longer waits.
func (f *fair) release(l *line, h *hold) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.Index(l.waiting, h); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	} else if i := slices.Index(l.holds, h); i >= 0 {
		l.holds = slices.Delete(l.holds, i, i+1)
		l.held -= h.n
		f.held -= h.n
	}
	f.serve()
}

// press makes room for one that has waited for long and has less than its part:
// the oldest hold of an owner who has more than his is cut.
func (f *fair) press(l *line, h *hold) {
	f.mu.Lock()
	cut := f.victim(l, h)
	f.mu.Unlock()
	if cut != nil {
		cut()
	}
}

// victim needs f.mu.
func (f *fair) victim(waits *line, h *hold) (cut func()) {
	part := f.parts().most
	if !slices.Contains(waits.waiting, h) || !waits.fits(part) {
		return nil
	}
	var oldest *hold
	for _, l := range f.lines {
		if l == waits || l.held <= part {
			continue
		}
		for _, o := range l.holds {
			if o.cut != nil && time.Since(o.since) >= f.grace && (oldest == nil || o.since.Before(oldest.since)) {
				oldest = o
			}
		}
	}
	if oldest == nil {
		return nil
	}
	cut, oldest.cut = oldest.cut, nil
	return cut
}
