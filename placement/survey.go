package placement

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	surveyRest  = 10 * time.Second       // at least between two surveys
	surveyEvery = time.Hour              // one without a reason: what was missed is found
	surveySoon  = 100 * time.Millisecond // what is noticed together, as of a house that lost its power, is one reason
	queueMost   = 4096                   // repairs that are known at once; the survey waits while there are more
)

// A survey goes through all records and queues the repair of what is not whole: the most endangered stripes first, as many
// as the queue takes at a time, so that its memory has a bound however many stripes a lost store held. It is wanted when
// a store is lost, found lying or slow, has lost shards, or when one has come that could take what is missing.
type survey struct {
	mu      sync.Mutex
	wanted  bool
	census  map[uint32]bool // stores of which every shard is to be looked at
	all     bool            // every shard of every store
	running bool
	changed chan struct{} // closed and replaced when any of it changes
	rounds  int           // surveys that have ended
}

func newSurvey() *survey { return &survey{census: map[uint32]bool{}, changed: make(chan struct{})} }

// want asks for a survey; with a store, one in which it is asked for each shard that it should have.
func (s *survey) want(census uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = true
	if census != 0 {
		s.census[census] = true
	}
	s.signal()
}

func (s *survey) signal() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// wait returns when a survey is wanted, or after surveyEvery, and begins it.
func (s *survey) wait(ctx context.Context) (census map[uint32]bool, all bool) {
	late := time.After(surveyEvery)
	for {
		s.mu.Lock()
		changed, wanted := s.changed, s.wanted
		s.mu.Unlock()
		soon := make(<-chan time.Time)
		if wanted {
			changed, soon = nil, time.After(surveySoon)
		}
		select {
		case <-changed:
		case <-soon:
			s.mu.Lock()
			return s.begin()
		case <-late:
			s.mu.Lock()
			return s.begin()
		case <-ctx.Done():
			return nil, false
		}
	}
}

// begin takes what is asked for; mu is held, and left.
func (s *survey) begin() (map[uint32]bool, bool) {
	defer s.mu.Unlock()
	census, all := s.census, s.all
	s.wanted, s.all, s.census, s.running = false, false, map[uint32]bool{}, true
	s.signal()
	return census, all
}

func (s *survey) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = false
	s.rounds++
	s.signal()
}

// surveys runs until ctx ends.
func (p *Placer) surveys(ctx context.Context) {
	for ctx.Err() == nil {
		census, all := p.survey.wait(ctx)
		if ctx.Err() != nil {
			return
		}
		err := p.surveyOnce(ctx, census, all)
		p.survey.end()
		if err != nil && ctx.Err() == nil {
			p.cfg.Log.Warn("the survey of all stripes did not come to its end; another will", "err", err)
			p.survey.want(0)
		}
		p.survey.rest(ctx)
	}
}

// rest returns after surveyRest, or when somebody waits for a survey.
func (s *survey) rest(ctx context.Context) {
	over := time.After(surveyRest)
	for {
		s.mu.Lock()
		changed, asked := s.changed, s.all
		s.mu.Unlock()
		if asked {
			return
		}
		select {
		case <-changed:
		case <-over:
			return
		case <-ctx.Done():
			return
		}
	}
}

// surveyOnce goes through the records once for each degree of danger that there is. The first time it also finds out
// which there are.
func (p *Placer) surveyOnce(ctx context.Context, census map[uint32]bool, all bool) error {
	dangers, err := p.surveyPass(ctx, 0, census, all)
	if err != nil {
		return err
	}
	for danger := 1; danger <= unreadable; danger++ {
		if !dangers[danger] {
			continue
		}
		if _, err := p.surveyPass(ctx, danger, census, all); err != nil {
			return err
		}
	}
	return nil
}

// surveyWindow is how many records are read at once: no iterator is open while the queue is full.
const surveyWindow = 1024

