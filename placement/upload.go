package placement

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

const (
	// A put that takes this many times the median of its siblings is overtaken, though never before overtakeMin.
	overtakeFactor = 4
	overtakeMin    = time.Second
	// putLimit ends a put that nothing can overtake: a store that takes no bytes and gives no error.
	putLimit = 3 * time.Minute
	// maxTries bounds how many stores are asked for one shard after enough others are held.
	maxTries = 3
)

// errSlow is the reason of a store that was overtaken.
var errSlow = errors.New("it was much slower than the others")

// place uploads one closed stripe: encode, intend, put, record. It returns nil when the stripe is placed and recorded. The
// failed stores of the try before are asked last.
func (p *Placer) place(ctx context.Context, stripe uint64, before map[uint32]error) (outcome, error) {
	unlock, err := p.working.lock(ctx, stripe)
	if err != nil {
		return outcome{}, err
	}
	defer unlock()
	rec, err := p.record(ctx, stripe)
	if err != nil {
		return outcome{}, err
	}
	if rec != nil && rec.Placed {
		return outcomeOf(rec, nil), nil
	}
	if err := p.nobody(stripe, rec); err != nil {
		return outcome{reasons: before}, err
	}
	g, err := p.back.take(ctx, p.encodedHint(stripe, rec))
	if err != nil {
		return outcome{}, err
	}
	defer g.release()
	rec, e, err := p.intend(ctx, stripe, before)
	if errors.Is(err, fs.ErrNotExist) && rec != nil {
		// The local copy is gone before its time: what stores took before may suffice.
		return p.mend(ctx, rec)
	}
	if err != nil {
		return outcome{}, err
	}
	defer e.free(&p.bufs)
	g.shrink(cap(e.payload) + cap(e.parity))
	u := p.newUpload(rec, e.shards, before)
	return u.finish(ctx)
}

// errNobody is why a stripe is not even encoded.
var errNobody = errors.New("no store is online")

// nobody is the error of a stripe while no store at all is online. All that was written in a week without one would
// otherwise be read and encoded again with each try.
func (p *Placer) nobody(stripe uint64, rec *Record) error {
	infos := p.stores()
	reasons := map[uint32]error{}
	for i := range infos {
		if infos[i].Online && !infos[i].Here {
			return nil
		}
		reasons[infos[i].Number] = unfit(&infos[i], 0)
	}
	code, ok := p.policyCode(ClassData)
	got := 0
	if rec != nil {
		code, got = rec.Code, rec.held()
	} else if !ok {
		return nil // which is another error
	}
	return &QuorumError{
		What: fmt.Sprintf("place stripe %d", stripe), Need: code.Happy(), Got: got, Of: "different " + p.cfg.Distinct.String() + "s",
		Because: errNobody, Stores: failures(reasons, infos),
	}
}

func outcomeOf(rec *Record, reasons map[uint32]error) outcome {
	held := rec.held()
	return outcome{payload: int(rec.Payload), missing: rec.Code.N() - held, spare: held - rec.Code.K, reasons: reasons}
}

// encodedHint is the memory that a stripe will take once it is encoded.
func (p *Placer) encodedHint(stripe uint64, rec *Record) int {
	code := Code{4, 2}
	if rec != nil {
		code = rec.Code
	} else if c, ok := p.policyCode(ClassData); ok {
		code = c
	}
	return p.sizeHint(stripe) * (code.N() + 1) / code.K
}

