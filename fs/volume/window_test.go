package volume

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta"
)

// origin is which byte of which chunk stands at a place of a file.
type origin struct {
	chunk uint64 // 0: a hole
	skip  int
}

func origins(t *rapid.T, extents []meta.Extent, n int) []origin {
	got := make([]origin, n)
	end := uint64(0)
	for i := range extents {
		e := &extents[i]
		if e.Len == 0 || e.Off < end {
			t.Fatalf("extent %d: [%d,+%d) after %d", i, e.Off, e.Len, end)
		}
		end = e.Off + uint64(e.Len)
		for k := range int(e.Len) {
			got[int(e.Off)+k] = origin{e.Ref.Stripe, int(e.Skip) + k}
		}
	}
	return got
}

// TestOverlayAndTrim compares extents with an array of where each byte is from.
func TestOverlayAndTrim(t *testing.T) {
	const space = 500
	rapid.Check(t, func(t *rapid.T) {
		var extents []meta.Extent
		want := make([]origin, space)
		chunk := uint64(0)
		t.Repeat(map[string]func(*rapid.T){
			"overlay": func(t *rapid.T) {
				chunk++
				off := rapid.IntRange(0, space-1).Draw(t, "off")
				e := meta.Extent{Off: uint64(off), Len: uint32(rapid.IntRange(1, space-off).Draw(t, "len")),
					Skip: uint32(rapid.IntRange(0, 9).Draw(t, "skip")), Ref: crypt.Ref{Stripe: chunk}}
				extents = overlay(extents, e)
				for k := range int(e.Len) {
					want[off+k] = origin{chunk, int(e.Skip) + k}
				}
			},
			"trim": func(t *rapid.T) {
				size := rapid.IntRange(0, space).Draw(t, "size")
				old := len(extents) > 0 && extents[len(extents)-1].Off+uint64(extents[len(extents)-1].Len) > uint64(size)
				var cut bool
				if extents, cut = trim(extents, uint64(size)); cut != old {
					t.Fatalf("trim says %v, want %v", cut, old)
				}
				clear(want[size:])
			},
			"": func(t *rapid.T) {
				for i, g := range origins(t, extents, space) {
					if g != want[i] {
						t.Fatalf("at %d: %v, want %v", i, g, want[i])
					}
				}
			},
		})
	})
}

func TestPageBits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b pageBits
		want := map[uint64]bool{}
		lo := rapid.Uint64Range(0, windowPages).Draw(t, "lo")
		hi := rapid.Uint64Range(lo, windowPages).Draw(t, "hi")
		b.setRange(lo, hi)
		for i := lo; i < hi; i++ {
			want[i] = true
		}
		for _, i := range rapid.SliceOf(rapid.Uint64Range(0, windowPages-1)).Draw(t, "flips") {
			if want[i] = !want[i]; want[i] {
				b.set(i)
			} else {
				b.unset(i)
			}
		}
		n := 0
		for i := uint64(0); i < windowPages; i++ {
			if b.has(i) != want[i] {
				t.Fatalf("bit %d: %v", i, b.has(i))
			}
			if want[i] {
				n++
			}
		}
		if b.count() != n {
			t.Fatalf("%d bits counted, %d set", b.count(), n)
		}
	})
}
