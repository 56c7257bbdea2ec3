package chunker

import (
	"math/rand/v2"
	"testing"
)

// noise returns n reproducible random bytes.
func noise(seed byte, n int) []byte {
	p := make([]byte, n)
	r := rand.NewChaCha8([32]byte{seed})
	_, _ = r.Read(p)
	return p
}

func benchmarkCut(b *testing.B, p Params) {
	data := noise(1, 64<<20)
	t, err := NewTable([32]byte{1}, p)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		for rest := data; len(rest) > 0; {
			rest = rest[t.Cut(rest):]
		}
	}
}

func BenchmarkCutDefault(b *testing.B) { benchmarkCut(b, Default) }
func BenchmarkCutShared(b *testing.B)  { benchmarkCut(b, Shared) }

func BenchmarkScan128KiB(b *testing.B) {
	data := noise(1, 64<<20)
	t, err := NewTable([32]byte{1}, Default)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		s := t.NewScanner()
		for at := 0; at < len(data); at += 128 << 10 {
			for piece := data[at : at+128<<10]; len(piece) > 0; {
				n, _ := s.Scan(piece)
				piece = piece[n:]
			}
		}
	}
}

func BenchmarkOneLane(b *testing.B) {
	data := noise(1, 64<<20)
	t, err := NewTable([32]byte{1}, Default)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		t.one(data, 0, 0)
	}
}

func BenchmarkTwoLanes(b *testing.B) {
	data := noise(1, 64<<20)
	t, err := NewTable([32]byte{1}, Default)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		t.find(data, 0, 0)
	}
}
