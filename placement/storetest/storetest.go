// Package storetest holds the contract of placement.Store as tests, to be run on every implementation, and a store in
// memory that misbehaves on demand.
//
// An implementation's own test is one line:
//
//	func TestContract(t *testing.T) { storetest.Run(t, func() placement.Store { return openMine(t) }) }
package storetest

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/placement"
)

const group = crypt.GroupSize

// Run runs the contract. open gives an empty store each time; what has to be closed, it registers with the test's Cleanup.
func Run(t *testing.T, open func() placement.Store) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(t *testing.T, s placement.Store)
	}{
		{"what was put is read", readBack},
		{"ranges", ranges},
		{"a range beyond the shard is an error", beyond},
		{"a shard that was not put is ErrNoShard", absent},
		{"a size that is not the shard's is not believed", wrongSize},
		{"bytes that are not the shard are refused", wrongBytes},
		{"a second put changes nothing", again},
		{"the caller's memory is the caller's", memory},
		{"a context that has ended ends the call", cancelled},
		{"many at once", concurrent},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open()) })
	}
}

func shard(seed uint64, size int) (crypt.ID, []byte) {
	data := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = r.Read(data)
	return crypt.Sum(data), data
}

func put(t *testing.T, s placement.Store, id crypt.ID, data []byte) {
	t.Helper()
	p := placement.Put{Shard: id, Stripe: 7<<40 | 1, Generation: 1, Index: 2}
	if err := s.Put(t.Context(), p, data); err != nil {
		t.Fatalf("put %d bytes: %v", len(data), err)
	}
}

func expect(t *testing.T, s placement.Store, id crypt.ID, data []byte, off, n int) {
	t.Helper()
	for _, dst := range [][]byte{nil, make([]byte, 0, n), make([]byte, 0, 2*n+1)} {
		got, err := s.ReadRange(t.Context(), id, int64(len(data)), int64(off), int64(n), dst)
		if err != nil {
			t.Fatalf("read [%d, %d) of %d bytes: %v", off, off+n, len(data), err)
		}
		if !bytes.Equal(got, data[off:off+n]) {
			t.Fatalf("read [%d, %d) of %d bytes: %d other bytes", off, off+n, len(data), len(got))
		}
	}
}

func readBack(t *testing.T, s placement.Store) {
	for i, size := range []int{1 << 10, 3 << 10, group, group + 1<<10, 5 * group, 17 * group, 1 << 20, 1216 << 10, 4 << 20} {
		id, data := shard(uint64(i), size)
		put(t, s, id, data)
		expect(t, s, id, data, 0, size)
	}
}

func ranges(t *testing.T, s placement.Store) {
	size := 21*group + 1<<10
	id, data := shard(1, size)
	put(t, s, id, data)
	for off := 0; off < size; off += 3 * group {
		for _, n := range []int{group, 2 * group, 5 * group, size} {
			expect(t, s, id, data, off, min(n, size-off))
		}
	}
}

func beyond(t *testing.T, s placement.Store) {
	size := 3 * group
	id, data := shard(1, size)
	put(t, s, id, data)
	for _, r := range [][2]int64{{0, int64(size) + group}, {int64(size), group}, {-group, group}, {4 * group, group}} {
		if _, err := s.ReadRange(t.Context(), id, int64(size), r[0], r[1], nil); err == nil {
			t.Errorf("read [%d, +%d) of %d bytes: no error", r[0], r[1], size)
		}
	}
}

func absent(t *testing.T, s placement.Store) {
	id, _ := shard(1, group)
	if _, err := s.ReadRange(t.Context(), id, group, 0, group, nil); !errors.Is(err, placement.ErrNoShard) {
		t.Errorf("read of a shard that was not put: %v", err)
	}
}

func wrongSize(t *testing.T, s placement.Store) {
	id, data := shard(1, 3*group)
	put(t, s, id, data)
	for _, size := range []int64{group, 2 * group, 3*group - 1<<10, 3*group + 1<<10, 6 * group} {
		_, err := s.ReadRange(t.Context(), id, size, 0, group, nil)
		if !errors.Is(err, placement.ErrNoShard) && !errors.Is(err, placement.ErrWrongBytes) {
			t.Errorf("read with size %d instead of %d: %v", size, 3*group, err)
		}
	}
	expect(t, s, id, data, 0, 3*group)
}

func wrongBytes(t *testing.T, s placement.Store) {
	id, data := shard(1, 2*group)
	bad := bytes.Clone(data)
	bad[group+5] ^= 1
	err := s.Put(t.Context(), placement.Put{Shard: id, Stripe: 1, Generation: 1}, bad)
	if !errors.Is(err, placement.ErrWrongBytes) {
		t.Errorf("put of bytes that are not the shard: %v", err)
	}
	if _, err := s.ReadRange(t.Context(), id, 2*group, 0, group, nil); !errors.Is(err, placement.ErrNoShard) {
		t.Errorf("read after a refused put: %v", err)
	}
	put(t, s, id, data)
	expect(t, s, id, data, 0, 2*group)
}

func again(t *testing.T, s placement.Store) {
	id, data := shard(1, 2*group)
	put(t, s, id, data)
	put(t, s, id, data)
	for _, p := range []placement.Put{
		{Shard: id, Stripe: 7<<40 | 1, Generation: 2},
		{Shard: id, Stripe: 9<<40 | 4, Generation: 1, Index: 5},
	} {
		if err := s.Put(t.Context(), p, data); err != nil {
			t.Errorf("put again as %+v: %v", p, err)
		}
	}
	expect(t, s, id, data, 0, 2*group)
}

func memory(t *testing.T, s placement.Store) {
	id, data := shard(1, 2*group)
	mine := bytes.Clone(data)
	put(t, s, id, mine)
	clear(mine)
	expect(t, s, id, data, 0, 2*group)
	got, err := s.ReadRange(t.Context(), id, 2*group, 0, 2*group, nil)
	if err != nil {
		t.Fatal(err)
	}
	clear(got)
	expect(t, s, id, data, 0, 2*group)
}

func cancelled(t *testing.T, s placement.Store) {
	id, data := shard(1, 2*group)
	other, otherData := shard(2, 2*group)
	put(t, s, id, data)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.ReadRange(ctx, id, 2*group, 0, group, nil); err == nil {
		t.Error("read with an ended context: no error")
	}
	if err := s.Put(ctx, placement.Put{Shard: other, Stripe: 1, Generation: 1}, otherData); err == nil {
		t.Error("put with an ended context: no error")
	}
	put(t, s, other, otherData)
	expect(t, s, other, otherData, 0, 2*group)
	expect(t, s, id, data, 0, 2*group)
}

func concurrent(t *testing.T, s placement.Store) {
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 4 {
				id, data := shard(uint64((w+i)%6), 3*group+(w+i)%6<<10)
				p := placement.Put{Shard: id, Stripe: uint64(w+i) % 6, Generation: 1}
				if err := s.Put(t.Context(), p, data); err != nil {
					t.Errorf("put: %v", err)
					return
				}
				got, err := s.ReadRange(t.Context(), id, int64(len(data)), group, group, nil)
				if err != nil || !bytes.Equal(got, data[group:2*group]) {
					t.Errorf("read: %v, %d bytes", err, len(got))
				}
			}
		})
	}
	wg.Wait()
}
