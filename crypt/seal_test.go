package crypt

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
)

var (
	suites  = []Suite{SuiteAES, SuiteXChaCha}
	efforts = []Effort{EffortAuto, EffortFast, EffortNone}
)

// text gives n bytes that compress; mixed gives blocks of which every second one does.
func text(n int) []byte {
	return bytes.Repeat([]byte("All work and no play makes Jack a dull boy.\n"), n/44+1)[:n]
}

func mixed(n int) []byte {
	p, noise := text(n), bytesOf("noise", n)
	for at := BlockSize; at < n; at += 2 * BlockSize {
		copy(p[at:min(at+BlockSize, n)], noise)
	}
	return p
}

func sealOf(t testing.TB, s *Sealer, plain []byte, e Effort) ([]byte, Ref) {
	t.Helper()
	sealed, ref, err := s.Seal(nil, plain, s.Key(plain), e)
	if err != nil {
		t.Fatal(err)
	}
	return sealed, ref
}

func TestChunksOpen(t *testing.T) {
	for _, suite := range suites {
		s := NewSealer(keyOf("content"), suite)
		for _, n := range []int{0, 1, 15, 16, 17, 4095, BlockSize - 1, BlockSize, BlockSize + 1, 3*BlockSize - 1, 1 << 20, MaxChunk} {
			for name, plain := range map[string][]byte{"text": text(n), "noise": bytesOf("noise", n), "mixed": mixed(n), "zeros": make([]byte, n)} {
				if n == MaxChunk && name != "mixed" {
					continue // one is enough
				}
				for _, e := range efforts {
					checkChunk(t, fmt.Sprint(suite, n, name, e), s, plain, e)
				}
			}
		}
	}
}

func checkChunk(t *testing.T, what string, s *Sealer, plain []byte, e Effort) {
	sealed, ref := sealOf(t, s, plain, e)
	if len(sealed) != ref.SealedLen() || len(sealed) > SealBound(len(plain)) || int(ref.Len) != len(plain) {
		t.Fatalf("%s: %d bytes sealed, ref %+v", what, len(sealed), ref)
	}
	got, err := Open([]byte("x"), &ref, sealed)
	if err != nil || !bytes.Equal(got[1:], plain) {
		t.Fatalf("%s: %v", what, err)
	}
	for i := range ref.Blocks {
		at := ref.BlockOffset(i)
		got, err := OpenBlock([]byte("x"), &ref, i, sealed[at:at+int(ref.Blocks[i].Len)])
		if err != nil || !bytes.Equal(got[1:], plain[i*BlockSize:min((i+1)*BlockSize, len(plain))]) {
			t.Fatalf("%s: block %d: %v", what, i, err)
		}
		if (ref.Blocks[i].Codec == CodecNone) != (ref.Blocks[i].Salt == [SaltSize]byte{}) {
			t.Fatalf("%s: salt of block %d: %+v", what, i, ref.Blocks[i])
		}
	}
}

func TestOnlyWhatSavesAnEighthIsCompressed(t *testing.T) {
	s := NewSealer(keyOf("content"), SuiteAES)
	want := map[Effort]Codec{EffortAuto: CodecZstd, EffortFast: CodecS2, EffortNone: CodecNone}
	for _, e := range efforts {
		if _, ref := sealOf(t, s, bytesOf("noise", 1<<20), e); ref.SealedLen() != SealBound(1<<20) {
			t.Errorf("noise, effort %d: %d bytes", e, ref.SealedLen())
		}
		_, ref := sealOf(t, s, mixed(4*BlockSize), e)
		for i, b := range ref.Blocks {
			if w := want[e]; i%2 == 0 && b.Codec != w || i%2 == 1 && b.Codec != CodecNone {
				t.Errorf("mixed, effort %d, block %d: codec %d", e, i, b.Codec)
			}
		}
	}
	for _, n := range []int{0, 1, 7, 8, 9, 16, 17, 800} {
		for m := range n + 2 {
			if got := saves(make([]byte, m), make([]byte, n)); got != (m > 0 && 8*(n-m) >= n) {
				t.Errorf("%d bytes instead of %d: %v", m, n, got)
			}
		}
	}
}

func TestEqualChunksSealEqually(t *testing.T) {
	plain := mixed(300_000)
	for _, e := range efforts {
		a, refA := sealOf(t, NewSealer(keyOf("content"), SuiteAES), plain, e)
		b, refB := sealOf(t, NewSealer(keyOf("content"), SuiteAES), plain, e)
		c, refC := sealOf(t, NewSealer(keyOf("other"), SuiteAES), plain, e)
		if !bytes.Equal(a, b) || refA.DedupID() != refB.DedupID() || refA.DedupID() != DedupID(refA.Key) {
			t.Error("one domain seals one chunk in two ways")
		}
		if bytes.Equal(a, c) || refA.DedupID() == refC.DedupID() {
			t.Error("two domains seal a chunk in one way")
		}
	}
}

