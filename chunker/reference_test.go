package chunker

import (
	"bytes"
	"math/bits"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// small are sizes that let a property test see many chunks of little input.
var small = Params{Min: 64, Avg: 256, Max: 1024}

func table(t interface{ Fatal(...any) }, seed byte, p Params) *Table {
	tab, err := NewTable([32]byte{seed}, p)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// reference is the package comment as directly as it can be written: a hash from nothing at each length.
func reference(t *Table, p []byte) int {
	q := t.params
	avg := bits.Len(uint(q.Avg)) - 1
	for n := q.Min; n <= min(q.Max, len(p)); n++ {
		var hash uint64
		for _, b := range p[n-Window : n] {
			hash = hash<<1 + t.gear[b]
		}
		zeros := avg + 2
		if n >= q.Avg {
			zeros = avg - 2
		}
		if n == q.Max || hash>>(64-zeros) == 0 {
			return n
		}
	}
	return len(p)
}

// cuts returns the lengths of all chunks of p by the block API.
func cuts(t *Table, p []byte) []int {
	var all []int
	for len(p) > 0 {
		n := t.Cut(p)
		all, p = append(all, n), p[n:]
	}
	return all
}

// scanned returns the lengths of all chunks of p when it arrives in the given pieces, the last of them being the rest.
func scanned(t *Table, p []byte, pieces []int) []int {
	s := t.NewScanner()
	var all []int
	size := 0
	feed := func(piece []byte) {
		for len(piece) > 0 {
			n, cut := s.Scan(piece)
			if size, piece = size+n, piece[n:]; cut {
				all, size = append(all, size), 0
			}
		}
	}
	for _, n := range pieces {
		n = min(n, len(p))
		feed(p[:n])
		p = p[n:]
	}
	feed(p)
	if s.Pending() != size {
		panic("Pending is not what was consumed")
	}
	if size > 0 {
		all = append(all, size)
	}
	return all
}

// content draws bytes that a hash finds easy (random) and hard (few values, long runs).
func content(t *rapid.T) []byte {
	seed, n := rapid.Byte().Draw(t, "seed"), rapid.IntRange(0, 40<<10).Draw(t, "size")
	p := noise(seed, n)
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		clear(p)
	case 1:
		for i := range p {
			p[i] &= 1
		}
	case 2:
		copy(p[n/2:], bytes.Repeat(p[:min(n, 37)], n/74+1))
	}
	return p
}

func params(t *rapid.T) Params {
	avg := 1 << rapid.IntRange(6, 14).Draw(t, "avg")
	return Params{
		Min: rapid.IntRange(Window, avg).Draw(t, "min"),
		Avg: avg,
		Max: rapid.IntRange(avg, 5*avg).Draw(t, "max"),
	}
}

func TestCutIsTheReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab, p := table(t, rapid.Byte().Draw(t, "table"), params(t)), content(t)
		for rest := p; len(rest) > 0; {
			n := tab.Cut(rest)
			if want := reference(tab, rest); n != want {
				t.Fatalf("cut at %d of %d, want %d (%+v)", n, len(rest), want, tab.params)
			}
			rest = rest[n:]
		}
	})
}

func TestPiecesDoNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab, p := table(t, rapid.Byte().Draw(t, "table"), params(t)), content(t)
		pieces := rapid.SliceOfN(rapid.IntRange(0, 9000), 0, 40).Draw(t, "pieces")
		if got, want := scanned(tab, p, pieces), cuts(tab, p); !slices.Equal(got, want) {
			t.Fatalf("in pieces %v, in one buffer %v", got, want)
		}
	})
}

func TestSizesAndSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := params(t)
		tab, p := table(t, 1, q), content(t)
		sum := 0
		for i, n := range cuts(tab, p) {
			if sum += n; n > q.Max || n < q.Min && sum != len(p) {
				t.Fatalf("chunk %d of %d bytes is outside %+v", i, n, q)
			}
		}
		if sum != len(p) {
			t.Fatalf("chunks of %d bytes make up an input of %d", sum, len(p))
		}
	})
}

// Boundary sizes times step sizes: around every size at which the code changes what it does.
func TestBoundaries(t *testing.T) {
	tab := table(t, 1, Params{Min: lane, Avg: 2 * lane, Max: 8 * lane})
	data := noise(3, 20*lane)
	for _, at := range []int{0, 1, Window, lane - Window, lane - 1, lane, 2*lane - 1, 2 * lane, 4 * lane, 8 * lane, 9 * lane} {
		for d := -1; d <= 1; d++ {
			p := data[:max(0, at+d)]
			want := cuts(tab, p)
			for _, step := range []int{1, Window - 1, Window, Window + 1, lane - 1, lane + 1, 3 * lane} {
				pieces := slices.Repeat([]int{step}, len(p)/step+1)
				if got := scanned(tab, p, pieces); !slices.Equal(got, want) {
					t.Errorf("%d bytes in steps of %d: %v, want %v", len(p), step, got, want)
				}
			}
			if len(p) > 0 && tab.Cut(p) != reference(tab, p) {
				t.Errorf("%d bytes: cut at %d, want %d", len(p), tab.Cut(p), reference(tab, p))
			}
		}
	}
}
