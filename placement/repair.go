package placement

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// lookAgain is how long a stripe that a repair found whole is left alone by reads that think otherwise: their record is
// old.
const lookAgain = 5 * time.Minute

// healRead queues a repair that a read found to be needed. broken are the shards that a store lost or has wrong.
func (p *Placer) healRead(stripe uint64, spare int, broken map[place]span) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t, ok := p.whole[stripe]; ok && time.Since(t) < lookAgain {
		return
	}
	if p.broken[stripe] == nil {
		p.broken[stripe] = map[place]span{}
	}
	maps.Copy(p.broken[stripe], broken)
	p.queue.addRepair(stripe, spare, time.Time{}, true)
	p.signal()
}

// Repair looks at every shard of a placed stripe and puts back what is lost: shards that their store does not have, or has
// wrong, or that are nowhere, or at a store that is not known any more. A store that cannot be asked is away, not lost,
// unless only k shards can be read, or fewer. Lost shards are computed from the local copy or from any k others,
// checked against their IDs, put to stores that hold none of this stripe (if there are, else to those that lost theirs),
// and journaled (Intend, Placed). It returns nil when all that can be known is whole; a *QuorumError if shards stay lost.
func (p *Placer) Repair(ctx context.Context, stripe uint64) error {
	out, err := p.repair(ctx, stripe, true)
	if err == nil && out.missing > 0 {
		err = &QuorumError{
			What: fmt.Sprintf("repair stripe %d", stripe),
			Need: out.missing, Got: 0, Of: "more different " + p.cfg.Distinct.String() + "s",
			Stores: failures(out.reasons, p.cfg.Stores.Stores()),
		}
	}
	return err
}

// repair does Repair; without look it only finds stores for shards that are known to be nowhere.
func (p *Placer) repair(ctx context.Context, stripe uint64, look bool) (outcome, error) {
	unlock, err := p.working.lock(ctx, stripe)
	if err != nil {
		return outcome{}, err
	}
	defer unlock()
	rec, err := p.record(ctx, stripe)
	if err != nil {
		return outcome{}, err
	}
	if rec == nil || !rec.Placed {
		return outcome{}, nil // nothing to repair: the upload will see to it
	}
	if !look && !p.shunned(rec) && !p.chooserFor(rec, nil).any() {
		out := outcomeOf(rec, nil)
		out.stuck = true
		return out, nil
	}
	return p.mend(ctx, rec)
}

// state is what is known of a shard where its record says that it is.
type state uint8

const (
	stateNowhere state = iota // no store, or one that is not known any more
	stateGood
	stateAway    // cannot be asked
	stateGone    // the store does not have it
	stateWrong   // the store has other bytes
	stateShunned // the store is lost or lies: it is not even asked
)

// mend repairs the stripe of a record; the stripe is locked.
func (p *Placer) mend(ctx context.Context, rec *Record) (outcome, error) {
	p.mu.Lock()
	suspect := p.broken[rec.Stripe]
	delete(p.broken, rec.Stripe)
	p.mu.Unlock()
	states := p.look(ctx, rec, suspect)
	if err := ctx.Err(); err != nil {
		return outcome{}, err
	}
	before := rec.Append(nil)
	demoted := settle(rec, states)
	p.giveUp(rec, states)
	if p.follow(ctx, rec, demoted); ctx.Err() != nil {
		return outcome{}, ctx.Err()
	}
	p.leaveSlow(rec, demoted)
	if rec.held() == rec.Code.N() {
		return p.sound(ctx, rec, before)
	}
	return p.rebuild(ctx, rec, before, demoted)
}

