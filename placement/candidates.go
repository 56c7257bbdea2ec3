package placement

import (
	"context"
	"time"
)

// Whom a gather asks next for what it computes, and when.

// more asks for shards that a want can be computed from, until enough are here or under way. False: nobody is left to
// ask, and nothing is under way.
func (g *gather) more(ctx context.Context, w *want) bool {
	for {
		flying := g.count(w)
		enough := g.rec.Code.K + w.extra
		if g.wide {
			enough += g.rec.Code.N() // most will say that they do not have it
		}
		if flying >= enough {
			return true
		}
		pl, ok := g.candidate(w)
		if !ok && !g.wide {
			g.wide = true
			continue
		}
		if !ok {
			return g.possible(w)
		}
		g.ask(ctx, pl, w.lo, w.hi, true, nil)
	}
}

// count is how many different shards cover a want, here or under way and not late.
func (g *gather) count(w *want) int {
	seen := map[int]bool{}
	n := 0
	for _, q := range g.pieces {
		if q.lo <= w.lo && q.hi >= w.hi && !seen[q.shard] {
			seen[q.shard] = true
			n++
		}
	}
	for _, r := range g.flying {
		if r.lo <= w.lo && r.hi >= w.hi && !seen[r.shard] {
			n++
		}
	}
	return n
}

// possible says whether what is here and under way could still give the want.
func (g *gather) possible(w *want) bool {
	seen := map[int]bool{}
	for _, q := range g.pieces {
		seen[q.shard] = seen[q.shard] || q.lo <= w.lo && q.hi >= w.hi
	}
	for _, r := range g.flying {
		seen[r.shard] = seen[r.shard] || r.lo <= w.lo && r.hi >= w.hi
	}
	n := 0
	for _, ok := range seen {
		if ok {
			n++
		}
	}
	return seen[w.shard] || n >= g.rec.Code.K
}

// candidate is the next shard to ask for and the store to ask, for a want that is computed.
func (g *gather) candidate(w *want) (place, bool) {
	if !g.wide {
		for _, store := range g.order {
			for i, s := range g.rec.Shards {
				if s.Store == store && g.infos[store].Online && g.useful(place{i, store}, w) {
					return place{i, store}, true
				}
			}
		}
		return place{}, false
	}
	for i, s := range g.rec.Shards { // hinted stores that seem to be offline first
		if _, known := g.infos[s.Store]; known && g.useful(place{i, s.Store}, w) {
			return place{i, s.Store}, true
		}
	}
	for _, store := range g.order {
		for i := range g.rec.Shards {
			if pl := (place{i, store}); g.infos[store].Online && g.useful(pl, w) {
				return pl, true
			}
		}
	}
	return place{}, false
}

// useful says whether asking for this shard there brings anything that is not here, under way or known to fail.
func (g *gather) useful(pl place, w *want) bool {
	if _, bad := g.gone[pl]; bad {
		return false
	}
	for _, q := range g.pieces {
		if q.shard == pl.shard && q.lo <= w.lo && q.hi >= w.hi {
			return false
		}
	}
	for _, r := range g.flying {
		if r.shard == pl.shard && r.lo <= w.lo && r.hi >= w.hi && (!g.wide || r.store == pl.store) {
			return false
		}
	}
	return true
}

// overdue is how long a read has taken beyond twice what the load explains.
func (g *gather) overdue(r *reading) time.Duration {
	return time.Since(r.start) - 2*g.p.rush.explains(r.ahead)
}

// hedge looks for reads that are late: their wants are computed from others, and those that are computed already get one
// more source.
func (g *gather) hedge(late time.Duration) {
	for _, r := range g.flying {
		r.late = r.late || g.overdue(r) >= late
	}
	for i := range g.wants {
		w := &g.wants[i]
		if w.data != nil {
			continue
		}
		n := 0
		for _, r := range g.flying {
			if r.late && r.lo <= w.lo && r.hi >= w.hi {
				n++
			}
		}
		if n > w.extra {
			w.bad, w.extra = true, n
			g.p.stats.hedged.Add(1)
		}
	}
}
