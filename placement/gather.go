package placement

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A gather brings ranges of shards of one stripe from stores: each from its own shard if that comes in time, else computed
// from the same range of any k. One goroutine owns it; each read runs in its own.
//
// Reads go out in three waves: the wanted shards at their hinted stores; then, for each want that failed or is late, the
// fastest of the other hinted shards until k are there or under way, and one more whenever all of them are late; and when
// no hint is left, every shard that is still missing at every other store.
type gather struct {
	p       *Placer
	rec     *Record
	wants   []want
	pieces  []piece
	flying  []*reading
	asked   map[place]bool // a shard at a store that was asked for it, except where it is under way
	gone    map[place]error
	reasons map[uint32]error
	results chan readResult
	infos   map[uint32]*StoreInfo
	order   []uint32       // of stores, fastest first
	bufs    [][]byte       // to give back
	lost    int            // hinted shards that a store said to be missing or that were wrong
	wide    bool           // hints did not suffice: all stores are asked
	broken  map[place]span // where a hinted store has lost a shard, or has it wrong
	found   map[int]uint32
	extra   *grant // for what is computed
}

// place is a shard at a store.
type place struct {
	shard int
	store uint32
}

// span is a range of a shard's bytes.
type span struct{ lo, hi int64 }

type piece struct {
	shard  int
	lo, hi int64
	data   []byte
}

type reading struct {
	place
	lo, hi int64
	start  time.Time
	ahead  int64 // bytes that were awaited when it began, its own included
	cancel context.CancelFunc
	late   bool
}

type readResult struct {
	r    *reading
	data []byte
	buf  []byte // to give back; nil if the bytes went to where they stay
	err  error
}

func (p *Placer) newGather(rec *Record, wants []want) *gather {
	g := &gather{
		p: p, rec: rec, wants: wants,
		asked: map[place]bool{}, gone: map[place]error{}, reasons: map[uint32]error{}, found: map[int]uint32{}, broken: map[place]span{},
		results: make(chan readResult), infos: map[uint32]*StoreInfo{},
	}
	infos := p.stores()
	for i := range infos {
		if infos[i].Number == 0 {
			continue
		}
		g.infos[infos[i].Number] = &infos[i]
		g.order = append(g.order, infos[i].Number)
	}
	slices.SortStableFunc(g.order, func(a, b uint32) int { return g.rank(a) - g.rank(b) })
	return g
}

// narrow leaves only these stores to be asked for shards that are not where the record says.
func (g *gather) narrow(stores []StoreInfo) {
	g.order = slices.DeleteFunc(g.order, func(n uint32) bool {
		return !slices.ContainsFunc(stores, func(s StoreInfo) bool { return s.Number == n }) &&
			!slices.ContainsFunc(g.rec.Shards, func(s Shard) bool { return s.Store == n })
	})
}

// rank orders stores: those that are here, then online ones by their speed, then the rest.
func (g *gather) rank(store uint32) int {
	s := g.infos[store]
	switch {
	case s.Here:
		return -1
	case !s.Online:
		return 1 << 40
	case s.Verdict == VerdictLiar:
		return 1 << 39
	}
	return int(g.p.speeds.expect(store) / time.Microsecond)
}

// run returns when every want has its bytes, or when nothing more can be asked.
func (g *gather) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer g.drain() // after the cancel
	defer cancel()
	late := g.p.speeds.late(g.p.cfg.HedgeAfter)
	for i := range g.wants {
		w := &g.wants[i]
		store := g.rec.Shards[w.shard].Store
		switch {
		case g.infos[store] != nil && g.infos[store].Verdict == VerdictLiar: // only when nothing else is left
			w.bad = true
		case !g.ask(ctx, place{w.shard, store}, w.lo, w.hi, false, w.into):
			w.bad = true
		case g.p.speeds.expect(store) >= late: // do not wait to see it late again
			w.bad, w.extra = true, 1
		}
	}
	timer := time.NewTimer(late)
	defer timer.Stop()
	for {
		if done, err := g.advance(ctx); done || err != nil {
			return err
		}
		select {
		case r := <-g.results:
			g.arrived(r)
		case <-timer.C:
			g.hedge(late)
			timer.Reset(late)
		case <-ctx.Done():
			return g.unreadable(ctx.Err())
		}
	}
}