// intend encodes the stripe by its record, or by a new one, and journals where its shards are meant to go.
func (p *Placer) intend(ctx context.Context, stripe uint64, before map[uint32]error) (*Record, *encoded, error) {
	unlock, err := p.intents.lock(ctx, stripe)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	rec, err := p.record(ctx, stripe) // again: Encode may have made one
	if err != nil {
		return nil, nil, err
	}
	e, code, err := p.encode(ctx, stripe, rec)
	if err != nil {
		return rec, nil, err
	}
	var journaled []byte
	if rec == nil {
		r := p.newRecord(stripe, e, code)
		rec = &r
	} else {
		journaled = rec.Append(nil)
	}
	if err = p.extend(rec, e); err == nil {
		c := p.chooserFor(rec, nil)
		c.demoteAll(before)
		p.assign(rec, c)
		err = p.announce(ctx, rec, journaled) // before the lock is left, so that Encode makes no other
	}
	if err != nil {
		e.free(&p.bufs)
		return rec, nil, err
	}
	return rec, e, nil
}

// announce journals the record as an intent, unless that is what is journaled.
func (p *Placer) announce(ctx context.Context, rec *Record, journaled []byte) error {
	if bytes.Equal(rec.Append(nil), journaled) {
		return nil
	}
	return p.journalRecord(ctx, rec, false)
}

// extend gives a stripe of the code 1+0 as many copies as its class has spare shards. The copies have the one shard's ID.
func (p *Placer) extend(rec *Record, e *encoded) error {
	if rec.Code.M > 0 {
		return nil
	}
	code, ok := p.policyCode(rec.Class)
	if !ok {
		return p.tooFew(fmt.Sprintf("place stripe %d", rec.Stripe))
	}
	for range code.M {
		rec.Code.M++
		rec.Shards = append(rec.Shards, Shard{ID: rec.Shards[0].ID})
		e.shards = append(e.shards, e.shards[0])
		e.ids = append(e.ids, e.ids[0])
	}
	return nil
}

// chooserFor knows the stores that can take a shard of this stripe now, less those that hold or are meant to hold one.
func (p *Placer) chooserFor(rec *Record, reasons map[uint32]error) *chooser {
	infos := p.stores()
	c := newChooser(binary.LittleEndian.Uint64(rec.Shards[0].ID[:]), elsewhere(infos), p.cfg.Distinct)
	for i := range infos {
		if err := unfit(&infos[i], int64(rec.ShardSize)); err != nil {
			c.exclude(infos[i].Number)
			if reasons != nil {
				reasons[infos[i].Number] = err
			}
		}
	}
	for _, s := range rec.Shards {
		if s.Held {
			c.take(s.Store)
		}
	}
	return c
}

// unfit says why a store cannot take a shard now.
func unfit(s *StoreInfo, size int64) error {
	switch {
	case s.Here:
		return errHere
	case s.Verdict == VerdictLiar:
		return errLiar
	case s.Verdict == VerdictLost && s.Online:
		return errLost
	case !s.Online:
		return errOffline
	case s.Free < size:
		return fmt.Errorf("%w: it offers %d more bytes", ErrFull, max(s.Free, 0))
	}
	return nil
}

// assign chooses stores for the shards that are not held, keeping earlier choices that are still good: a put that was
// interrupted goes to the same store again, unless that failed before.
func (p *Placer) assign(rec *Record, c *chooser) {
	var open []int
	for i := range rec.Shards {
		s := &rec.Shards[i]
		switch {
		case s.Held:
		case c.fresh(s.Store):
			c.take(s.Store)
		default:
			open = append(open, i)
		}
	}
	for _, i := range open {
		if n := c.next(); n != 0 {
			rec.Shards[i].Store = n
		}
	}
}

// An upload puts the shards of one stripe that are not held yet. One goroutine owns it; each put runs in its own.
type upload struct {
	p       *Placer
	rec     *Record
	shards  [][]byte
	choice  *chooser
	reasons map[uint32]error // stores that failed, or were never fit
	infos   []StoreInfo
	placed  bool // the record says so already: a repair
	enough  bool // held shards suffice; kept by landed
	results chan putResult
	flying  []*attempt
	tries   []int // by shard
	took    []time.Duration
}

type attempt struct {
	shard  int
	store  uint32
	start  time.Time
	cancel context.CancelFunc
	slow   bool // cancelled for being slow: its place has been given away
}

type putResult struct {
	a    *attempt
	err  error
	took time.Duration
}

