package crypt

import (
	"bytes"
	"fmt"
	"testing"
)

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
func BenchmarkSealTextZstd(b *testing.B)  { benchmarkSeal(b, source(b, 1<<20), EffortAuto) }
func BenchmarkSealTextS2(b *testing.B)    { benchmarkSeal(b, source(b, 1<<20), EffortFast) }

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
func BenchmarkOpenTextZstd(b *testing.B) { benchmarkOpen(b, source(b, 1<<20), EffortAuto) }
func BenchmarkOpenTextS2(b *testing.B)   { benchmarkOpen(b, source(b, 1<<20), EffortFast) }

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
func BenchmarkNameHash(b *testing.B) {
	k := keyOf("key")
	b.ReportAllocs()
	for b.Loop() {
		NameHash(&k, "a_usual_name_test.go")
	}
}

func BenchmarkTagValue(b *testing.B) {
	k := keyOf("key")
	t, key, value, dst := NewTagger(&k), make([]byte, 20), make([]byte, 150), make([]byte, 0, 200)
	b.ReportAllocs()
	for b.Loop() {
		t.TagValue(dst, key, value)
	}
}

func BenchmarkXORAt(b *testing.B) {
	k := keyOf("at rest")
	_, s := NewFileStream(&k)
	p := make([]byte, 4096)
	b.SetBytes(4096)
	b.ReportAllocs()
	for b.Loop() {
		s.XORAt(p, p, 1<<40+5)
	}
}

func BenchmarkVerifyGroup(b *testing.B) {
	data := bytesOf("data", 1<<20)
	root, tree := Outboard(data)
	s, _ := ExtractSlice(bytes.NewReader(data), tree, root, 1<<20, 0, GroupSize)
	dst := make([]byte, 0, GroupSize)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = AppendVerified(dst, s, root, 1<<20, 0, GroupSize)
	}
}

func BenchmarkVerify1MiB(b *testing.B) {
	data := bytesOf("data", 1<<20)
	root, tree := Outboard(data)
	s, _ := ExtractSlice(bytes.NewReader(data), tree, root, 1<<20, 0, 1<<20)
	dst := make([]byte, 0, 1<<20)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = AppendVerified(dst, s, root, 1<<20, 0, 1<<20)
	}
}

func BenchmarkExtract1MiB(b *testing.B) {
	data := bytesOf("data", 1<<20)
	root, tree := Outboard(data)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = ExtractSlice(bytes.NewReader(data), tree, root, 1<<20, 0, 1<<20)
	}
}

func BenchmarkOutboard1MiB(b *testing.B) {
	data := bytesOf("data", 1<<20)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = Outboard(data)
	}
}