// advance does all that can be done with what is here: fills wants, computes them, asks more stores.
func (g *gather) advance(ctx context.Context) (done bool, err error) {
	done = true
	if err := g.reserve(ctx); err != nil {
		return false, g.unreadable(err)
	}
	for i := range g.wants {
		w := &g.wants[i]
		if w.data == nil {
			if err := g.fill(w); err != nil {
				return false, err
			}
		}
		if w.data != nil {
			continue
		}
		done = false
		if w.bad && !g.more(ctx, w) {
			return false, g.unreadable(nil)
		}
	}
	return done, nil
}

// reserve takes the memory for computing wants, once for all of them: who holds some never waits for more.
func (g *gather) reserve(ctx context.Context) error {
	if g.extra != nil || !slices.ContainsFunc(g.wants, func(w want) bool { return w.bad && w.data == nil }) {
		return nil
	}
	ranges := map[[2]int64]bool{}
	n := 0
	for _, w := range g.wants {
		if r := [2]int64{w.lo, w.hi}; !ranges[r] {
			ranges[r] = true
			n += g.rec.Code.N() * int(w.hi-w.lo)
		}
	}
	extra, err := g.p.spare.take(ctx, n)
	if err != nil {
		return err
	}
	g.extra = extra
	return nil
}

// fill takes a want's bytes from its own shard's piece, or computes them when k others are here.
func (g *gather) fill(w *want) error {
	var have []piece
	for _, q := range g.pieces {
		if q.lo > w.lo || q.hi < w.hi || slices.ContainsFunc(have, func(h piece) bool { return h.shard == q.shard }) {
			continue
		}
		data := q.data[w.lo-q.lo : w.hi-q.lo]
		if q.shard == w.shard {
			w.data = data
			return nil
		}
		have = append(have, piece{q.shard, w.lo, w.hi, data})
	}
	if len(have) < g.rec.Code.K {
		return nil
	}
	return g.decode(w, have)
}

func (g *gather) decode(w *want, have []piece) error {
	if g.rec.Code.K == 1 && have[0].data != nil { // all shards are equal
		w.data = have[0].data
		return nil
	}
	rs, err := g.p.coders.get(g.rec.Code)
	if err != nil {
		return err
	}
	shards, required := make([][]byte, g.rec.Code.N()), make([]bool, g.rec.Code.N())
	for _, h := range have {
		shards[h.shard] = h.data
	}
	buf := g.buffer(int(w.hi - w.lo))
	shards[w.shard], required[w.shard] = buf, true
	if err := rs.ReconstructSome(shards, required); err != nil {
		return fmt.Errorf("rebuild shard %d of stripe %d: %w", w.shard, g.rec.Stripe, err)
	}
	w.data = shards[w.shard]
	g.p.stats.decoded.Add(1)
	return nil
}

