package placement

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// Notes keep what the placer knows of stores over a restart: small values by the store's number. Number 0 is the placer's
// own. SaveStanding need not sync: what a power cut takes is learned again.
type Notes interface {
	SaveStanding(ctx context.Context, store uint32, value []byte) error
	Standings(ctx context.Context) (map[uint32][]byte, error)
}

// Why a store gets nothing new.
var (
	errLiar = errors.New("it has sent wrong bytes, and gets nothing new until it is forgiven")
	errLost = errors.New("it counts as lost")
)

// standings is what is known of all stores. Safe for concurrent use.
type standings struct {
	notes   Notes // nil: nothing is kept
	away    time.Duration
	now     func() time.Time
	urgent  chan struct{}                 // somebody was caught lying: it is kept at once
	changed func(store uint32, v Verdict) // a verdict that matters to repair is new; called without mu

	mu       sync.Mutex
	of       map[uint32]*Standing
	verdicts map[uint32]Verdict    // as of the last look
	told     map[uint32][]evidence // lies and losses that are counted already, newest last
	dirty    map[uint32]bool
	offline  map[uint32]bool // as of the last look
	looked   map[uint32]bool // since the start
	watched  time.Time
}

// evidence is a shard of a stripe that a store lied about, or lost. Each counts once, however often it is asked for.
type evidence struct {
	stripe     uint64
	shard      int
	generation uint64
}

const mostEvidence = 256

func newStandings(cfg *Config) *standings {
	return &standings{notes: cfg.Notes, away: cfg.AwayLimit, now: cfg.Now, urgent: make(chan struct{}, 1), changed: func(uint32, Verdict) {},
		of: map[uint32]*Standing{}, verdicts: map[uint32]Verdict{}, told: map[uint32][]evidence{}, dirty: map[uint32]bool{}, offline: map[uint32]bool{}, looked: map[uint32]bool{}}
}