func (p *Placer) newUpload(rec *Record, shards [][]byte, before map[uint32]error) *upload {
	u := &upload{p: p, rec: rec, shards: shards, reasons: map[uint32]error{}, placed: rec.Placed}
	u.choice = p.chooserFor(rec, u.reasons)
	u.choice.demoteAll(before)
	u.infos = p.cfg.Stores.Stores()
	u.enough = u.happiness() >= rec.Code.Happy()
	u.tries = make([]int, len(rec.Shards))
	u.results = make(chan putResult, len(rec.Shards))
	return u
}

// finish runs the upload to its end and records the outcome.
func (u *upload) finish(ctx context.Context) (outcome, error) {
	defer u.drain()
	err := u.run(ctx)
	if err == nil {
		err = u.record(ctx)
	}
	return outcomeOf(u.rec, u.reasons), err
}

// run starts puts and takes their results until nothing more can be done.
func (u *upload) run(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil { // though a result may have come as well: nothing new is begun
			return err
		}
		if err := u.launch(ctx); err != nil {
			return err
		}
		if !u.pending() {
			return ctx.Err()
		}
		timer := time.NewTimer(u.patience())
		select {
		case r := <-u.results:
			u.landed(r)
		case <-timer.C:
			u.overtake()
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
	}
}

// launch chooses stores for shards without one, journals choices that differ from the record's, and starts the puts.
func (u *upload) launch(ctx context.Context) error {
	var picked []int
	dirty := false
	for i := range u.rec.Shards {
		s := &u.rec.Shards[i]
		if s.Held || u.inFlight(i) || u.enough && u.tries[i] >= maxTries {
			continue
		}
		n := u.pick(s.Store)
		if n == 0 {
			continue // nobody left to ask: the intention stays as it is, for another time
		}
		dirty = dirty || n != s.Store
		s.Store = n
		picked = append(picked, i)
	}
	if dirty {
		if err := u.p.announce(ctx, u.rec, nil); err != nil {
			return err
		}
	}
	for _, i := range picked {
		u.start(ctx, i)
	}
	return nil
}

// pick takes the store that a shard is meant for, if that is still good, else the next best.
func (u *upload) pick(meant uint32) uint32 {
	if u.choice.fresh(meant) {
		u.choice.take(meant)
		return meant
	}
	return u.choice.next()
}

func (u *upload) start(ctx context.Context, shard int) {
	s := u.rec.Shards[shard]
	u.tries[shard]++
	ctx, cancel := context.WithTimeoutCause(ctx, putLimit, errSlow)
	a := &attempt{shard: shard, store: s.Store, start: time.Now(), cancel: cancel}
	u.flying = append(u.flying, a)
	put := Put{Shard: s.ID, Stripe: u.rec.Stripe, Generation: u.rec.Generation, Index: shard}
	data := u.shards[shard]
	go func() { // drain waits for it
		err := u.p.put(ctx, a.store, put, data)
		if err != nil && errors.Is(context.Cause(ctx), errSlow) {
			err = errSlow
		}
		u.results <- putResult{a, err, time.Since(a.start)}
	}()
}

// put gives a shard to a store.
func (p *Placer) put(ctx context.Context, number uint32, put Put, data []byte) error {
	store, ok := p.cfg.Stores.Store(number)
	if !ok {
		return errOffline
	}
	return store.Put(ctx, put, data)
}

// landed takes the result of a put.
func (u *upload) landed(r putResult) {
	r.a.cancel()
	u.flying = slices.DeleteFunc(u.flying, func(a *attempt) bool { return a == r.a })
	s := &u.rec.Shards[r.a.shard]
	switch {
	case r.err == nil && r.a.slow && s.Held:
		// Overtaken, and yet it has the shard, as another does: harmless.
	case r.err == nil:
		u.held(r)
	case !r.a.slow:
		u.fail(r.a, r.err)
	}
}