// ask starts a read, and says whether it could. The bytes land in into, which no other read writes to, if it is not nil.
func (g *gather) ask(ctx context.Context, pl place, lo, hi int64, always bool, into []byte) bool {
	info := g.infos[pl.store]
	store, ok := g.p.cfg.Stores.Store(pl.store)
	if info == nil || !ok || !info.Online && !always {
		if !ok && pl.store != 0 {
			g.gone[pl] = errOffline
			g.reasons[pl.store] = errOffline
		}
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &reading{place: pl, lo: lo, hi: hi, start: time.Now(), cancel: cancel}
	r.ahead = g.p.rush.begin(hi - lo)
	g.flying = append(g.flying, r)
	buf, own := into[:0], []byte(nil)
	if into == nil {
		own = g.p.bufs.get(int(hi - lo))
		buf = own
	}
	id, size := g.rec.Shards[pl.shard].ID, int64(g.rec.ShardSize)
	go func() { // drain waits for it
		data, err := store.ReadRange(ctx, id, size, lo, hi-lo, buf)
		if err == nil && int64(len(data)) != hi-lo {
			err = fmt.Errorf("%w: %d bytes instead of %d", ErrWrongBytes, len(data), hi-lo)
		}
		g.results <- readResult{r, data, own, err}
	}()
	return true
}

// arrived takes the result of a read.
func (g *gather) arrived(res readResult) {
	r := res.r
	r.cancel()
	took, excused := time.Since(r.start), g.p.rush.explains(r.ahead)
	g.p.rush.end(r.hi - r.lo)
	g.flying = slices.DeleteFunc(g.flying, func(x *reading) bool { return x == r })
	g.keep(res.buf)
	hinted := g.rec.Shards[r.shard].Store == r.store
	if res.err != nil {
		g.refused(r, res.err, hinted, took)
		return
	}
	g.p.speeds.note(r.store, max(0, took-excused), true)
	g.p.rush.came(r.store, r.ahead, took)
	g.p.stats.fetched.Add(r.hi - r.lo)
	g.pieces = append(g.pieces, piece{r.shard, r.lo, r.hi, res.data})
	if !hinted {
		g.found[r.shard] = r.store
	}
}

func (g *gather) refused(r *reading, err error, hinted bool, took time.Duration) {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		err = errSilent
	}
	g.gone[r.place] = err
	missing := errors.Is(err, ErrNoShard)
	if missing || errors.Is(err, ErrWrongBytes) {
		if hinted {
			g.lost++
			g.broken[r.place] = span{r.lo, r.hi}
		}
		if !missing { // that it is missing a repair finds out by the newest record; this one may be old
			g.p.standings.blame(r.store, eventLied, g.rec, r.shard)
		}
	} else {
		g.p.speeds.note(r.store, took, false)
	}
	if old := g.reasons[r.store]; hinted || old == nil || errors.Is(old, ErrNoShard) {
		g.reasons[r.store] = err
	}
	for i := range g.wants {
		if g.wants[i].shard == r.shard {
			g.wants[i].bad = true
		}
	}
}

// unreadable is the error of a read that found too few shards.
func (g *gather) unreadable(because error) error {
	shards := map[int]bool{}
	for _, q := range g.pieces {
		shards[q.shard] = true
	}
	for _, r := range g.flying {
		if g.reasons[r.store] == nil {
			g.reasons[r.store] = errSilent
		}
	}
	infos := make([]StoreInfo, 0, len(g.infos))
	for _, s := range g.infos {
		infos = append(infos, *s)
		if !s.Online && g.reasons[s.Number] == nil {
			g.reasons[s.Number] = errOffline
		}
	}
	return &QuorumError{
		What: fmt.Sprintf("read stripe %d", g.rec.Stripe), Need: g.rec.Code.K, Got: len(shards), Of: "shards",
		Because: because, Stores: failures(g.reasons, infos),
	}
}

// drain waits for the reads that are still ending.
func (g *gather) drain() {
	for len(g.flying) > 0 {
		r := <-g.results
		r.r.cancel()
		if took := time.Since(r.r.start); r.err != nil && g.overdue(r.r) >= g.p.cfg.HedgeAfter {
			g.p.speeds.slow(r.r.store, took)
		}
		g.p.rush.end(r.r.hi - r.r.lo)
		g.flying = slices.DeleteFunc(g.flying, func(x *reading) bool { return x == r.r })
		g.keep(r.buf)
	}
}

func (g *gather) buffer(n int) []byte {
	b := g.p.bufs.get(n)
	g.keep(b)
	return b
}

// keep notes a buffer to give back.
func (g *gather) keep(b []byte) {
	if b != nil {
		g.bufs = append(g.bufs, b)
	}
}

// close gives the memory back; the wants' data is gone after it.
func (g *gather) close() {
	for _, b := range g.bufs {
		g.p.bufs.put(b)
	}
	g.bufs = nil
	if g.extra != nil {
		g.extra.release()
	}
}
