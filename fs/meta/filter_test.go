package meta

import (
	"encoding/binary"
	"testing"

	"github.com/hammockfs/hammock/crypt"
)

func chunkOf(i uint64) (crypt.ID, crypt.Ref) {
	r := fakeRef(binary.BigEndian.AppendUint64(nil, i), 1, uint32(i))
	return r.DedupID(), r
}

// TestFilter: what the dedup index knows is found, in this run and in the next, and what it does not know is mostly not
// looked for.
func TestFilter(t *testing.T) {
	w := newWorld(1)
	d := w.open(t)
	const n = 5000
	for i := range uint64(n) {
		id, r := chunkOf(i)
		if err := d.AddChunk(id, &r); err != nil {
			t.Fatal(err)
		}
	}
	for _, run := range []string{"first", "second"} {
		looked := 0
		for i := range uint64(n) {
			id, _ := chunkOf(i)
			if r, ok := d.FindChunk(id); !ok || r.DedupID() != id {
				t.Fatalf("%s run: chunk %d is not found", run, i)
			}
			absent, _ := chunkOf(n + i)
			if _, ok := d.FindChunk(absent); ok {
				t.Fatalf("%s run: chunk %d is found", run, n+i)
			}
			if !d.filter.lacks(absent[:]) {
				looked++
			}
		}
		if looked > n/100 {
			t.Errorf("%s run: %d of %d absent chunks were looked for", run, looked, n)
		}
		if err := d.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		d = w.open(t)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var none filter
	if id, _ := chunkOf(1); none.lacks(id[:]) {
		t.Error("a filter that knows nothing says that a chunk is not there")
	}
}
