package crypt

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestFilesReadAtAnyOffset(t *testing.T) {
	k := keyOf("at rest")
	header, s := NewFileStream(&k)
	again, err := OpenFileStream(&k, header[:])
	if err != nil {
		t.Fatal(err)
	}
	plain := bytesOf("file", 10_000)
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.SampledFrom([]int64{0, 5, 1 << 20, 1<<36 - 100, math.MaxInt64 - 20_000}).Draw(t, "base")
		whole := make([]byte, len(plain))
		s.XORAt(whole, plain, base)
		at := rapid.IntRange(0, len(plain)).Draw(t, "at")
		n := rapid.IntRange(0, len(plain)-at).Draw(t, "n")
		part := bytes.Clone(whole[at : at+n])
		again.XORAt(part, part, base+int64(at))
		if !bytes.Equal(part, plain[at:at+n]) {
			t.Fatalf("%d bytes at %d differ", n, base+int64(at))
		}
	})
}

func TestFilesHaveStreamsOfTheirOwn(t *testing.T) {
	k, other := keyOf("at rest"), keyOf("other")
	header, s := NewFileStream(&k)
	header2, s2 := NewFileStream(&k)
	a, b := make([]byte, 64), make([]byte, 64)
	s.XORAt(a, a, 0)
	s2.XORAt(b, b, 0)
	if header == header2 || bytes.Equal(a, b) || bytes.Equal(a[:16], a[16:32]) {
		t.Error("two files or two offsets have one key stream")
	}
	if _, err := OpenFileStream(&other, header[:]); !errors.Is(err, ErrFileHeader) {
		t.Errorf("another key: %v", err)
	}
	for i := range header {
		bad := header
		bad[i] ^= 1
		if _, err := OpenFileStream(&k, bad[:]); !errors.Is(err, ErrFileHeader) {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	if _, err := OpenFileStream(&k, header[:47]); !errors.Is(err, ErrFileHeader) {
		t.Errorf("short: %v", err)
	}
}

func TestTagsBindValuesToKeys(t *testing.T) {
	k, other := keyOf("at rest"), keyOf("other")
	tagger, stranger := NewTagger(&k), NewTagger(&other)
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "key")
		value := bytesOf("value", rapid.IntRange(0, 3000).Draw(t, "n"))
		tagged := tagger.TagValue([]byte("x"), key, value)[1:]
		if got, err := tagger.CheckValue(key, tagged); err != nil || !bytes.Equal(got, value) {
			t.Fatal(err)
		}
		if got := tagger.TagValue(bytes.Clone(value)[:0], key, value); !bytes.Equal(got, tagged) {
			t.Fatal("tagging in place differs")
		}
		bad := bytes.Clone(tagged)
		bad[rapid.IntRange(0, len(bad)-1).Draw(t, "at")] ^= 1
		for name, err := range map[string]error{
			"bit":      check(tagger, key, bad),
			"key":      check(tagger, append([]byte{1}, key...), tagged),
			"cut":      check(tagger, key, tagged[:len(tagged)-1]),
			"short":    check(tagger, key, tagged[:min(15, len(tagged))]),
			"stranger": check(stranger, key, tagged),
		} {
			if !errors.Is(err, ErrTag) {
				t.Fatalf("%s: %v", name, err)
			}
		}
	})
	if a, b := tagger.TagValue(nil, []byte("ab"), []byte("c")), tagger.TagValue(nil, []byte("a"), []byte("bc")); bytes.Equal(a[1:], b[2:]) {
		t.Error("key and value run into each other")
	}
}

func check(t *Tagger, key, tagged []byte) error {
	_, err := t.CheckValue(key, tagged)
	return err
}

func TestSegmentsHaveKeysOfTheirOwn(t *testing.T) {
	k := keyOf("at rest")
	nonce := make([]byte, 12)
	a := NewSegmentCipher(&k, [32]byte{1})
	sealed := a.Seal(nil, nonce, []byte("record"), nil)
	if _, err := NewSegmentCipher(&k, [32]byte{2}).Open(nil, nonce, sealed, nil); err == nil {
		t.Error("one segment's record opens in another")
	}
	if got, err := NewSegmentCipher(&k, [32]byte{1}).Open(nil, nonce, sealed, nil); err != nil || string(got) != "record" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestNamesSpreadAndStayClearOfReservedCookies(t *testing.T) {
	k, other := keyOf("names"), keyOf("other")
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.String().Draw(t, "name")
		h := NameHash(&k, name)
		if h < nameReserved || h >= 1<<63 || h != NameHash(&k, name) || h == NameHash(&other, name) || h == NameHash(&k, name+"x") {
			t.Fatalf("%q: %d", name, h)
		}
	})
	long := string(bytesOf("long", 3000))
	if NameHash(&k, long) == NameHash(&k, long[:2999]) {
		t.Error("long names collide")
	}
}

func TestPaddingIsReproduced(t *testing.T) {
	k, other := keyOf("pad"), keyOf("other")
	a, b, c := bytesOf("before", 5000), make([]byte, 5000), make([]byte, 5000)
	Pad(a, &k, 7)
	Pad(b, &k, 7)
	Pad(c, &k, 8)
	if !bytes.Equal(a, b) || bytes.Equal(a, c) {
		t.Error("padding depends on what was there, or not on the stripe")
	}
	Pad(b[:100], &k, 7)
	PadShared(c, &k)
	if !bytes.Equal(a[:100], b[:100]) || bytes.Equal(a, c) {
		t.Error("shorter padding is not the beginning of longer, or domains share it")
	}
	Pad(c, &other, 7)
	if bytes.Equal(a, c) {
		t.Error("padding does not depend on the key")
	}
}
