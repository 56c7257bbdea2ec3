package crypt

import (
	"bytes"
	"testing"
)

// TestUnpackKeepsToItsRoom opens full blocks of text between bytes of somebody else.
func TestUnpackKeepsToItsRoom(t *testing.T) {
	for _, codec := range []Codec{CodecZstd, CodecS2} {
		for _, n := range []int{1, 1000, BlockSize - 1, BlockSize} {
			plain := text(n)
			payload := pack(make([]byte, 0, scratchSize), plain, codec)
			buf := bytes.Repeat([]byte{0xa5}, 100+n+100)
			out, ok := unpack(buf[:100:100+n], payload, codec, n)
			if !ok || len(out) != 100+n || !bytes.Equal(out[100:], plain) || &out[0] != &buf[0] {
				t.Fatalf("codec %d, %d bytes: %v, %d", codec, n, ok, len(out))
			}
			for i, b := range buf {
				if (i < 100 || i >= 100+n) && b != 0xa5 {
					t.Errorf("codec %d, %d bytes: byte %d beside them was written", codec, n, i-100)
				}
			}
			if _, ok := unpack(make([]byte, 0, n+8), payload, codec, n+8); ok {
				t.Errorf("codec %d: %d bytes were taken for %d", codec, n, n+8)
			}
			if _, ok := unpack(make([]byte, 0, n), payload, codec, n-1); ok {
				t.Errorf("codec %d: %d bytes were taken for %d", codec, n, n-1)
			}
		}
	}
}