// sound ends a repair that had nothing to rebuild.
func (p *Placer) sound(ctx context.Context, rec *Record, before []byte) (outcome, error) {
	rec.Placed = true
	if string(rec.Append(nil)) != string(before) {
		if err := p.journalRecord(ctx, rec, true); err != nil {
			return outcome{}, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.whole) >= 4096 {
		clear(p.whole)
	}
	p.whole[rec.Stripe] = time.Now()
	return outcomeOf(rec, nil), nil
}

// look asks every hinted store for a group of its shard, or for what a read found to be broken: it may be mended by now.
func (p *Placer) look(ctx context.Context, rec *Record, suspect map[place]span) []state {
	v := p.view()
	leaving := v.homes(rec) // what slow stores have is moved, and they are not waited for
	states := make([]state, len(rec.Shards))
	results := make(chan int)
	asked := 0
	for i, s := range rec.Shards {
		info := v.of[s.Store]
		if info == nil || s.Store == 0 {
			continue
		}
		states[i] = stateAway
		if !info.Verdict.sound() {
			states[i] = stateShunned
			continue
		}
		if !info.Online || info.Verdict == VerdictSlow && leaving {
			continue
		}
		at, ok := suspect[place{i, s.Store}]
		if !ok {
			at = p.anyGroup(rec, i)
		}
		asked++
		go func() {
			states[i] = p.probe(ctx, rec, place{i, s.Store}, at)
			results <- i
		}()
	}
	for range asked {
		<-results
	}
	return states
}

// sampleLimit is how long a store may take for one group before it counts as away.
const sampleLimit = 20 * time.Second

// anyGroup is one group of a shard; which one changes with time, so that rot is found in the end.
func (p *Placer) anyGroup(rec *Record, shard int) span {
	size := int64(rec.ShardSize)
	groups := uint64(size+crypt.GroupSize-1) / crypt.GroupSize
	lo := int64(mix(uint64(p.cfg.Now().UnixNano())+uint64(shard))%groups) * crypt.GroupSize
	return span{lo, min(lo+crypt.GroupSize, size)}
}

// sample reads a range of a shard from a store.
func (p *Placer) sample(ctx context.Context, rec *Record, from place, at span) error {
	s, ok := p.cfg.Stores.Store(from.store)
	if !ok {
		return errOffline
	}
	ctx, cancel := context.WithTimeout(ctx, sampleLimit)
	defer cancel()
	n := at.hi - at.lo
	buf := p.bufs.get(int(n))
	defer p.bufs.put(buf)
	got, err := s.ReadRange(ctx, rec.Shards[from.shard].ID, int64(rec.ShardSize), at.lo, n, buf)
	if err == nil && int64(len(got)) != n {
		return ErrWrongBytes
	}
	p.stats.fetched.Add(int64(len(got)))
	if err != nil && ctx.Err() != nil && stateOf(err) == stateAway { // however the store says that it was cut off
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}

func stateOf(err error) state {
	switch {
	case err == nil:
		return stateGood
	case errors.Is(err, ErrNoShard):
		return stateGone
	case errors.Is(err, ErrWrongBytes):
		return stateWrong
	}
	return stateAway
}

// settle marks in the record which shards are held, and gives the stores that are the last choice for new ones.
func settle(rec *Record, states []state) map[uint32]error {
	demoted := map[uint32]error{}
	for i := range rec.Shards {
		s := &rec.Shards[i]
		switch states[i] {
		case stateGood:
			s.Held = true
		case stateAway:
		case stateGone, stateWrong:
			demoted[s.Store] = ErrNoShard
			s.Held, s.Store = false, 0
		default:
			s.Held, s.Store = false, 0
		}
	}
	return demoted
}

// giveUp takes shards at stores that are away for lost, while the stripe could not be read without one more of those
// that are there: as many as it takes for it to be as safe as one that has just been placed, those that have been
// away longest first. The others are expected back.
func (p *Placer) giveUp(rec *Record, states []state) {
	v := p.view()
	good, there := 0, 0 // there: and those that will be put anyway
	var away []int
	for i, s := range states {
		switch {
		case s == stateGood:
			good++
			there++
		case s == stateAway && rec.Shards[i].Held:
			away = append(away, i)
		default:
			there++
		}
	}
	if good > rec.Code.K {
		return
	}
	slices.SortStableFunc(away, func(a, b int) int {
		return cmp.Compare(v.away(rec.Shards[b].Store), v.away(rec.Shards[a].Store))
	})
	for _, i := range away[:min(len(away), max(rec.Code.Happy()-there, 0))] {
		rec.Shards[i].Held = false
	}
}

// follow asks the other stores for shards that are nowhere: a hint may be older than a repair by another device, or the
// store was away for long and is back. Those that just failed are not believed, for one good group says nothing of the rest.
// Nor are all of a large swarm asked, but those to which the shards would go, and have gone before. A shard found in a domain
// that holds another belongs elsewhere, while there are k without it.
func (p *Placer) follow(ctx context.Context, rec *Record, failed map[uint32]error) {
	if !slices.ContainsFunc(rec.Shards, func(s Shard) bool { return s.Store == 0 }) {
		return
	}
	skip := p.slow()
	used := p.chooserFor(rec, nil)
	for _, s := range rec.Shards {
		skip[s.Store] = skip[s.Store] || s.Held
	}
	for n := range failed {
		skip[n] = true
	}
	for _, info := range p.likely(rec) {
		if skip[info.Number] || !info.Online || !info.Verdict.sound() || used.doubles(info.Number) && rec.held() >= rec.Code.K {
			continue
		}
		for i := range rec.Shards {
			if rec.Shards[i].Store != 0 {
				continue
			}
			st := stateOf(p.sample(ctx, rec, place{i, info.Number}, p.anyGroup(rec, i)))
			if ctx.Err() != nil {
				return
			}
			if st == stateGood {
				rec.Shards[i].Store, rec.Shards[i].Held = info.Number, true
				used.take(info.Number)
			}
			if st != stateGone { // it has one; or it would make each of the others wait as well
				break
			}
		}
	}
}

// likely are the stores to which shards of a stripe may have gone, the likeliest first.
func (p *Placer) likely(rec *Record) []StoreInfo {
	const more = 8 // beyond a stripe's own number: weights have changed since
	c := newChooser(binary.LittleEndian.Uint64(rec.Shards[0].ID[:]), elsewhere(p.stores()), p.cfg.Distinct)
	slices.SortStableFunc(c.candidates, func(a, b candidate) int { return cmp.Compare(b.score, a.score) })
	var list []StoreInfo
	for i := range c.candidates[:min(rec.Code.N()+more, len(c.candidates))] {
		list = append(list, c.candidates[i].info)
	}
	return list
}

// rebuild computes the shards that no store holds, and uploads them.
func (p *Placer) rebuild(ctx context.Context, rec *Record, before []byte, demoted map[uint32]error) (outcome, error) {
	if !p.chooserFor(rec, nil).any() { // nobody would take them
		return p.unhoused(ctx, rec, before)
	}
	if p.readable(rec) > rec.Code.K { // what can take no more losses waits for nothing
		if err := p.rate.wait(ctx, int(rec.ShardSize)*(rec.Code.K+rec.Code.N()-rec.held())); err != nil {
			return outcome{}, err
		}
	}
	g, err := p.back.take(ctx, int(rec.ShardSize)*(rec.Code.N()+1))
	if err != nil {
		return outcome{}, err
	}
	defer g.release()
	shards, free, err := p.recover(ctx, rec)
	if err != nil {
		return outcome{}, err
	}
	defer free()
	lost := rec.Code.N() - rec.held()
	rec.Generation++
	u := p.newUpload(rec, shards, demoted)
	u.placed = true
	out, err := u.finish(ctx)
	p.stats.healed.Add(int64(max(lost-out.missing, 0)))
	return out, err
}

// unhoused ends a repair for which there is no store: the record says what is true.
func (p *Placer) unhoused(ctx context.Context, rec *Record, before []byte) (outcome, error) {
	reasons := map[uint32]error{}
	p.chooserFor(rec, reasons)
	if !rec.Placed && rec.held() < rec.Code.K {
		return outcome{}, &QuorumError{What: fmt.Sprintf("find stripe %d, which is not here", rec.Stripe), Need: rec.Code.K, Got: rec.held(), Of: "shards",
			Stores: failures(reasons, p.stores())}
	}
	rec.Placed = true
	if string(rec.Append(nil)) != string(before) {
		if err := p.journalRecord(ctx, rec, true); err != nil {
			return outcome{}, err
		}
	}
	out := outcomeOf(rec, reasons)
	out.stuck = true
	return out, nil
}

// shunned says whether a record counts on a store that is lost or lies.
func (p *Placer) shunned(rec *Record) bool {
	return p.view().condition(rec).shunned > 0
}

// leaveSlow gives up shards at slow stores, as many as other stores would take.
func (p *Placer) leaveSlow(rec *Record, demoted map[uint32]error) {
	slow := p.slow()
	if len(slow) == 0 {
		return
	}
	others := p.chooserFor(rec, nil)
	for i := range rec.Shards {
		if !rec.Shards[i].Held { // it needs a home as well
			others.next()
		}
	}
	for i := range rec.Shards {
		s := &rec.Shards[i]
		if !s.Held || !slow[s.Store] {
			continue
		}
		if n := others.next(); n == 0 || slow[n] {
			return
		}
		demoted[s.Store] = errSlow
		s.Held, s.Store = false, 0
	}
}

// slow are the stores that are slow.
func (p *Placer) slow() map[uint32]bool {
	slow := map[uint32]bool{}
	for _, s := range p.stores() {
		if s.Verdict == VerdictSlow {
			slow[s.Number] = true
		}
	}
	return slow
}

// recover brings the bytes of all shards that are not held: from the local copy if it is good, else from stores.
func (p *Placer) recover(ctx context.Context, rec *Record) (shards [][]byte, free func(), err error) {
	if e, _, err := p.encode(ctx, rec.Stripe, rec); err == nil {
		return e.shards, func() { e.free(&p.bufs) }, nil
	}
	var wants []want
	for i, s := range rec.Shards {
		if !s.Held {
			wants = append(wants, want{shard: i, hi: int64(rec.ShardSize)})
		}
	}
	g := p.newGather(rec, wants)
	g.narrow(p.likely(rec)) // to ask all of a large swarm, time and again, is what a reader may do
	if err = g.run(ctx); err == nil {
		shards = make([][]byte, rec.Code.N())
		for i, w := range wants {
			shards[w.shard] = wants[i].data
			if crypt.Sum(w.data) != rec.Shards[w.shard].ID {
				err = fmt.Errorf("rebuild shard %d of stripe %d: %w", w.shard, rec.Stripe, ErrWrongBytes)
			}
		}
	}
	if err != nil {
		g.close()
		return nil, nil, err
	}
	return shards, g.close, nil
}