func TestForgedAndRottenBytesDoNotOpen(t *testing.T) {
	for _, suite := range suites {
		for _, e := range efforts {
			s := NewSealer(keyOf("content"), suite)
			sealed, ref := sealOf(t, s, mixed(2*BlockSize+100), e)
			for _, at := range []int{0, 1, len(sealed) / 2, int(ref.Blocks[0].Len) - 1, int(ref.Blocks[0].Len), len(sealed) - 1} {
				bad := bytes.Clone(sealed)
				bad[at] ^= 4
				if _, err := Open(nil, &ref, bad); !errors.Is(err, ErrSealed) {
					t.Errorf("%v, byte %d: %v", suite, at, err)
				}
			}
			for name, change := range refChanges {
				bad := ref
				bad.Blocks = append([]Block{}, ref.Blocks...)
				change(&bad)
				if _, err := Open(nil, &bad, sealed); !errors.Is(err, ErrSealed) {
					t.Errorf("%v, effort %d, %s: %v", suite, e, name, err)
				}
			}
			for _, i := range []int{-1, len(ref.Blocks)} {
				if _, err := OpenBlock(nil, &ref, i, sealed[:100]); !errors.Is(err, ErrSealed) {
					t.Errorf("block %d: %v", i, err)
				}
			}
			if _, err := OpenBlock(nil, &ref, 1, sealed[:ref.Blocks[0].Len]); !errors.Is(err, ErrSealed) {
				t.Errorf("block 0 opens as block 1: %v", err)
			}
		}
	}
}

var refChanges = map[string]func(*Ref){
	"other key":     func(r *Ref) { r.Key[5]++ },
	"other suite":   func(r *Ref) { r.Suite = 3 - r.Suite },
	"no suite":      func(r *Ref) { r.Suite = 0 },
	"longer":        func(r *Ref) { r.Len++ },
	"shorter":       func(r *Ref) { r.Len-- },
	"huge":          func(r *Ref) { r.Len = 1 << 31 },
	"block missing": func(r *Ref) { r.Blocks = r.Blocks[1:] },
	"no blocks":     func(r *Ref) { r.Blocks = nil },
	"other codec":   func(r *Ref) { r.Blocks[0].Codec = (r.Blocks[0].Codec + 1) % 3 },
	"no codec":      func(r *Ref) { r.Blocks[0].Codec = 3 },
	"other salt": func(r *Ref) {
		if r.Blocks[0].Salt[0]++; r.Blocks[0].Codec == CodecNone {
			r.Key[0]++ // a plain block has no salt to be wrong
		}
	},
}

func TestOneSealerServesManyGoroutines(t *testing.T) {
	s := NewSealer(keyOf("content"), SuiteAES)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			plain := mixed(3*BlockSize + i)
			for _, e := range efforts {
				sealed, ref, err := s.Seal(nil, plain, s.Key(plain), e)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := Open(nil, &ref, sealed); err != nil || !bytes.Equal(got, plain) {
					t.Errorf("goroutine %d, effort %d: %v", i, e, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestSealRefusesWhatItCannotSeal(t *testing.T) {
	s := NewSealer(keyOf("content"), SuiteAES)
	if _, _, err := s.Seal(nil, make([]byte, MaxChunk+1), Key{}, EffortNone); err == nil {
		t.Error("a chunk that is too long was sealed")
	}
	if _, _, err := NewSealer(Key{}, 9).Seal(nil, nil, Key{}, EffortNone); err == nil {
		t.Error("an unknown suite sealed")
	}
	if !PreferredSuite().Valid() {
		t.Error("no suite is preferred")
	}
}

// FuzzOpen seals foreign payloads under the right key: whoever has the key may do so, and must get no more than 64 KiB
// out of a decompressor, and no panic.
func FuzzOpen(f *testing.F) {
	scratch := make([]byte, 0, scratchSize)
	f.Add(bytes.Clone(pack(scratch, text(1000), CodecZstd)), uint8(CodecZstd), uint32(1000))
	f.Add(bytes.Clone(pack(scratch, text(1000), CodecS2)), uint8(CodecS2), uint32(1000))
	f.Add(bytes.Clone(pack(scratch, make([]byte, BlockSize), CodecZstd)), uint8(CodecZstd), uint32(BlockSize))
	f.Fuzz(func(t *testing.T, payload []byte, codec uint8, plain uint32) {
		if plain > BlockSize || len(payload) == 0 || len(payload) >= int(plain) || codec < 1 || codec > 2 {
			return
		}
		ref := Ref{Suite: SuiteAES, Len: plain, Blocks: []Block{{Codec: Codec(codec), Len: uint32(len(payload)) + Overhead}}}
		c := chunkKeys{ref: &ref, make: newAEAD}
		c.usePacked()
		aead, nonce := c.cipherOf(0)
		guard := bytes.Repeat([]byte{7}, int(plain)+100)
		got, err := Open(guard[:0], &ref, aead.Seal(nil, nonce, payload, c.aad[:]))
		if err == nil && len(got) != int(plain) || err != nil && !errors.Is(err, ErrSealed) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if !bytes.Equal(guard[plain:], bytes.Repeat([]byte{7}, 100)) {
			t.Fatal("written beyond the plain text")
		}
	})
}
