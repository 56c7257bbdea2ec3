package placement

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hammockfs/hammock/crypt"
)

func ownerKey(n int) (k crypt.OwnerKey) {
	k[0], k[1] = byte(n), byte(n>>8)
	return k
}

func drawInfos(t *rapid.T) []StoreInfo {
	n := rapid.IntRange(1, 24).Draw(t, "stores")
	infos := make([]StoreInfo, n)
	for i := range infos {
		o := rapid.IntRange(0, 5).Draw(t, "owner")
		infos[i] = StoreInfo{
			Number: uint32(i + 1), Owner: ownerKey(o), Site: fmt.Sprintf("site %d", rapid.IntRange(0, 2).Draw(t, "site")),
			Machine: fmt.Sprintf("machine %d", rapid.IntRange(0, n).Draw(t, "machine")),
			Free:    rapid.Int64Range(0, 1<<40).Draw(t, "free"), Reliability: rapid.Float64Range(0, 1).Draw(t, "reliability"),
			Online: true, Here: rapid.IntRange(0, 9).Draw(t, "here") == 0,
		}
	}
	return infos
}

func choose(stripe uint64, infos []StoreInfo, d Distinct, n int) []uint32 {
	c := newChooser(stripe, elsewhere(infos), d)
	var out []uint32
	for range n {
		s := c.next()
		if s == 0 {
			break
		}
		out = append(out, s)
	}
	return out
}

func TestChoiceProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		infos := drawInfos(t)
		d := Distinct(rapid.IntRange(0, 2).Draw(t, "distinct"))
		stripe, n := rapid.Uint64().Draw(t, "stripe"), rapid.IntRange(1, 12).Draw(t, "shards")
		got := choose(stripe, infos, d, n)
		shuffled := slices.Clone(infos)
		rand.New(rand.NewPCG(stripe, 1)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if again := choose(stripe, shuffled, d, n); !slices.Equal(got, again) {
			t.Fatalf("not deterministic: %v, then %v", got, again)
		}
		here := map[string]bool{}
		for _, s := range infos {
			if s.Here {
				here[s.Machine] = true
			}
		}
		used, perOwner := map[string]bool{}, map[crypt.OwnerKey]int{}
		for _, number := range got {
			s := infos[number-1]
			if here[s.Machine] || used[d.domain(&s)] {
				t.Fatalf("store %d is on this machine, or its %v is used twice: %v", number, d, got)
			}
			used[d.domain(&s)] = true
			perOwner[s.Owner]++
		}
		if want := min(n, d.domains(elsewhere(infos))); len(got) > want || d != DistinctMachine && len(got) < want {
			t.Fatalf("%d stores chosen, %d possible", len(got), want)
		}
		if d == DistinctOwner {
			return
		}
		// As even as possible: an owner with two shards fewer than another has no machine left.
		for _, s := range infos {
			for _, many := range perOwner {
				if perOwner[s.Owner]+1 < many && !here[s.Machine] && !used[d.domain(&s)] {
					t.Fatalf("an owner has %d shards, another %d and store %d free: %v", many, perOwner[s.Owner], s.Number, got)
				}
			}
		}
	})
}

func TestChoiceFollowsWeight(t *testing.T) {
	infos := make([]StoreInfo, 8)
	for i := range infos {
		infos[i] = StoreInfo{Number: uint32(i + 1), Owner: ownerKey(i), Free: 100 << 30, Reliability: 1, Online: true}
	}
	infos[3].Free = 400 << 30
	infos[5].Reliability = 0.1
	first := map[uint32]int{}
	const stripes = 20000
	for s := range uint64(stripes) {
		first[choose(s, infos, DistinctMachine, 1)[0]]++
	}
	// The weights sum to 6*1 + 4 + 0.01.
	if share := float64(first[4]) / stripes; share < 0.37 || share > 0.43 {
		t.Errorf("four times the space gets %.3f of the stripes instead of 0.4", share)
	}
	if share := float64(first[6]) / stripes; share > 0.003 {
		t.Errorf("an unreliable store gets %.3f of the stripes", share)
	}
}

// TestChoiceIsCoarse: two owners who see a store a little differently choose alike.
func TestChoiceIsCoarse(t *testing.T) {
	one, other := make([]StoreInfo, 8), make([]StoreInfo, 8)
	for i := range one {
		one[i] = StoreInfo{Number: uint32(i + 1), Owner: ownerKey(i), Machine: fmt.Sprint(i), Free: 1 << 30, Reliability: 1, Online: true}
		other[i] = one[i]
		other[i].Free -= int64(i) * 10 << 20
		other[i].Reliability -= 0.02 * float64(i)
	}
	for s := range uint64(1000) {
		if a, b := choose(s, one, DistinctMachine, 6), choose(s, other, DistinctMachine, 6); !slices.Equal(a, b) {
			t.Fatalf("stripe %d goes to %v for one owner and to %v for another", s, a, b)
		}
	}
}

func TestChoiceMovesLittle(t *testing.T) {
	infos := make([]StoreInfo, 12)
	for i := range infos {
		infos[i] = StoreInfo{Number: uint32(i + 1), Owner: ownerKey(i), Free: 1 << 30, Reliability: 1, Online: true}
	}
	for stripe := range uint64(500) {
		before, after := choose(stripe, infos, DistinctMachine, 6), choose(stripe, infos[:11], DistinctMachine, 6)
		kept := 0
		for _, s := range before {
			if slices.Contains(after, s) {
				kept++
			}
		}
		if want := 6 - boolInt(slices.Contains(before, 12)); kept != want {
			t.Fatalf("stripe %d: %v became %v when store 12 left", stripe, before, after)
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestMatching compares with trying everything.
func TestMatching(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lefts, rights := rapid.IntRange(0, 6).Draw(t, "lefts"), rapid.IntRange(1, 6).Draw(t, "rights")
		edges := make([][]int, lefts)
		for i := range edges {
			edges[i] = rapid.SliceOfN(rapid.IntRange(0, rights-1), 0, 4).Draw(t, "edges")
		}
		if got, want := matching(edges, rights), tryAll(edges, 0); got != want {
			t.Fatalf("matching of %v is %d, not %d", edges, got, want)
		}
	})
}

func tryAll(edges [][]int, used int) int {
	if len(edges) == 0 {
		return 0
	}
	best := tryAll(edges[1:], used)
	for _, r := range edges[0] {
		if used&(1<<r) == 0 {
			best = max(best, 1+tryAll(edges[1:], used|1<<r))
		}
	}
	return best
}

func TestHappinessCountsDomainsOnce(t *testing.T) {
	r := sampleRecord()
	infos := make([]StoreInfo, 6)
	for i := range infos {
		infos[i] = StoreInfo{Number: uint32(i + 1), Machine: fmt.Sprint("m", i), Owner: ownerKey(i / 2)}
	}
	check := func(d Distinct, want int) {
		t.Helper()
		if got := d.happiness(&r, infos); got != want {
			t.Errorf("happiness by %v is %d, not %d", d, got, want)
		}
	}
	check(DistinctMachine, 5) // the sixth is not held
	check(DistinctOwner, 3)
	infos[1].Machine = "m0"
	check(DistinctMachine, 4)
	infos[2].Here = true
	check(DistinctMachine, 3)
}
