package crypt

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// drawRef draws any ref that Seal could have made.
func drawRef(t *rapid.T) Ref {
	r := Ref{
		Key:    Key(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key")),
		Suite:  Suite(rapid.IntRange(1, 2).Draw(t, "suite")),
		Len:    uint32(rapid.IntRange(0, MaxChunk).Draw(t, "len")),
		Stripe: rapid.Uint64().Draw(t, "stripe"),
		Offset: rapid.Uint32Range(0, math.MaxUint32-MaxChunk-64*Overhead).Draw(t, "offset"),
	}
	r.Blocks = make([]Block, blockCount(int(r.Len)))
	packed := rapid.Bool().Draw(t, "packed")
	for i := range r.Blocks {
		b, plain := &r.Blocks[i], r.plainLen(i)
		b.Len = uint32(plain + Overhead)
		if !packed || plain < 2 || !rapid.Bool().Draw(t, "block packed") {
			continue
		}
		b.Codec = Codec(rapid.IntRange(1, 2).Draw(t, "codec"))
		b.Len = uint32(rapid.IntRange(1, plain-1).Draw(t, "sealed") + Overhead)
		copy(b.Salt[:], rapid.SliceOfN(rapid.Byte(), SaltSize, SaltSize).Draw(t, "salt"))
	}
	return r
}

func TestRefsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRef(t)
		b := AppendRef([]byte("before"), &r)
		if len(b)-6 > MaxRef {
			t.Fatalf("%d bytes", len(b)-6)
		}
		got, rest, err := ParseRef(append(b[6:], "after"...))
		if err != nil || string(rest) != "after" || !reflect.DeepEqual(got, r) {
			t.Fatalf("%+v became %+v, rest %q, %v", r, got, rest, err)
		}
		for cut := range b[6:] {
			if _, _, err := ParseRef(b[6 : 6+cut]); !errors.Is(err, ErrMalformed) {
				t.Fatalf("cut off at %d: %v", cut, err)
			}
		}
	})
}

func TestASmallRefIsSmall(t *testing.T) {
	r := Ref{Suite: SuiteAES, Len: 256 << 10, Blocks: make([]Block, 4)}
	if n := len(AppendRef(nil, &r)); n != 48 {
		t.Errorf("a ref of 256 KiB has %d bytes", n)
	}
	r.Blocks[0].Codec = CodecZstd
	for i := range r.Blocks {
		r.Blocks[i].Codec, r.Blocks[i].Len = CodecZstd, 20_000
	}
	if n := len(AppendRef(nil, &r)); n != 48+4*(3+SaltSize) {
		t.Errorf("a compressed ref of 256 KiB has %d bytes", n)
	}
}

func TestTheLongestRef(t *testing.T) {
	r := Ref{Suite: SuiteAES, Len: MaxChunk, Blocks: make([]Block, MaxChunk/BlockSize)}
	for i := range r.Blocks {
		r.Blocks[i] = Block{Codec: CodecS2, Len: BlockSize + Overhead - 1}
	}
	b := AppendRef(nil, &r)
	if _, _, err := ParseRef(b); err != nil || len(b) != MaxRef {
		t.Errorf("%d bytes, not %d, %v", len(b), MaxRef, err)
	}
}

func FuzzParseRef(f *testing.F) {
	plain := Ref{Suite: SuiteAES, Len: 70_000, Blocks: []Block{{Len: BlockSize + Overhead}, {Len: 70_000 - BlockSize + Overhead}}}
	f.Add(AppendRef(nil, &plain))
	plain.Blocks[0] = Block{Codec: CodecS2, Len: 700, Salt: [12]byte{1}}
	f.Add(AppendRef(nil, &plain))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, rest, err := ParseRef(b)
		if err != nil {
			return
		}
		used := b[:len(b)-len(rest)]
		if again := AppendRef(nil, &r); !bytes.Equal(again, used) {
			t.Fatalf("%x is another encoding of %x", used, again)
		}
		if err := r.check(); err != nil {
			t.Fatalf("a ref that parses is refused: %v", err)
		}
	})
}
