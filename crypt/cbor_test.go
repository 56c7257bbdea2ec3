package crypt

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

type sample struct {
	N  uint64   `cbor:"1,keyasint"`
	ID ID       `cbor:"2,keyasint"`
	B  []byte   `cbor:"3,keyasint"`
	L  []uint64 `cbor:"4,keyasint"`
}

func TestCBORRefusesWhatIsNotDeterministic(t *testing.T) {
	for name, bad := range map[string]string{
		"empty":                "",
		"trailing byte":        "a1010000",
		"duplicate key":        "a201000101",
		"indefinite map":       "bf0100ff",
		"indefinite string":    "a1035f4100ff",
		"tag":                  "a101c100",
		"short ID":             "a102420000",
		"cut off":              "a201",
		"array beyond the end": "a1049b00000000ffffffff",
		"wrong type":           "a1016161",
	} {
		b, _ := hex.DecodeString(bad)
		var s sample
		if err := DecodeCBOR(b, &s); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCBORNestsEightDeep(t *testing.T) {
	for depth := 1; depth <= 12; depth++ {
		b := append(bytes.Repeat([]byte{0x81}, depth), 0)
		var v any
		if err := DecodeCBOR(b, &v); (err == nil) != (depth <= 8) {
			t.Errorf("depth %d: %v", depth, err)
		}
	}
}

func TestSignedRecordsHaveOneEncoding(t *testing.T) {
	whole, err := EncodeCBOR(&sample{N: 5, ID: Sum(nil), B: []byte{1}, L: []uint64{}})
	if err != nil {
		t.Fatal(err)
	}
	var s sample
	if err := decodeCanonical(whole, 100, &s); err != nil {
		t.Error(err)
	}
	if err := decodeCanonical(whole, len(whole)-1, &s); !errors.Is(err, ErrMalformed) {
		t.Errorf("too long: %v", err)
	}
	longNumber := append([]byte{whole[0], 1, 0x18, 5}, whole[3:]...)
	unknownField := append(append([]byte{whole[0] + 1}, whole[1:]...), 0x18, 99, 0)
	for name, b := range map[string][]byte{"longer number": longNumber, "unknown field": unknownField} {
		var s sample
		if err := DecodeCBOR(b, &s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := decodeCanonical(b, 100, &s); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzCBOR(f *testing.F) {
	whole, _ := EncodeCBOR(&sample{N: 5, B: []byte{1}, L: []uint64{1, 2}})
	f.Add(whole)
	f.Add([]byte{0x9b, 0, 0, 0, 0, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s sample
		if DecodeCBOR(b, &s) != nil {
			return
		}
		again, err := EncodeCBOR(&s)
		if err != nil {
			t.Fatal(err)
		}
		var s2 sample
		if err := decodeCanonical(again, 1<<20, &s2); err != nil {
			t.Fatalf("what was encoded does not decode: %v", err)
		}
	})
}
