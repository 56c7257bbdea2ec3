package compare

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	chunkers "github.com/PlakarKorp/go-cdc-chunkers"
	_ "github.com/PlakarKorp/go-cdc-chunkers/chunkers/fastcdc"
	"github.com/hammockfs/hammock/chunker"
	"github.com/jotfs/fastcdc-go"
)

// sizes are those of the published figures: an average of 1 MiB.
var sizes = chunker.Shared

func input() []byte {
	p := make([]byte, 128<<20)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(p)
	return p
}

func run(b *testing.B, pass func(data []byte) error) {
	data := input()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if err := pass(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHammock(b *testing.B) {
	table, err := chunker.NewTable([32]byte{1}, sizes)
	if err != nil {
		b.Fatal(err)
	}
	run(b, func(data []byte) error {
		for len(data) > 0 {
			data = data[table.Cut(data):]
		}
		return nil
	})
}

func BenchmarkJotfs(b *testing.B) {
	run(b, func(data []byte) error {
		c, err := fastcdc.NewChunker(bytes.NewReader(data), fastcdc.Options{
			MinSize: sizes.Min, AverageSize: sizes.Avg, MaxSize: sizes.Max,
		})
		for err == nil {
			_, err = c.Next()
		}
		return untilEOF(err)
	})
}

func BenchmarkPlakar(b *testing.B) {
	run(b, func(data []byte) error {
		c, err := chunkers.NewChunker("fastcdc-v1.0.0", bytes.NewReader(data), &chunkers.ChunkerOpts{
			MinSize: sizes.Min, NormalSize: sizes.Avg, MaxSize: sizes.Max,
		})
		for err == nil {
			_, err = c.Next()
		}
		return untilEOF(err)
	})
}

func untilEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
