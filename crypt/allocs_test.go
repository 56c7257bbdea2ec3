//go:build !race

// The race detector makes pools forget at random, and so everything allocate.

package crypt

import (
	"bytes"
	"testing"
)

func TestNothingIsAllocatedForShortHashes(t *testing.T) {
	key, name, value := keyOf("key"), "a name of some length.txt", bytesOf("value", 200)
	tagger, tagged := NewTagger(&key), make([]byte, 0, 1000)
	for what, f := range map[string]func(){
		"NameHash": func() { NameHash(&key, name) },
		"MAC":      func() { key.MAC(value, value) },
		"Derive":   func() { key.Derive("test") },
		"TagValue": func() { tagger.TagValue(tagged, value, value) },
	} {
		if n := testing.AllocsPerRun(100, f); n > 0 {
			t.Errorf("%s allocates %v times", what, n)
		}
	}
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
