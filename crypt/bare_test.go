package crypt

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/blake3"
)

// BenchmarkBare is what bounds the stages of this package: the same arithmetic on
// the same megabyte, text in blocks as ours, without anything else of ours. A stage compares with it in the
// same run.
func BenchmarkBare(b *testing.B) {
	noise, words := bytesOf("noise", 1<<20), source(b, 1<<20)
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		b.Fatal(err)
	}
	nonce := make([]byte, gcm.NonceSize())
	sealed := gcm.Seal(nil, nonce, noise, nil)
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		b.Fatal(err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		b.Fatal(err)
	}
	defer dec.Close()
	dst := make([]byte, 0, 2<<20)
	var blocks [][]byte
	for block := range slices.Chunk(words, BlockSize) {
		blocks = append(blocks, enc.EncodeAll(block, nil))
	}
	for name, do := range map[string]func(){
		"hash":    func() { _ = blake3.Sum256(noise) },
		"encrypt": func() { _ = gcm.Seal(dst, nonce, noise, nil) },
		"decrypt": func() { _, _ = gcm.Open(dst, nonce, sealed, nil) },
		"compress": func() {
			for block := range slices.Chunk(words, BlockSize) {
				_ = enc.EncodeAll(block, dst)
			}
		},
		"decompress": func() {
			for _, block := range blocks {
				_, _ = dec.DecodeAll(block, dst)
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(1 << 20)
			for b.Loop() {
				do()
			}
		})
	}
}

// source is text as people write it: this package, as often as it takes.
func source(b *testing.B, n int) []byte {
	names, err := filepath.Glob("*.go")
	if err != nil || len(names) == 0 {
		b.Fatal(names, err)
	}
	var all bytes.Buffer
	for all.Len() < n {
		for _, name := range names {
			p, err := os.ReadFile(name)
			if err != nil {
				b.Fatal(err)
			}
			all.Write(p)
		}
	}
	return all.Bytes()[:n]
}
