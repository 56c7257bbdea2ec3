package placement

import (
	"math"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// queue is what there is to do. Uploads go by class, index first (a stripe without its index is lost), then in the order
// of arrival; one repair runs beside them, most endangered first. Placer.mu guards it.
type queue struct {
	items     map[uint64]*item // uploads, by stripe
	repairs   map[uint64]*item
	order     uint64
	uploading int
	repairing int
	bytes     int64
}

// item is one stripe to upload or to repair.
type item struct {
	stripe  uint64
	class   uint8
	repair  bool
	size    int // bytes of payload, of a repair those to rebuild; 0: not known yet
	spare   int // of a repair: how many more losses it takes, as far as it is known
	order   uint64
	active  bool
	again   bool      // asked for again while active
	look    bool      // of a repair: ask the stores, do not only complete what is known to be missing
	due     time.Time // not before
	backoff *backoff.ExponentialBackOff
	err     error            // of the last try
	reasons map[uint32]error // stores that failed in the last try
}

// repairWorkers is how many stripes are repaired at once.
const repairWorkers = 2

func newQueue() queue { return queue{items: map[uint64]*item{}, repairs: map[uint64]*item{}} }

func (q *queue) add(stripe uint64, class uint8, size int, due time.Time) {
	if q.items[stripe] != nil {
		return
	}
	q.order++
	q.items[stripe] = &item{stripe: stripe, class: class, size: size, order: q.order, due: due,
		backoff: newBackoff(time.Second, 2*time.Minute)}
	q.bytes += int64(size)
}

func (q *queue) addRepair(stripe uint64, spare int, due time.Time, look bool) {
	if it := q.repairs[stripe]; it != nil {
		it.spare, it.look = min(it.spare, spare), it.look || look
		it.again = it.active
		if due.Before(it.due) {
			it.due = due
		}
		return
	}
	q.order++
	q.repairs[stripe] = &item{stripe: stripe, repair: true, spare: spare, look: look, order: q.order, due: due,
		backoff: newBackoff(10*time.Second, 10*time.Minute)}
}

func newBackoff(first, most time.Duration) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier, b.RandomizationFactor = first, most, 2, 0
	b.Reset()
	return b
}

// spread makes a wait up to a half shorter or longer, so that what failed together is not tried together. It is no more
// random than the clock: what happens the same way again is done the same way again, which a simulation relies on.
func spread(wait time.Duration, stripe uint64, now time.Time) time.Duration {
	part := float64(mix(stripe^uint64(now.UnixNano()))>>11) / (1 << 53)
	return time.Duration(float64(wait) * (0.5 + part))
}

// next starts the item that is most urgent, if there is a worker for it; else it says how long until one is due.
func (q *queue) next(now time.Time, workers int, placeable bool) (*item, time.Duration) {
	wait := time.Duration(math.MaxInt64)
	var best *item
	consider := func(it *item, before func(a, b *item) bool) {
		switch {
		case it.active:
		case it.due.After(now):
			wait = min(wait, it.due.Sub(now))
		case best == nil || before(it, best):
			best = it
		}
	}
	if q.uploading < workers && placeable {
		for _, it := range q.items {
			consider(it, sooner)
		}
	}
	if best == nil && q.repairing < repairWorkers {
		for _, it := range q.repairs {
			consider(it, worse)
		}
	}
	if best != nil {
		q.start(best)
	}
	return best, wait
}

// idle says whether no repair is under way or due.
func (q *queue) idle(now time.Time) bool {
	for _, it := range q.repairs {
		if it.active || !it.due.After(now) {
			return false
		}
	}
	return true
}

// repairBytes is what repairs will put, as far as it is known.
func (q *queue) repairBytes() (n int64) {
	for _, it := range q.repairs {
		n += int64(it.size)
	}
	return n
}

// busy says whether an upload is under way, or would be if a worker were free.
func (q *queue) busy(now time.Time, placeable bool) bool {
	if q.uploading > 0 {
		return true
	}
	if !placeable {
		return false
	}
	for _, it := range q.items {
		if !it.active && !it.due.After(now) {
			return true
		}
	}
	return false
}

func (q *queue) start(it *item) {
	it.active, it.again = true, false
	if it.repair {
		q.repairing++
	} else {
		q.uploading++
	}
}

func sooner(a, b *item) bool {
	if a.class != b.class {
		return a.class > b.class
	}
	return a.order < b.order
}

func worse(a, b *item) bool {
	if x, y := a.danger(), b.danger(); x != y {
		return x < y
	}
	return a.order < b.order
}

// unreadable is the danger of a stripe that cannot be read now: hardly anything can be done for it, and it is to hold up
// nothing for which something can.
const unreadable = MaxShards + 1

// danger orders repairs, the smallest first.
func (it *item) danger() int {
	if it.spare < 0 {
		return unreadable
	}
	return min(it.spare, MaxShards)
}

func (q *queue) end(it *item) {
	it.active = false
	if it.repair {
		q.repairing--
	} else {
		q.uploading--
	}
}

// done takes an item that is active out.
func (q *queue) done(it *item) {
	q.end(it)
	switch {
	case it.repair && it.again:
		it.again, it.due = false, time.Time{}
	case it.repair:
		delete(q.repairs, it.stripe)
	default:
		delete(q.items, it.stripe)
		q.bytes -= int64(it.size)
	}
}

// retry puts an item that is active back.
func (q *queue) retry(it *item, err error, now time.Time) {
	q.end(it)
	it.err, it.look = err, it.look && (err != nil || it.again)
	it.due = now.Add(spread(it.backoff.NextBackOff(), it.stripe, now))
}

// hurry makes everything due and forgets how long the tries have failed.
func (q *queue) hurry() {
	for _, m := range []map[uint64]*item{q.items, q.repairs} {
		for _, it := range m {
			it.due = time.Time{}
			it.backoff.Reset()
		}
	}
}

// uploads are the uploads of now; still those of them that are not done.
func (q *queue) uploads() map[uint64]*item {
	m := make(map[uint64]*item, len(q.items))
	for k, v := range q.items {
		m[k] = v
	}
	return m
}

func (q *queue) still(want map[uint64]*item) map[uint64]*item {
	for k, v := range want {
		if q.items[k] != v {
			delete(want, k)
		}
	}
	return want
}
