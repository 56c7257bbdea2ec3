package placement_test

import (
	"context"
	"testing"

	"github.com/hammockfs/hammock/placement"
)

// forgetful has no memory, so that Encode does its work each time.
type forgetful struct{}

func (forgetful) Intend(context.Context, uint64, []byte) error   { return nil }
func (forgetful) Placed(context.Context, uint64, []byte) error   { return nil }
func (forgetful) Record(context.Context, uint64) ([]byte, error) { return nil, nil }

// BenchmarkEncode reads a stripe of 4 MiB from memory, computes its spare shards, and hashes all six.
func BenchmarkEncode(b *testing.B) {
	w := newWorld(b, 6)
	cfg := w.config()
	cfg.Journal = forgetful{}
	p := placement.New(cfg)
	w.addStripe(1, placement.ClassData, 4<<20)
	b.SetBytes(4 << 20)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Encode(b.Context(), 1); err != nil {
			b.Fatal(err)
		}
	}
}

func benchFetch(b *testing.B, off, n int, spoil ...int) {
	w := newWorld(b, 6)
	p, stop := w.start(w.config())
	w.placeAll(p, placement.ClassData, 4<<20)
	stop()
	r := w.record(1)
	for _, i := range spoil {
		w.spoil(r.Shards[i], 0)
	}
	record := r.Append(nil)
	dst := make([]byte, 0, n)
	b.SetBytes(int64(n))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Fetch(b.Context(), 1, record, off, n, dst); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFetchStripe(b *testing.B)        { benchFetch(b, 0, 4<<20) }
func BenchmarkFetchStripeTwoLost(b *testing.B) { benchFetch(b, 0, 4<<20, 0, 2) }
func BenchmarkFetchChunk(b *testing.B)         { benchFetch(b, 700_000, 256<<10) }
func BenchmarkFetchChunkLost(b *testing.B)     { benchFetch(b, 700_000, 256<<10, 0) }
func BenchmarkFetchBlock(b *testing.B)         { benchFetch(b, 700_000, 4<<10) }

// BenchmarkPlace uploads stripes of 4 MiB to stores in memory.
func BenchmarkPlace(b *testing.B) {
	w := newWorld(b, 6)
	p, _ := w.start(w.config())
	payload := w.addStripe(0, placement.ClassData, 4<<20)
	b.SetBytes(4 << 20)
	stripe := uint64(0)
	for b.Loop() {
		stripe++
		w.mu.Lock()
		w.payloads[stripe], w.classes[stripe] = payload, placement.ClassData
		w.mu.Unlock()
		p.Enqueue(stripe, placement.ClassData)
		if stripe%16 == 0 {
			if err := p.Wait(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := p.Wait(b.Context()); err != nil {
		b.Fatal(err)
	}
}
