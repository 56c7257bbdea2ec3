package chunker

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/cuts.txt anew (a change of format)")

func TestParams(t *testing.T) {
	for _, p := range []Params{{}, {63, 256, 512}, {64, 100, 512}, {512, 256, 1024}, {64, 256, 255}, {64, 256, 1 << 31}, {-1, 1, 1}} {
		if _, err := NewTable([32]byte{}, p); !errors.Is(err, ErrParams) {
			t.Errorf("%+v: %v, want ErrParams", p, err)
		}
	}
	for _, p := range []Params{Default, Shared, small, {64, 64, 64}, {64, 64, 1 << 30}} {
		if err := p.Validate(); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

func TestEmpty(t *testing.T) {
	tab := table(t, 1, Default)
	if n := tab.Cut(nil); n != 0 {
		t.Errorf("nothing is cut at %d", n)
	}
	if n, cut := tab.NewScanner().Scan(nil); n != 0 || cut {
		t.Errorf("nothing is scanned to %d, %v", n, cut)
	}
}

func TestReset(t *testing.T) {
	tab, data := table(t, 1, small), noise(2, 5000)
	s := tab.NewScanner()
	s.Scan(data[100:150])
	s.Reset()
	if n, _ := s.Scan(data); n != tab.Cut(data) {
		t.Errorf("after Reset a cut at %d, want %d", n, tab.Cut(data))
	}
}

func TestTablesDiffer(t *testing.T) {
	data := noise(2, 100<<10)
	if slices.Equal(cuts(table(t, 1, small), data), cuts(table(t, 2, small), data)) {
		t.Error("two secrets give the same cuts")
	}
}

func TestAverage(t *testing.T) {
	data := noise(9, 8<<20)
	p := Params{Min: 1 << 10, Avg: 4 << 10, Max: 16 << 10}
	mean := len(data) / len(cuts(table(t, 1, p), data))
	if mean < p.Avg*3/4 || mean > p.Avg*5/4 {
		t.Errorf("chunks of %d bytes on average, want about %d", mean, p.Avg)
	}
}

func TestNoAllocation(t *testing.T) {
	tab, data := table(t, 1, small), noise(2, 5000)
	s := tab.NewScanner()
	if n := testing.AllocsPerRun(100, func() { tab.Cut(data); s.Scan(data) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestInsertion counts the chunks that were not there before one byte was inserted, over many places.
func TestInsertion(t *testing.T) {
	p := Params{Min: 256, Avg: 1 << 10, Max: 4 << 10}
	tab, data := table(t, 1, p), noise(4, 256<<10)
	pieces := func(data []byte) []string {
		var all []string
		for _, n := range cuts(tab, data) {
			all, data = append(all, string(data[:n])), data[n:]
		}
		return all
	}
	before := map[string]bool{}
	for _, c := range pieces(data) {
		before[c] = true
	}
	r, changed := rand.New(rand.NewPCG(1, 2)), 0
	const tries = 200
	for range tries {
		for _, c := range pieces(slices.Insert(slices.Clone(data), r.IntN(len(data)), byte(r.Uint32()))) {
			if !before[c] {
				changed++
			}
		}
	}
	if mean := float64(changed) / tries; mean >= 3 {
		t.Errorf("an inserted byte changes %.2f chunks on average", mean)
	} else {
		t.Logf("an inserted byte changes %.2f chunks on average", mean)
	}
}

// keystream is n bytes that another implementation can make: AES-256-CTR under a key of 32 times the same byte.
func keystream(t *testing.T, key byte, n int) []byte {
	block, err := aes.NewCipher(slices.Repeat([]byte{key}, 32))
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, n)
	cipher.NewCTR(block, make([]byte, aes.BlockSize)).XORKeyStream(p, p)
	return p
}

// TestVector holds the cuts that volumes were made with: should it fail, the format has changed.
func TestVector(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Chunk lengths, one line each: sizes, then key of the input, then lengths. The table's seed is 32 bytes of 01;\n" +
		"# the input is 6 MiB of the AES-256-CTR keystream from a zero counter block, its key being 32 times the byte.\n")
	seed := [32]byte(slices.Repeat([]byte{1}, 32))
	for _, p := range []Params{Default, Shared, {Min: 4 << 10, Avg: 64 << 10, Max: 100_000}} {
		tab, err := NewTable(seed, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []byte{2, 3} {
			fmt.Fprintf(&b, "%d/%d/%d %02x", p.Min, p.Avg, p.Max, key)
			for _, n := range cuts(tab, keystream(t, key, 6<<20)) {
				fmt.Fprintf(&b, " %d", n)
			}
			b.WriteByte('\n')
		}
	}
	const file = "testdata/cuts.txt"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != b.String() {
		t.Errorf("the cuts are not those of %s:\n%s", file, b.String())
	}
}