// surveyPass queues the stripes of one degree of danger, and tells of which other degrees there are some.
func (p *Placer) surveyPass(ctx context.Context, danger int, census map[uint32]bool, all bool) (map[int]bool, error) {
	dangers := map[int]bool{}
	for cursor, end := uint64(0), false; !end; {
		infos := p.view()
		var found []*item
		var strays []Record
		n := 0
		err := p.cfg.Records.Records(ctx, cursor, func(stripe uint64, record []byte) bool {
			cursor = stripe
			n++
			if rec, err := ParseRecord(record); err == nil && !rec.Placed && danger == 0 && !p.here(stripe) {
				strays = append(strays, rec)
				return n < surveyWindow
			}
			if it := infos.appraise(record, census, all); it != nil {
				dangers[it.danger()] = true
				if it.danger() == danger {
					found = append(found, it)
				}
			}
			return n < surveyWindow
		})
		if err != nil {
			return nil, err
		}
		end = n < surveyWindow
		for _, rec := range strays {
			p.Enqueue(rec.Stripe, rec.Class)
		}
		if err := p.queueRepairs(ctx, found); err != nil {
			return nil, err
		}
	}
	return dangers, nil
}

// here says whether the payload of a stripe lies on this machine. One that neither does nor is recorded as placed was on its
// way when another machine, which this one follows after a recovery, made the head: what arrived is at the stores, and
// to try its upload finds that out.
func (p *Placer) here(stripe uint64) bool {
	if _, known := p.cfg.Payloads.(interface {
		PayloadSize(stripe uint64) (int, bool)
	}); !known {
		return true
	}
	_, ok := p.payloadSize(stripe)
	return ok
}

// queueRepairs queues repairs, and waits while there are too many. Where all that are queued have failed and wait for their
// next try, it leaves the rest to a later survey.
func (p *Placer) queueRepairs(ctx context.Context, found []*item) error {
	for _, it := range found {
		p.mu.Lock()
		for len(p.queue.repairs) >= queueMost && p.queue.repairs[it.stripe] == nil {
			changed, idle := p.changed, p.queue.idle(time.Now())
			p.mu.Unlock()
			if idle {
				return nil
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return ctx.Err()
			}
			p.mu.Lock()
		}
		p.queue.addRepair(it.stripe, it.spare, time.Time{}, it.look)
		if q := p.queue.repairs[it.stripe]; q != nil {
			q.size = max(q.size, it.size)
		}
		p.mu.Unlock()
	}
	p.mu.Lock()
	p.signal()
	p.mu.Unlock()
	return nil
}

// A view is how the stores stand at one moment.
type view struct {
	of       map[uint32]*StoreInfo
	distinct Distinct
}

func (p *Placer) view() view {
	infos := p.stores()
	v := view{of: make(map[uint32]*StoreInfo, len(infos)), distinct: p.cfg.Distinct}
	for i := range infos {
		v.of[infos[i].Number] = &infos[i]
	}
	return v
}

// appraise gives the repair that a stripe needs; nil if it needs none, or if nothing could be done for it now.
func (v view) appraise(record []byte, census map[uint32]bool, all bool) *item {
	rec, err := ParseRecord(record)
	if err != nil || !rec.Placed {
		return nil
	}
	c := v.condition(&rec)
	it := &item{stripe: rec.Stripe, spare: c.readable - rec.Code.K, size: c.missing * int(rec.ShardSize), look: all}
	for _, s := range rec.Shards {
		it.look = it.look || s.Held && census[s.Store]
	}
	if it.look || c.missing > 0 && v.homes(&rec) {
		return it
	}
	return nil
}

// condition is how a stripe is doing.
type condition struct {
	readable int // shards that stores hold which are there and to be trusted
	sound    int // likewise, and those of stores that are away
	missing  int // shards that no store holds, or one that is lost, lies, or is slow where another is not
	shunned  int // of those: shards that a record still says to be held by a store that is lost or lies
}

