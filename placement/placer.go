package placement

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what a Placer needs. Stores, Payloads and Journal must be given; zero values of the rest take the defaults.
type Config struct {
	Policy     Policy
	Distinct   Distinct
	Stores     Stores
	Payloads   Payloads
	Journal    Journal
	Pad        func(dst []byte, stripe uint64) // fills the padding of a stripe, the same at every call; nil: zeros
	Workers    int                             // stripes uploaded at once, if Memory lets them; default 8
	Memory     int64                           // bytes of all stripes and reads in flight; default 64 MiB
	HedgeAfter time.Duration                   // a read this late is overtaken; default 200 ms
	Records    Records                         // nil: nothing is audited, and nothing repaired but what reads find
	Debts      Debts                           // keeps what stores have for nothing; nil: they are never told
	Notes      Notes                           // keeps what is known of stores; nil: until the placer ends
	AuditEvery time.Duration                   // how often each store is asked for a random group; default 5 min
	AwayLimit  time.Duration                   // away for so long is lost; default three days
	RepairRate int64                           // bytes a second that repairs read and write; default 16 MiB; negative: no limit
	Busy       func() bool                     // whether programs write much just now; called often; nil: never
	Seed       uint64                          // of what is left to chance; 0: another one each time
	Log        *slog.Logger
	Now        func() time.Time
}