// load brings back what an earlier run knew. A value that does not parse is forgotten: it is learned again.
func (s *standings) load(ctx context.Context) (own []byte, err error) {
	if s.notes == nil {
		return nil, nil
	}
	values, err := s.notes.Standings(ctx)
	if err != nil {
		return nil, fmt.Errorf("read what is known of stores: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, b := range values {
		st, err := parseStanding(b)
		if n == 0 || err != nil || s.of[n] != nil {
			continue
		}
		s.of[n] = &st
	}
	return values[0], nil
}

// save keeps what has changed.
func (s *standings) save(ctx context.Context) error {
	if s.notes == nil {
		return nil
	}
	s.mu.Lock()
	values := map[uint32][]byte{}
	for n := range s.dirty {
		if b, err := crypt.EncodeCBOR(s.of[n]); err == nil {
			values[n] = b
		}
	}
	clear(s.dirty)
	s.mu.Unlock()
	for _, n := range slices.Sorted(maps.Keys(values)) {
		if err := s.notes.SaveStanding(ctx, n, values[n]); err != nil {
			s.mu.Lock()
			s.dirty[n] = true
			s.mu.Unlock()
			return fmt.Errorf("keep what is known of store %d: %w", n, err)
		}
	}
	return nil
}

// get gives the standing of a store, which is made if there is none; mu is held.
func (s *standings) get(store uint32) *Standing {
	st := s.of[store]
	if st == nil {
		st = &Standing{}
		s.of[store] = st
	}
	return st
}

// note takes an event about a store.
func (s *standings) note(store uint32, e event) {
	s.mu.Lock()
	st := s.get(store)
	st.age(s.now())
	st.note(e)
	s.dirty[store] = true
	s.mu.Unlock()
	s.judge(store)
}

// blame takes a shard that a store lost or lied about, unless it is known already. What was put back and is lost again,
// is one more: else a store that keeps nothing of what it takes would be given the same for ever.
func (s *standings) blame(store uint32, e event, rec *Record, shard int) {
	ev := evidence{rec.Stripe, shard, rec.Generation}
	s.mu.Lock()
	list := s.told[store]
	known := slices.Contains(list, ev)
	if !known {
		if len(list) >= mostEvidence {
			list = list[1:]
		}
		s.told[store] = append(list, ev)
	}
	s.mu.Unlock()
	if !known {
		s.note(store, e)
	}
}

// audited counts an audit that was answered.
func (s *standings) audited(store uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.get(store).Audits++
}

// watch looks at which stores are online. While none is, it is this node that is away, and nothing is held against anybody.
// began is when this run did: who was away before it and is still is taken to have been away between the runs as well.
func (s *standings) watch(infos []StoreInfo, began time.Time) {
	now := s.now()
	alone := !slices.ContainsFunc(infos, func(i StoreInfo) bool { return i.Online && !i.Here })
	var gone []uint32 // away for so long that what can lose no more is not to wait for them
	s.mu.Lock()
	last := s.watched
	if last.IsZero() {
		last = began
	}
	if s.watched = now; alone {
		s.mu.Unlock()
		return
	}
	for i := range infos {
		n, st := infos[i].Number, s.get(infos[i].Number)
		before, gap := st.Away, now.Sub(last)
		if before > 0 && !infos[i].Online && st.At != 0 && !s.looked[n] {
			gap = now.Sub(time.Unix(0, st.At))
		}
		s.looked[n], s.offline[n], s.dirty[n] = true, !infos[i].Online, true
		st.watch(infos[i].Online, gap)
		st.age(now)
		if before < awayGrace && st.Away >= awayGrace {
			gone = append(gone, n)
		}
	}
	s.mu.Unlock()
	for i := range infos {
		s.judge(infos[i].Number)
	}
	for _, n := range gone {
		s.changed(n, VerdictAway)
	}
}

// judge tells of a verdict that has changed so that shards have to be looked at.
func (s *standings) judge(store uint32) {
	s.mu.Lock()
	v, old := s.get(store).Judge(!s.offline[store], s.away), s.verdicts[store]
	s.verdicts[store] = v
	s.mu.Unlock()
	if v == VerdictLiar && v != old {
		select {
		case s.urgent <- struct{}{}:
		default:
		}
	}
	if v != old && (v.last() || !v.sound() || old != 0 && !old.sound()) {
		s.changed(store, v)
	}
}

// rest waits, and ends early with true when there is something that must be kept at once.
func (s *standings) rest(ctx context.Context, wait time.Duration) (urgent bool) {
	select { // it goes before a wait that is over already
	case <-s.urgent:
		return true
	default:
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-s.urgent:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// set changes a standing by hand.
func (s *standings) set(store uint32, change func(*Standing)) {
	s.mu.Lock()
	st := s.get(store)
	change(st)
	delete(s.told, store)
	s.dirty[store] = true
	s.mu.Unlock()
	s.judge(store)
}

// annotate completes what is known of stores.
func (s *standings) annotate(infos []StoreInfo) []StoreInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range infos {
		st := s.of[infos[i].Number]
		if st == nil {
			st = &Standing{}
		}
		infos[i].away, infos[i].doubtful = st.Away, st.doubtful()
		if was, known := s.offline[infos[i].Number]; !known || was == infos[i].Online {
			s.offline[infos[i].Number] = !infos[i].Online
		}
		infos[i].Verdict = st.Judge(infos[i].Online, s.away)
		if s.notes != nil || infos[i].Reliability == 0 {
			infos[i].Reliability = st.Reliability()
		}
	}
	return infos
}

// StoreStanding is a store and what is known of it.
type StoreStanding struct {
	StoreInfo
	Standing
}

// Standings tells of every store in the table how it stands.
func (p *Placer) Standings() []StoreStanding {
	infos := p.stores()
	p.standings.mu.Lock()
	defer p.standings.mu.Unlock()
	list := make([]StoreStanding, 0, len(infos))
	for i := range infos {
		list = append(list, StoreStanding{infos[i], *p.standings.get(infos[i].Number)})
	}
	return list
}

// Declare says that a store is lost: its shards are rebuilt elsewhere as soon as there is time, and it gets nothing new.
func (p *Placer) Declare(ctx context.Context, store uint32) error {
	p.standings.set(store, func(s *Standing) { s.Declared = true })
	return p.standings.save(ctx)
}

// Forgive takes back what is held against a store: that it is lost, lied, lost shards or was slow.
func (p *Placer) Forgive(ctx context.Context, store uint32) error {
	p.standings.set(store, func(s *Standing) {
		*s = Standing{Uptime: s.Uptime, Watched: s.Watched, Audits: s.Audits, At: s.At}
	})
	p.survey.want(0)
	return p.standings.save(ctx)
}

// stores are the stores of the table, with what is known of them.
func (p *Placer) stores() []StoreInfo { return p.standings.annotate(p.cfg.Stores.Stores()) }