func (u *upload) held(r putResult) {
	s := &u.rec.Shards[r.a.shard]
	for _, a := range u.flying { // its replacement is not needed any more
		if a.shard == r.a.shard && !a.slow {
			a.slow = true
			a.cancel()
			u.choice.release(a.store)
		}
	}
	if r.a.slow {
		u.choice.take(r.a.store)
		delete(u.reasons, r.a.store)
	}
	s.Store, s.Held = r.a.store, true
	u.took = append(u.took, r.took)
	u.enough = u.happiness() >= u.rec.Code.Happy()
	u.p.stats.putBytes.Add(int64(len(u.shards[r.a.shard])))
}

// fail gives up on a store for this stripe and frees its place.
func (u *upload) fail(a *attempt, err error) {
	u.reasons[a.store] = err
	u.choice.release(a.store)
	u.choice.exclude(a.store)
	u.p.cfg.Log.Debug("a store failed to take a shard", "stripe", u.rec.Stripe, "shard", a.shard, "store", a.store, "err", err)
}

// overtake gives the places of puts that are far behind to other stores, or to nobody when enough are held.
func (u *upload) overtake() {
	limit, ok := u.limit()
	if !ok {
		return
	}
	for _, a := range slices.Clone(u.flying) {
		if !a.slow && time.Since(a.start) >= limit && (u.enough || u.choice.any()) {
			a.slow = true
			a.cancel()
			u.fail(a, errSlow)
			u.p.stats.overtaken.Add(1)
		}
	}
}

// limit is the time after which a put is far behind; false while too few have ended to tell.
func (u *upload) limit() (time.Duration, bool) {
	if len(u.took) == 0 || 2*len(u.took) < len(u.rec.Shards) && !u.enough {
		return 0, false
	}
	took := slices.Sorted(slices.Values(u.took))
	return max(overtakeMin, overtakeFactor*took[len(took)/2]), true
}

// patience is how long to wait for the next result before looking for stragglers.
func (u *upload) patience() time.Duration {
	limit, ok := u.limit()
	wait := putLimit
	if ok && (u.enough || u.choice.any()) {
		for _, a := range u.flying {
			if !a.slow {
				wait = min(wait, limit-time.Since(a.start))
			}
		}
	}
	return max(wait, 0)
}

// pending says whether a put is under way that counts.
func (u *upload) pending() bool {
	return slices.ContainsFunc(u.flying, func(a *attempt) bool { return !a.slow })
}

func (u *upload) inFlight(shard int) bool {
	return slices.ContainsFunc(u.flying, func(a *attempt) bool { return a.shard == shard && !a.slow })
}

func (u *upload) happiness() int {
	return u.p.cfg.Distinct.happiness(u.rec, u.infos)
}

func (u *upload) stop() {
	for _, a := range u.flying {
		a.cancel()
	}
}

// drain waits for the puts that are still ending: the shards' memory is theirs until then.
func (u *upload) drain() {
	u.stop()
	for len(u.flying) > 0 {
		r := <-u.results
		u.flying = slices.DeleteFunc(u.flying, func(a *attempt) bool { return a == r.a })
		r.a.cancel()
	}
}

// record journals what the upload achieved.
func (u *upload) record(ctx context.Context) error {
	n := u.happiness()
	if n < u.rec.Code.Happy() && !u.placed {
		// What is held already is not put again, even after a restart.
		if err := u.p.announce(ctx, u.rec, nil); err != nil {
			return err
		}
		return &QuorumError{
			What: fmt.Sprintf("place stripe %d", u.rec.Stripe), Need: u.rec.Code.Happy(), Got: n,
			Of:     "different " + u.p.cfg.Distinct.String() + "s",
			Stores: failures(u.reasons, u.infos),
		}
	}
	u.rec.Placed = true
	for i := range u.rec.Shards {
		if s := &u.rec.Shards[i]; !s.Held {
			s.Store = 0
		}
	}
	return u.p.journalRecord(ctx, u.rec, true)
}