func (c *Config) defaults() {
	if c.Workers <= 0 {
		c.Workers = 8
	}
	if c.Memory <= 0 {
		c.Memory = 64 << 20
	}
	if c.AuditEvery <= 0 {
		c.AuditEvery = 5 * time.Minute
	}
	if c.AwayLimit <= 0 {
		c.AwayLimit = 72 * time.Hour
	}
	if c.RepairRate == 0 {
		c.RepairRate = 16 << 20
	}
	if c.HedgeAfter <= 0 {
		c.HedgeAfter = 200 * time.Millisecond
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// A Placer uploads stripes, reads them back and repairs them. All methods are safe for concurrent use. Uploads and
// queued repairs happen only while Run runs; everything else works without.
type Placer struct {
	cfg    Config
	coders coders
	bufs   buffers
	back   *budget // uploads and repairs, which wait for slow peers
	front  *budget // Fetch and Encode, for which somebody waits
	spare  *budget // what a degraded Fetch takes beyond that; taken after front, never before
	speeds speeds
	rush   rush
	stats  counters
	rate   *repairRate
	owing  atomic.Bool // there may be debts
	survey *survey

	standings *standings

	intents keyed // making or extending a stripe's first record
	working keyed // uploading or repairing a stripe; taken before intents

	mu      sync.Mutex
	queue   queue
	changed chan struct{} // closed and replaced when the queue changes
	closed  bool
	lastErr error
	broken  map[uint64]map[place]span // by stripe: what reads found lost or wrong, for the repair to look at
	whole   map[uint64]time.Time      // stripes that a repair found whole, and when
	alone   bool                      // the newest error was that no store is online
	waiters int                       // calls of Wait
	burst   time.Time                 // since when uploads give way to programs that write; zero: they do not
	fit     map[uint32]bool           // stores that could take shards when that was last looked at

	ctx  context.Context // ends with Close: what outlives a call hangs on it
	stop context.CancelFunc
	run  sync.WaitGroup
}

// ErrClosed says that the placer was closed.
var ErrClosed = errors.New("placement is closed")

// New makes a Placer. Nothing is uploaded before Run.
func New(cfg Config) *Placer {
	cfg.defaults()
	front := max(cfg.Memory/4, 1)
	p := &Placer{
		cfg: cfg, front: newBudget(front), spare: newBudget(front), back: newBudget(max(cfg.Memory-2*front, 1)),
		queue: newQueue(), changed: make(chan struct{}),
		speeds: speeds{of: map[uint32]time.Duration{}},
		rush:   rush{pace: map[uint32]float64{}},
		broken: map[uint64]map[place]span{}, whole: map[uint64]time.Time{},
	}
	p.rate, p.survey, p.standings = newRepairRate(cfg.RepairRate), newSurvey(), newStandings(&cfg)
	p.standings.changed = p.judged
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p
}

// Close ends Run and waits for it. What was queued is in the journal's and the cache's memory, not in the placer's: the
// next start enqueues it again.
func (p *Placer) Close() {
	p.mu.Lock()
	p.closed = true
	p.signal()
	p.mu.Unlock()
	p.stop()
	p.run.Wait()
}

// Enqueue asks for a closed stripe to be uploaded. A stripe that is queued already stays where it is; one that is
// placed, with shards missing, is repaired.
func (p *Placer) Enqueue(stripe uint64, class uint8) {
	size, ok := p.payloadSize(stripe)
	if !ok {
		size = 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue.add(stripe, class, size, time.Time{})
	p.signal()
}

// Heal asks for a stripe's shards to be looked at, and those that are lost to be rebuilt, when there is time.
func (p *Placer) Heal(stripe uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue.addRepair(stripe, MaxShards, time.Time{}, true)
	p.signal()
}

// Kick says that the stores have changed: what waits for its next try is tried now.
func (p *Placer) Kick() {
	p.storesChanged()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue.hurry()
	p.signal()
}

// signal wakes whoever waits for a change of the queue; p.mu is held.
func (p *Placer) signal() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// storesPoll is how often Run looks at the stores by itself.
const storesPoll = 15 * time.Second

// Run uploads and repairs until ctx ends or Close is called; it returns when all that it started has ended. It is called
// once. The error is nil after Close, else ctx's.
func (p *Placer) Run(ctx context.Context) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.run.Add(1)
	p.mu.Unlock()
	defer p.run.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	var jobs sync.WaitGroup
	defer jobs.Wait()
	defer cancel()
	if err := p.startAudits(ctx, &jobs); err != nil {
		return err
	}
	looked := time.Now()
	for {
		if time.Since(looked) >= storesPoll {
			looked = time.Now()
			p.storesChanged()
		}
		p.mu.Lock()
		changed := p.changed
		uploads := len(p.queue.items) > 0 && p.placeable()
		held := uploads && p.giveWay(time.Now())
		next, wait := p.queue.next(time.Now(), p.cfg.Workers, uploads && !held)
		p.mu.Unlock()
		if held {
			wait = min(wait, burstPoll)
		}
		if next != nil {
			jobs.Go(func() { p.work(ctx, next) })
			continue
		}
		timer := time.NewTimer(min(wait, storesPoll-time.Since(looked)))
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			if p.ctx.Err() != nil {
				return nil
			}
			return ctx.Err()
		}
		timer.Stop()
	}
}

const (
	// burstLimit is for how long uploads give way to programs that write: a burst is over by then, and who writes for
	// longer shares the machine with them.
	burstLimit = 3 * time.Second
	// burstPoll is how often Run asks then whether they still do.
	burstPoll = 50 * time.Millisecond
)

// giveWay says whether no upload is to begin, since programs write just now and nobody waits for what is queued; p.mu is
// held.
func (p *Placer) giveWay(now time.Time) bool {
	if p.cfg.Busy == nil || p.waiters > 0 || !p.cfg.Busy() {
		p.burst = time.Time{}
		return false
	}
	if p.burst.IsZero() {
		p.burst = now
	}
	return now.Sub(p.burst) < burstLimit
}

// startAudits begins what looks after what is placed.
func (p *Placer) startAudits(ctx context.Context, jobs *sync.WaitGroup) error {
	if p.cfg.Debts != nil {
		jobs.Go(func() { p.payDebts(ctx) })
	}
	own, err := p.standings.load(ctx)
	if err != nil || p.cfg.Records == nil {
		return err
	}
	p.storesChanged()
	p.survey.want(0)
	jobs.Go(func() { p.audits(ctx, own) })
	jobs.Go(func() { p.surveys(ctx) })
	return nil
}

// judged acts upon a new verdict.
func (p *Placer) judged(store uint32, v Verdict) {
	p.cfg.Log.Warn("a store is seen with other eyes", "store", store, "verdict", v.String())
	census := uint32(0)
	if v == VerdictStale {
		census = store // what else has it lost?
	}
	p.survey.want(census)
}

// Placeable says whether enough stores are known for stripes to be placed, online or not.
func (p *Placer) Placeable() bool { return p.placeable() }

// placeable says whether enough stores are known for anything to be placed. What is known does not depend on the class.
func (p *Placer) placeable() bool {
	_, ok := p.policyCode(ClassData)
	return ok
}

// Uploading says whether a stripe is being uploaded, or is about to be.
func (p *Placer) Uploading() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queue.busy(time.Now(), p.placeable())
}

// work does one queued thing and says in the queue how it went.
func (p *Placer) work(ctx context.Context, it *item) {
	var out outcome
	var err error
	p.mu.Lock()
	look := it.look
	p.mu.Unlock()
	if it.repair {
		out, err = p.repair(ctx, it.stripe, look)
	} else {
		out, err = p.place(ctx, it.stripe, it.reasons)
		it.reasons = out.reasons
	}
	if err != nil && ctx.Err() == nil {
		p.stats.failed.Add(1)
	}
	if err != nil && ctx.Err() == nil && !p.known(err) {
		p.cfg.Log.Warn("a stripe waits for its next try", "stripe", it.stripe, "repair", it.repair, "err", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			p.lastErr = err
		}
		p.queue.retry(it, err, time.Now())
	} else {
		p.alone = false
		p.settled(it, out)
	}
	p.signal()
}

