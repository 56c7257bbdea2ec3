package crypt

import (
	"bytes"
	"crypto/cipher"
	"errors"
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"
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

// sealedOnce is everything that was ever sealed: by key and nonce, what.
type sealedOnce map[string]string

// spy makes ciphers that note what they seal. What is sealed twice under a key and nonce must be the same, additional data
// included.
func (o sealedOnce) spy(t testing.TB) cipherMaker {
	return func(s Suite, key []byte) cipher.AEAD { return &spy{newAEAD(s, key), string(key), o, t} }
}

type spy struct {
	cipher.AEAD
	key  string
	once sealedOnce
	t    testing.TB
}

func (s *spy) Seal(dst, nonce, plain, aad []byte) []byte {
	at, what := s.key+string(nonce), string(plain)+string(aad)
	if before, ok := s.once[at]; ok && before != what {
		s.t.Errorf("one key and nonce sealed two payloads, of %d and %d bytes", len(before), len(what))
	}
	s.once[at] = what
	return s.AEAD.Seal(dst, nonce, plain, aad)
}

// version is a compressor whose output depends on its version, and on nothing else.
func version(v int) packer {
	return func(_, plain []byte, c Codec) []byte {
		out := bytes.Clone(plain[:len(plain)/2])
		if len(out) > 0 {
			out[len(out)-1] += byte(v)
		}
		if v == 3 { // one that only makes another block shorter
			out = out[:len(out)*2/3]
		}
		return out
	}
}

// The rule: no key and nonce ever seal two different payloads. Not when two chunks are nearly alike, not for equal blocks
// of one chunk, not when a compressor gives other bytes in its next version, not when the codec is another, and not
// between compressed and plain blocks.
func TestNoKeyAndNonceSealTwoPayloads(t *testing.T) {
	once := sealedOnce{}
	packers := []packer{pack, version(1), version(2), version(3)}
	chunks := [][]byte{make([]byte, 3*BlockSize), text(3 * BlockSize), text(3*BlockSize + 1), mixed(5 * BlockSize), text(100), text(101)}
	for _, suite := range suites {
		for _, p := range packers {
			s := NewSealer(keyOf("content"), suite)
			s.pack, s.cipher = p, once.spy(t)
			for _, plain := range chunks {
				for _, e := range efforts {
					sealOf(t, s, plain, e)
				}
			}
		}
	}
	// Counted once by hand: without a collision, each key and nonce above has its own entry.
	if len(once) < 100 {
		t.Errorf("only %d keys and nonces were seen", len(once))
	}
}

func TestNoKeyAndNonceSealTwoPayloadsAtRandom(t *testing.T) {
	once := sealedOnce{}
	s := NewSealer(keyOf("content"), SuiteAES)
	s.cipher = once.spy(t)
	rapid.Check(t, func(r *rapid.T) {
		plain := mixed(rapid.IntRange(0, 3*BlockSize).Draw(r, "len"))
		if len(plain) > 0 {
			plain[rapid.IntRange(0, len(plain)-1).Draw(r, "at")]++
		}
		s.pack = rapid.SampledFrom([]packer{pack, version(1), version(2)}).Draw(r, "packer")
		_, _, _ = s.Seal(nil, plain, s.Key(plain), rapid.SampledFrom(efforts).Draw(r, "effort"))
	})
}

// A compressed payload that is, byte for byte, the plain text of another block of the same chunk is the nearest that the
// two kinds come to each other.
func TestPlainAndCompressedNoncesNeverMeet(t *testing.T) {
	for _, suite := range suites {
		keys := map[string]string{}
		nonces := map[string]bool{}
		s := NewSealer(keyOf("content"), suite)
		s.cipher = func(su Suite, key []byte) cipher.AEAD {
			keys[string(key)] = su.String()
			return newAEAD(su, key)
		}
		plain := mixed(2 * BlockSize)
		_, ref := sealOf(t, s, plain, EffortAuto)
		if len(keys) != 2 {
			t.Errorf("%v: plain and compressed blocks share a key", suite)
		}
		c := chunkKeys{ref: &ref, make: newAEAD}
		c.usePlain()
		c.usePacked()
		for i := range ref.Blocks {
			_, nonce := c.cipherOf(i)
			nonces[string(nonce)] = true
		}
		if len(nonces) != 2 {
			t.Errorf("%v: two blocks share a nonce", suite)
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

// A chunk may cost the allocations of its ciphers and its ref, and nothing for each block.
func TestBlocksAllocateNothing(t *testing.T) {
	s := NewSealer(keyOf("content"), SuiteAES)
	for name, make := range map[string]func(int) []byte{"text": text, "noise": func(n int) []byte { return bytesOf("noise", n) }} {
		for _, e := range efforts {
			allocs := func(n int) float64 {
				plain, dst, opened := make(n), bytes.Repeat([]byte{0}, SealBound(n)), bytes.Repeat([]byte{0}, n)
				k := s.Key(plain)
				return testing.AllocsPerRun(20, func() {
					sealed, ref, _ := s.Seal(dst[:0], plain, k, e)
					_, _ = Open(opened[:0], &ref, sealed)
				})
			}
			if few, many := allocs(BlockSize), allocs(16*BlockSize); many > few+1 {
				t.Errorf("%s, effort %d: %v allocations for one block, %v for 16", name, e, few, many)
			}
		}
	}
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

func benchmarkSeal(b *testing.B, plain []byte, e Effort) {
	s := NewSealer(keyOf("content"), SuiteAES)
	k := s.Key(plain)
	dst := make([]byte, 0, SealBound(len(plain)))
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	for b.Loop() {
		_, _, _ = s.Seal(dst, plain, k, e)
	}
}

func BenchmarkSeal256KiB(b *testing.B)    { benchmarkSeal(b, bytesOf("noise", 256<<10), EffortAuto) }
func BenchmarkSeal1MiB(b *testing.B)      { benchmarkSeal(b, bytesOf("noise", 1<<20), EffortAuto) }
func BenchmarkSeal1MiBPlain(b *testing.B) { benchmarkSeal(b, bytesOf("noise", 1<<20), EffortNone) }
func BenchmarkSealTextZstd(b *testing.B)  { benchmarkSeal(b, text(1<<20), EffortAuto) }
func BenchmarkSealTextS2(b *testing.B)    { benchmarkSeal(b, text(1<<20), EffortFast) }

func benchmarkOpen(b *testing.B, plain []byte, e Effort) {
	s := NewSealer(keyOf("content"), SuiteAES)
	sealed, ref := sealOf(b, s, plain, e)
	dst := make([]byte, 0, len(plain))
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	for b.Loop() {
		_, _ = Open(dst, &ref, sealed)
	}
}

func BenchmarkOpen256KiB(b *testing.B)   { benchmarkOpen(b, bytesOf("noise", 256<<10), EffortAuto) }
func BenchmarkOpen1MiB(b *testing.B)     { benchmarkOpen(b, bytesOf("noise", 1<<20), EffortAuto) }
func BenchmarkOpenTextZstd(b *testing.B) { benchmarkOpen(b, text(1<<20), EffortAuto) }
func BenchmarkOpenTextS2(b *testing.B)   { benchmarkOpen(b, text(1<<20), EffortFast) }

func BenchmarkOpenBlock(b *testing.B) {
	s := NewSealer(keyOf("content"), SuiteAES)
	sealed, ref := sealOf(b, s, bytesOf("noise", 256<<10), EffortNone)
	dst := make([]byte, 0, BlockSize)
	b.SetBytes(BlockSize)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = OpenBlock(dst, &ref, 0, sealed[:ref.Blocks[0].Len])
	}
}

func BenchmarkKey(b *testing.B) {
	for _, n := range []int{4 << 10, 64 << 10, 256 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", n>>10), func(b *testing.B) {
			s, plain := NewSealer(keyOf("content"), SuiteAES), bytesOf("noise", n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				s.Key(plain)
			}
		})
	}
}
