package tree

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	leafVector  = "01 00 02 00 14 00 00 00 0c 00 10 00 01 00 61 31 02 00 62 63"
	innerVector = `01 01 02 00 25 00 00 00 0c 00 18 00 00 00 02 00 00 00 00 00 00 00 4c 30
		01 00 63 32 03 00 00 00 00 00 00 4c 31`
)

func TestVectors(t *testing.T) {
	leaf := newEncoder(0, 2, 0)
	leaf.key([]byte("a"))
	leaf.b = append(leaf.b, '1')
	leaf.key([]byte("bc"))
	inner := newEncoder(1, 2, 0)
	inner.kid(nil, 2, []byte("L0"))
	inner.kid([]byte("c"), 818, []byte("L1"))
	for name, v := range map[string]struct{ got, want []byte }{
		"leaf":  {leaf.finish(), unhex(t, leafVector)},
		"inner": {inner.finish(), unhex(t, innerVector)},
	} {
		if !bytes.Equal(v.got, v.want) {
			t.Errorf("%s is % x", name, v.got)
		}
		n, err := parse(nil, v.want)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n.n != 2 || n.level == 1 && n.entries() != 820 {
			t.Errorf("%s: %d entries, %d keys", name, n.n, n.entries())
		}
	}
}

// TestBadVectors changes one thing in the leaf and expects the reader to name it.
func TestBadVectors(t *testing.T) {
	set := func(at int, to ...byte) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[at:], to); return b }
	}
	for name, v := range map[string]struct {
		change func([]byte) []byte
		says   string
	}{
		"version":          {set(0, 2), "version 2"},
		"level too high":   {set(1, 32), "level 32"},
		"no counts":        {set(1, 1), "bytes of link"},
		"no entries":       {set(2, 0), "0 entries"},
		"many entries":     {set(2, 255), "table of offsets"},
		"length":           {set(4, 0x15), "its length"},
		"byte more":        {func(b []byte) []byte { return append(b, 0) }, "its length"},
		"byte less":        {func(b []byte) []byte { return b[:19] }, "its length"},
		"empty":            {func(b []byte) []byte { return nil }, "0 bytes"},
		"too large":        {func(b []byte) []byte { return make([]byte, maxNode+1) }, "65537 bytes"},
		"gap before first": {set(8, 0x0d), "table of offsets"},
		"second backwards": {set(10, 0x0b), "entry 0 lies at 12 to 11"},
		"second beyond":    {set(10, 0xff), "entry 0 lies at 12 to 255"},
		"no key":           {set(12, 0), "0 bytes of key"},
		"long key":         {set(12, 0xff), "a key of 255 bytes"},
		"keys swapped":     {set(14, 'c'), "out of order"},
		"keys equal":       {set(14, 'b', '1', 1, 0, 'b'), "out of order"},
	} {
		_, err := parse(nil, v.change(unhex(t, leafVector)))
		if !errors.Is(err, ErrNode) || !strings.Contains(err.Error(), v.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := unhex(t, innerVector)
	b[14] = 0
	if _, err := parse(nil, b); !errors.Is(err, ErrNode) || !strings.Contains(err.Error(), "0 keys are below") {
		t.Errorf("an empty child: %v", err)
	}
}