// known says whether an error is one that the log has already: that nobody is online is said once, not for each stripe.
func (p *Placer) known(err error) bool {
	alone := errors.Is(err, errNobody)
	p.mu.Lock()
	defer p.mu.Unlock()
	known := alone && p.alone
	p.alone = alone
	return known
}

// settled takes a finished item out of the queue; p.mu is held.
func (p *Placer) settled(it *item, out outcome) {
	if it.repair && out.missing > 0 && (!out.stuck || p.cfg.Records == nil) {
		it.spare = out.spare
		p.queue.retry(it, nil, time.Now())
		return
	}
	p.queue.done(it)
	if it.repair {
		return
	}
	p.stats.placed.Add(1)
	p.stats.placedBytes.Add(int64(out.payload))
	if out.missing > 0 {
		p.queue.addRepair(it.stripe, out.spare, time.Now().Add(missingRetry), false)
	}
}

// outcome is what became of a stripe that is placed.
type outcome struct {
	payload int              // bytes
	missing int              // shards that no store holds
	spare   int              // how many more losses it takes
	reasons map[uint32]error // of stores that failed, or could not be asked
	stuck   bool             // no store would take what is missing: the survey finds it again when one has come
}

// missingRetry is when shards that found no store, in a stripe that is safe without them, are tried again.
const missingRetry = time.Minute

// Wait returns when all that was queued at the call is placed. Waiting for a next try ends at once. If ctx ends first,
// or if too few stores are known for the policy (ErrTooFew), the error is a *QuorumError that says how much is not
// placed and names each store with its reason.
func (p *Placer) Wait(ctx context.Context) error {
	p.mu.Lock()
	p.waiters++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.waiters--
		p.mu.Unlock()
	}()
	p.Kick()
	p.mu.Lock()
	want := p.queue.uploads()
	p.mu.Unlock()
	for {
		p.mu.Lock()
		want = p.queue.still(want)
		changed, closed, busy := p.changed, p.closed, p.queue.uploading
		p.mu.Unlock()
		switch {
		case len(want) == 0:
			return nil
		case closed:
			return p.waitError(want, ErrClosed)
		case busy == 0 && !p.placeable():
			return p.tooFew(fmt.Sprintf("place %d stripes", len(want)))
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return p.waitError(want, context.Cause(ctx))
		}
	}
}

// tooFew is the error of a policy that needs more stores than there are.
func (p *Placer) tooFew(what string) error {
	infos := p.cfg.Stores.Stores()
	e := &QuorumError{
		What: what, Need: p.cfg.Policy.Needs(), Got: p.cfg.Distinct.domains(elsewhere(infos)),
		Of: "different " + p.cfg.Distinct.String() + "s", Because: ErrTooFew,
	}
	if p.cfg.Policy == Solo {
		e.Because = fmt.Errorf("the policy is solo, which keeps everything on this machine: %w", ErrTooFew)
	}
	for i := range infos {
		if infos[i].Here {
			e.Stores = append(e.Stores, StoreFailure{infos[i].Number, infos[i].Name, errHere})
		}
	}
	return e
}

// waitError gathers why the stripes are not placed: each store with its newest reason.
func (p *Placer) waitError(want map[uint64]*item, because error) error {
	infos := p.cfg.Stores.Stores()
	reasons := map[uint32]error{}
	for i := range infos {
		if err := unfit(&infos[i], 0); err != nil {
			reasons[infos[i].Number] = err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, it := range want {
		var q *QuorumError
		switch {
		case errors.As(it.err, &q):
			for _, s := range q.Stores {
				reasons[s.Number] = s.Reason
			}
		case it.err != nil:
			because = fmt.Errorf("%w; %w", because, it.err)
		}
	}
	return &QuorumError{
		What:    fmt.Sprintf("place %d stripes", len(want)),
		Because: because, Stores: failures(reasons, infos),
	}
}

// Health says how many more losses a stripe survives: the shards held at stores for which online is true, less k. Below
// zero it cannot be read from stores now. A record that does not parse, or is not of a placed stripe, has none.
func (p *Placer) Health(record []byte, online func(store uint32) bool) (spare int) {
	r, err := ParseRecord(record)
	if err != nil {
		return -1
	}
	return r.spare(online)
}