func (v view) condition(rec *Record) (c condition) {
	expected := 0 // shards at stores that have only just left
	for _, s := range rec.Shards {
		info := v.of[s.Store]
		switch {
		case !s.Held || info == nil:
			c.missing++
		case !info.Verdict.sound():
			c.missing++
			c.shunned++
		case info.Verdict == VerdictSlow && v.homes(rec):
			c.missing++
			c.readable++
			c.sound++
		case info.Online:
			c.readable++
			c.sound++
		case info.away < awayGrace:
			c.sound++
			expected++
		default:
			c.sound++
		}
	}
	if c.readable <= rec.Code.K { // it cannot wait three days, not for all of them
		c.missing += min(c.sound-c.readable-expected, max(rec.Code.Happy()-c.readable-c.missing, 0))
	}
	return c
}

// away is for how long a store has been away.
func (v view) away(store uint32) time.Duration {
	if info := v.of[store]; info != nil && !info.Online {
		return info.away
	}
	return 0
}

// homes says whether a store would take one more shard of a stripe: one in a domain that holds none, which did not fail
// lately.
func (v view) homes(rec *Record) bool {
	used := map[string]bool{}
	for _, s := range rec.Shards {
		if info := v.of[s.Store]; s.Held && info != nil && info.Verdict.sound() {
			used[v.distinct.domain(info)] = true
		}
	}
	for _, info := range v.of {
		if unfit(info, int64(rec.ShardSize)) == nil && !used[v.distinct.domain(info)] && info.Verdict != VerdictSlow {
			return true
		}
	}
	return false
}

// Condition is how a stripe is doing, judged by what is known of its stores now.
type Condition struct {
	Placed  bool
	Spare   int   // how many more of the stores that are there it can lose; below zero it cannot be read now
	Missing int   // shards to rebuild or to move
	Bytes   int64 // of them
	Moves   int64 // bytes that are read and written for them
}

// Conditions returns a function that judges records by how the stores stand now.
func (p *Placer) Conditions() func(record []byte) (Condition, error) {
	v := p.view()
	return func(record []byte) (Condition, error) {
		rec, err := ParseRecord(record)
		if err != nil {
			return Condition{}, err
		}
		c := v.condition(&rec)
		out := Condition{Placed: rec.Placed, Spare: c.readable - rec.Code.K, Missing: c.missing, Bytes: int64(c.missing) * int64(rec.ShardSize)}
		if c.missing > 0 {
			out.Moves = out.Bytes + int64(rec.Code.K)*int64(rec.ShardSize)
		}
		return out, nil
	}
}

// RepairAll queues the repair of everything that is not whole, with every shard of every stripe asked for one group, and
// returns when that is done as far as it can be. With now it is not held back by the limit on repairs. report is told how
// many repairs wait.
func (p *Placer) RepairAll(ctx context.Context, now bool, report func(waiting int)) error {
	if p.cfg.Records == nil {
		return errors.New("the placer does not know what stripes there are")
	}
	if now {
		p.rate.suspend()
		defer p.rate.resume()
	}
	p.Kick()
	p.survey.mu.Lock()
	p.survey.all, p.survey.wanted = true, true
	round := p.survey.rounds
	if p.survey.running {
		round++ // the one that runs does not know of this
	}
	p.survey.signal()
	p.survey.mu.Unlock()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		p.survey.mu.Lock()
		surveyed := p.survey.rounds > round
		p.survey.mu.Unlock()
		p.mu.Lock()
		waiting, idle := len(p.queue.repairs), p.queue.idle(time.Now())
		p.mu.Unlock()
		report(waiting)
		if surveyed && idle {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.ctx.Done():
			return ErrClosed
		}
	}
}

// storesChanged asks for a survey when other stores than before could take shards.
func (p *Placer) storesChanged() {
	infos := p.stores()
	p.mu.Lock()
	came, fit := false, 0
	for i := range infos {
		if unfit(&infos[i], 1) == nil {
			fit++
			came = came || !p.fit[infos[i].Number]
		}
	}
	if came || fit != len(p.fit) { // seldom, and this is done every few seconds
		p.fit = make(map[uint32]bool, fit)
		for i := range infos {
			if unfit(&infos[i], 1) == nil {
				p.fit[infos[i].Number] = true
			}
		}
	}
	p.mu.Unlock()
	if came {
		p.survey.want(0)
	}
}
