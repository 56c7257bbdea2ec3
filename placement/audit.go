package placement

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Records gives the records of all stripes with a number above after, in the order of their numbers, until fn says that it
// has enough or ctx ends. record is valid during the call.
type Records interface {
	Records(ctx context.Context, after uint64, fn func(stripe uint64, record []byte) (more bool)) error
}

const (
	auditLate   = 5 * time.Second // an answer to an audit that took longer is late
	auditPool   = 64              // shards of each store that wait for their audit
	auditWindow = 512             // records that are read at once to fill the pools
	auditMost   = 8               // of such windows in a row
	doubtFactor = 10              // so much oftener is a store looked at that failed lately
	watchEvery  = time.Minute     // how often it is noted which stores are online
	startGrace  = 3 * time.Minute // after a start, in which stores are expected to come
	saveEvery   = 5 * time.Minute // how often standings are kept
)

// target is a shard to audit.
type target struct {
	stripe uint64
	shard  int
}

// An auditor asks each store for a group of one of its shards now and then. Stores are asked equally often, however much they
// hold: so a newcomer is known soon. One goroutine owns it.
type auditor struct {
	p      *Placer
	pools  map[uint32][]target
	last   map[uint32]time.Time // the newest audit of a store
	cursor uint64               // where the next window of records begins; kept over a restart
	rng    *rand.Rand
}

// audits runs until ctx ends.
func (p *Placer) audits(ctx context.Context, own []byte) {
	a := &auditor{p: p, pools: map[uint32][]target{}, last: map[uint32]time.Time{}, rng: rand.New(rand.NewPCG(p.cfg.Seed, 0))}
	if len(own) == 8 {
		a.cursor = binary.BigEndian.Uint64(own)
	}
	began := p.cfg.Now()
	watch, saved := began.Add(startGrace-watchEvery), began
	for ctx.Err() == nil {
		if now := p.cfg.Now(); now.Sub(watch) >= watchEvery || now.Sub(watch) < -startGrace {
			watch = now
			p.standings.watch(p.cfg.Stores.Stores(), began)
		}
		if now := p.cfg.Now(); now.Sub(saved) >= saveEvery || now.Before(saved) {
			saved = now
			a.save(ctx)
		}
		if wait := a.next(ctx); p.standings.rest(ctx, wait) {
			saved = p.cfg.Now()
			a.save(ctx)
		}
	}
	a.save(context.WithoutCancel(ctx))
}

func (a *auditor) save(ctx context.Context) {
	err := a.p.standings.save(ctx)
	if err == nil && a.p.cfg.Notes != nil {
		err = a.p.cfg.Notes.SaveStanding(ctx, 0, binary.BigEndian.AppendUint64(nil, a.cursor))
	}
	if err != nil {
		a.p.cfg.Log.Warn("what is known of stores could not be kept; it will be learned again", "err", err)
	}
}

// next audits the store that is due, and says how long to wait for the one after it.
func (a *auditor) next(ctx context.Context) time.Duration {
	wait := min(watchEvery, a.p.cfg.AuditEvery)
	var due []uint32
	infos, now := a.p.stores(), time.Now()
	for i := range infos {
		s := &infos[i]
		if !s.Online || s.Here {
			continue
		}
		every := a.p.cfg.AuditEvery
		if s.doubtful {
			every /= doubtFactor
		}
		last, ok := a.last[s.Number]
		if !ok { // not all at once after a start
			last = now.Add(-time.Duration(a.rng.Int64N(int64(every) + 1)))
			a.last[s.Number] = last
		}
		if left := every - now.Sub(last); left <= 0 {
			due = append(due, s.Number)
		} else {
			wait = min(wait, left)
		}
	}
	if len(due) == 0 {
		return wait
	}
	store := due[a.rng.IntN(len(due))]
	a.last[store] = now
	if t, ok := a.take(ctx, store); ok {
		a.p.audit(ctx, store, t)
	}
	if len(due) > 1 {
		return 0
	}
	return wait
}

// take gives a shard that the store should hold.
func (a *auditor) take(ctx context.Context, store uint32) (target, bool) {
	whole := false // the table has been read from its beginning to its end
	for range auditMost + 1 {
		if pool := a.pools[store]; len(pool) > 0 {
			i := a.rng.IntN(len(pool))
			t := pool[i]
			a.pools[store] = append(pool[:i], pool[i+1:]...)
			return t, true
		}
		begin := a.cursor
		if whole || !a.fill(ctx) {
			break
		}
		whole = begin == 0 && a.cursor == 0
	}
	return target{}, false
}

