package crypt

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/zeebo/blake3"
)

// bytesOf gives n bytes that a reader of a failure can recompute: the BLAKE3 output stream of the name.
func bytesOf(name string, n int) []byte {
	h := blake3.New()
	_, _ = h.WriteString(name)
	out := make([]byte, n)
	_, _ = h.Digest().Read(out)
	return out
}

func keyOf(name string) Key { return Key(bytesOf(name, KeySize)) }

// slowKeyed is keyed BLAKE3 done by the other module alone.
func slowKeyed(key []byte, parts ...[]byte) []byte {
	h, err := blake3.NewKeyed(key)
	if err != nil {
		panic(err)
	}
	for _, p := range parts {
		_, _ = h.Write(p)
	}
	return h.Sum(nil)
}

func TestShortHashesEqualLongOnes(t *testing.T) {
	key := keyOf("key")
	k := newKeyed((*[32]byte)(&key))
	for _, n := range []int{0, 1, 63, 64, 65, 127, 128, 1000, 1023, 1024, 1025, 2047, 2048, 2049, 100_000} {
		p := bytesOf("data", n)
		if got := k.sum(p); !bytes.Equal(got[:], slowKeyed(key[:], p)) {
			t.Errorf("sum of %d bytes differs", n)
		}
		if got := k.sum2([]byte("ab"), p, p); !bytes.Equal(got[:], slowKeyed(key[:], []byte("ab"), p, p)) {
			t.Errorf("sum2 of %d bytes differs", n)
		}
		var want [64]byte
		blake3.DeriveKey("hammock 1 test", p, want[:])
		if got := derive("test", p); got != want {
			t.Errorf("derive of %d bytes differs", n)
		}
		if Sum(p) != ID(blake3.Sum256(p)) {
			t.Errorf("sum of %d bytes differs", n)
		}
	}
}

func TestMACKeepsItsPartsApart(t *testing.T) {
	key := keyOf("key")
	seen := map[ID]string{}
	for name, parts := range map[string][][]byte{
		"none":     {},
		"empty":    {nil},
		"ab":       {[]byte("ab")},
		"a,b":      {[]byte("a"), []byte("b")},
		"a,b,":     {[]byte("a"), []byte("b"), nil},
		"long":     {bytesOf("long", 5000)},
		"two long": {bytesOf("long", 4000), bytesOf("long", 5000)[4000:]},
	} {
		got := key.MAC(parts...)
		if other, ok := seen[got]; ok {
			t.Errorf("%s and %s have one MAC", name, other)
		}
		seen[got] = name
		var whole []byte
		for _, p := range parts {
			whole = binary.LittleEndian.AppendUint64(whole, uint64(len(p)))
			whole = append(whole, p...)
		}
		if !bytes.Equal(got[:], slowKeyed(key[:], whole)) {
			t.Errorf("%s is not the keyed hash of its parts", name)
		}
	}
}
