package placement

import (
	"fmt"
	"hash/fnv"
	"math"
	"strconv"
)

// Distinct is the level of failure domain of which each shard of a stripe must have its own.
type Distinct uint8

// The levels, from the smallest.
const (
	DistinctMachine Distinct = iota // the default
	DistinctSite
	DistinctOwner
)

// ParseDistinct reads "machine" (or nothing), "site" or "owner".
func ParseDistinct(s string) (Distinct, error) {
	switch s {
	case "", "machine":
		return DistinctMachine, nil
	case "site":
		return DistinctSite, nil
	case "owner":
		return DistinctOwner, nil
	}
	return 0, fmt.Errorf("%q is not a level of failure domains; there are machine, site and owner", s)
}

// String is the word for one domain of the level.
func (d Distinct) String() string {
	return [...]string{"machine", "site", "owner"}[min(d, DistinctOwner)]
}

// domain is the failure domain of a store at a level. A machine is a machine whoever runs nodes on it; sites belong to
// owners, and the stores of an owner that name no site count as one site; a store that names no machine is one of its own.
func (d Distinct) domain(s *StoreInfo) string {
	switch {
	case d == DistinctOwner:
		return string(s.Owner[:])
	case d == DistinctSite:
		return string(s.Owner[:]) + s.Site
	case s.Machine != "":
		return "m" + s.Machine
	default:
		return "#" + strconv.FormatUint(uint64(s.Number), 10)
	}
}

// elsewhere are the stores that are not on this machine, even where only another store's entry says that they are.
func elsewhere(infos []StoreInfo) []StoreInfo {
	here := map[string]bool{}
	for i := range infos {
		if infos[i].Here {
			here[DistinctMachine.domain(&infos[i])] = true
		}
	}
	out := make([]StoreInfo, 0, len(infos))
	for i := range infos {
		if infos[i].Number != 0 && !here[DistinctMachine.domain(&infos[i])] {
			out = append(out, infos[i])
		}
	}
	return out
}

// domains counts the distinct failure domains of stores.
func (d Distinct) domains(infos []StoreInfo) int {
	seen := map[string]bool{}
	for i := range infos {
		seen[d.domain(&infos[i])] = true
	}
	return len(seen)
}

// A chooser hands out stores for the shards of one stripe, best first: in the domains used least so far, seen from the
// owner down to the machine, and among equals by weighted rendezvous hashing. The same stripe, stores and history give
// the same choices, and a store that comes or goes changes only the choices that concern it. Not for concurrent use.
type chooser struct {
	distinct   Distinct
	candidates []candidate
	used       map[string]int // shards taken per domain, all levels in one map
}

type candidate struct {
	info    StoreInfo
	levels  [3]string // keys in used: owner, site, machine
	own     string    // key in used of the level that must be distinct
	score   float64
	demoted bool // only when nothing else is left
	out     bool // taken, or not to be asked
}

func newChooser(seed uint64, infos []StoreInfo, d Distinct) *chooser {
	c := &chooser{distinct: d, used: map[string]int{}}
	for i := range infos {
		s := &infos[i]
		k := candidate{info: *s, score: score(seed, s), demoted: s.Verdict.last()}
		for l, level := range [...]Distinct{DistinctOwner, DistinctSite, DistinctMachine} {
			k.levels[l] = level.String() + level.domain(s)
		}
		k.own = d.String() + d.domain(s)
		c.candidates = append(c.candidates, k)
	}
	return c
}

// score is the store's place in the order of weighted rendezvous hashing: -w/ln(u) with u uniform in (0, 1) makes the
// highest score fall to each store in proportion to its weight w. It depends on what everybody knows of the store, not on
// its number in one volume, and on the content of the stripe: so equal stripes of two owners in a shared domain go to
// the same stores, which keep their equal shards once.
func score(seed uint64, s *StoreInfo) float64 {
	h := fnv.New64a()
	h.Write(s.Owner[:])
	h.Write([]byte(s.Machine))
	u := (float64(mix(mix(seed)^h.Sum64())>>11) + 0.5) / (1 << 53)
	free := coarse(max(float64(s.Free), 1<<20))
	reliability := coarse(min(max(s.Reliability, 0.05), 1)) // a newcomer gets little, but something
	return -free * reliability * reliability / math.Log(u)
}

// coarse rounds a weight to a power of two: two owners never see quite the same free space or reliability of a store,
// and should choose the same stores all the same. It changes at 1.5 times a power of two, so that neither a depot of a
// round size that begins to fill nor a store that failed once is at an edge.
func coarse(w float64) float64 { return math.Exp2(math.Floor(math.Log2(w) + 0.415)) }

// mix is the finaliser of SplitMix64: a bijection in which each bit of the input moves half of the output.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// take notes that the store holds, or will hold, a shard. A store that is not known takes nothing away.
func (c *chooser) take(store uint32) {
	if k := c.find(store); k != nil {
		k.out = true
		for _, l := range k.levels {
			c.used[l]++
		}
	}
}

// release undoes take, except that the store is not chosen again.
func (c *chooser) release(store uint32) {
	if k := c.find(store); k != nil {
		for _, l := range k.levels {
			c.used[l]--
		}
	}
}

// exclude keeps a store from being chosen; demoteAll keeps stores for when nothing else is left.
func (c *chooser) exclude(store uint32) {
	if k := c.find(store); k != nil {
		k.out = true
	}
}

func (c *chooser) demoteAll(stores map[uint32]error) {
	for n := range stores {
		if k := c.find(n); k != nil {
			k.demoted = true
		}
	}
}

func (c *chooser) find(store uint32) *candidate {
	for i := range c.candidates {
		if c.candidates[i].info.Number == store {
			return &c.candidates[i]
		}
	}
	return nil
}

// fresh says whether an earlier choice is still good: not out, not demoted, its domain not used.
func (c *chooser) fresh(store uint32) bool {
	k := c.find(store)
	return k != nil && c.open(k) && !k.demoted
}

func (c *chooser) open(k *candidate) bool { return !k.out && c.used[k.own] == 0 }

// doubles says whether the store's domain is used already.
func (c *chooser) doubles(store uint32) bool {
	k := c.find(store)
	return k != nil && c.used[k.own] > 0
}

// next takes the best store whose domain is not used yet; 0 when there is none.
func (c *chooser) next() uint32 {
	var best *candidate
	for i := range c.candidates {
		if k := &c.candidates[i]; c.open(k) && (best == nil || c.better(k, best)) {
			best = k
		}
	}
	if best == nil {
		return 0
	}
	c.take(best.info.Number)
	return best.info.Number
}

// any says whether next would find one.
func (c *chooser) any() bool {
	for i := range c.candidates {
		if c.open(&c.candidates[i]) {
			return true
		}
	}
	return false
}

func (c *chooser) better(a, b *candidate) bool {
	if a.demoted != b.demoted {
		return b.demoted
	}
	for l := range a.levels {
		if x, y := c.used[a.levels[l]], c.used[b.levels[l]]; x != y {
			return x < y
		}
	}
	if a.score != b.score {
		return a.score > b.score
	}
	return a.info.Number < b.info.Number
}