// fill reads the next window of records into the pools; false if there was nothing in it.
func (a *auditor) fill(ctx context.Context) bool {
	n, begin, seen := 0, a.cursor, map[uint32]int{}
	err := a.p.cfg.Records.Records(ctx, a.cursor, func(stripe uint64, record []byte) bool {
		a.cursor = stripe
		n++
		if rec, err := ParseRecord(record); err == nil && rec.Placed {
			a.add(&rec, seen)
		}
		return n < auditWindow
	})
	if err != nil && ctx.Err() == nil {
		a.p.cfg.Log.Warn("look for shards to audit", "err", err)
		return false
	}
	if n < auditWindow { // the end of the table: begin again
		a.cursor = 0
	}
	return n > 0 || begin != 0
}

// add puts the shards of a stripe into the pools: each of a window with the same chance (Vitter's algorithm R). seen counts
// them by store.
func (a *auditor) add(rec *Record, seen map[uint32]int) {
	for i, s := range rec.Shards {
		if !s.Held {
			continue
		}
		pool, t := a.pools[s.Store], target{rec.Stripe, i}
		seen[s.Store]++
		if len(pool) < auditPool {
			a.pools[s.Store] = append(pool, t)
		} else if j := a.rng.IntN(max(seen[s.Store], len(pool)+1)); j < auditPool {
			pool[j] = t
		}
	}
}

// audit asks a store for a random group of a shard. What it lost or has wrong is queued for repair.
func (p *Placer) audit(ctx context.Context, store uint32, t target) {
	rec, err := p.record(ctx, t.stripe)
	if err != nil || rec == nil || !rec.Placed || t.shard >= len(rec.Shards) || rec.Shards[t.shard].Store != store || !rec.Shards[t.shard].Held {
		return // it has moved
	}
	at := p.anyGroup(rec, t.shard)
	st := p.probe(ctx, rec, place{t.shard, store}, at)
	if ctx.Err() != nil {
		return
	}
	p.standings.audited(store)
	p.stats.audits.Add(1)
	if st == stateGone || st == stateWrong {
		p.stats.auditsBad.Add(1)
		p.cfg.Log.Warn("a store failed an audit", "store", store, "stripe", t.stripe, "shard", t.shard, "why", st.String())
		p.healRead(t.stripe, p.readable(rec)-1-rec.Code.K, map[place]span{{t.shard, store}: at})
	}
}

// probe asks a store for a range of the shard that the newest record says it holds, and takes the answer into its
// standing. A late answer is late, and right all the same.
func (p *Placer) probe(ctx context.Context, rec *Record, from place, at span) state {
	start := time.Now()
	err := p.sample(ctx, rec, from, at)
	if ctx.Err() != nil {
		return stateAway
	}
	st := stateOf(err)
	switch {
	case st == stateWrong:
		p.standings.blame(from.store, eventLied, rec, from.shard)
	case st == stateGone:
		if rec.Shards[from.shard].Held {
			p.standings.blame(from.store, eventLost, rec, from.shard)
		}
	case st == stateGood && time.Since(start) < auditLate:
		p.standings.note(from.store, eventAnswered)
	case st == stateGood:
		p.standings.note(from.store, eventLate)
	case !p.isOnline(from.store): // it has left meanwhile
	case errors.Is(err, context.DeadlineExceeded):
		p.standings.note(from.store, eventLate)
	default:
		p.standings.note(from.store, eventFailed)
	}
	return st
}

func (p *Placer) isOnline(store uint32) bool {
	for _, s := range p.cfg.Stores.Stores() {
		if s.Number == store {
			return s.Online
		}
	}
	return false
}

// readable counts the shards of a stripe that could be read now, as far as it is known.
func (p *Placer) readable(rec *Record) int {
	good := map[uint32]bool{}
	for _, s := range p.stores() {
		good[s.Number] = s.Online && s.Verdict.sound()
	}
	n := 0
	for _, s := range rec.Shards {
		if s.Held && good[s.Store] {
			n++
		}
	}
	return n
}

// String is the word for log lines.
func (s state) String() string {
	switch s {
	case stateGood:
		return "it has it"
	case stateAway:
		return "it does not answer"
	case stateGone:
		return "it does not have it"
	case stateWrong:
		return "it sent wrong bytes"
	}
	return fmt.Sprintf("state %d", uint8(s))
}
