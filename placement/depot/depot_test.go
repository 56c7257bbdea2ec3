package depot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hammockfs/hammock/crypt"
)

var ctx = context.Background()

// clock is a wall clock that tests set.
type clock struct{ ns atomic.Int64 }

func (c *clock) Now() time.Time          { return time.Unix(1_800_000_000, c.ns.Load()) }
func (c *clock) Advance(d time.Duration) { c.ns.Add(int64(d)) }

// owner returns an owner that differs by its number.
func owner(n byte) crypt.OwnerKey { return crypt.OwnerKey{n, 1: 0xaa} }

// shard returns n reproducible bytes.
func shard(seed uint64, n int) []byte {
	p := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 9})
	_, _ = r.Read(p)
	return p
}

// small is the configuration of most tests: nothing in the background, tiny segments.
func small(fs vfs.FS, c *clock) Config {
	return Config{FS: fs, Dir: "depot", Capacity: 8 << 20, SegmentSize: 256 << 10, Now: c.Now, manual: true}
}

func open(t testing.TB, cfg Config) *Depot {
	t.Helper()
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fresh returns a depot in memory, closed at the end of the test.
func fresh(t testing.TB) (*Depot, *clock, *vfs.MemFS) {
	t.Helper()
	fs, c := vfs.NewMem(), &clock{}
	d := open(t, small(fs, c))
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, c, fs
}

// announce is the Put of some bytes.
func announce(o crypt.OwnerKey, data []byte, stripe, generation uint64) Put {
	return Put{Owner: o, Shard: crypt.Sum(data), Stripe: stripe, Generation: generation, Size: int64(len(data))}
}

// store puts a shard in pieces.
func store(d *Depot, p Put, data []byte) error {
	r, err := d.Reserve(ctx, p)
	if err != nil {
		return err
	}
	defer r.Abort()
	for len(data) > 0 {
		n := min(len(data), 30_000)
		if _, err := r.Write(data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return r.Commit(ctx)
}

func mustStore(t testing.TB, d *Depot, o crypt.OwnerKey, data []byte, stripe uint64) {
	t.Helper()
	if err := store(d, announce(o, data, stripe, 1), data); err != nil {
		t.Fatal(err)
	}
}

// verify reads a whole shard and some groups of it, with proofs.
func verify(d *Depot, o crypt.OwnerKey, data []byte) error {
	id, size := crypt.Sum(data), int64(len(data))
	ranges := [][2]int64{{0, size}}
	if size > crypt.GroupSize {
		last := (size - 1) / crypt.GroupSize * crypt.GroupSize
		ranges = append(ranges, [2]int64{0, crypt.GroupSize}, [2]int64{last, size - last})
	}
	for _, r := range ranges {
		got, slice, err := d.Slice(ctx, o, id, r[0], r[1], nil)
		if err != nil {
			return err
		}
		if got != size {
			return fmt.Errorf("size %d, want %d", got, size)
		}
		p, err := crypt.VerifySlice(slice, id, size, r[0], r[1])
		if err != nil {
			return err
		}
		if !bytes.Equal(p, data[r[0]:r[0]+r[1]]) {
			return errors.New("other bytes")
		}
	}
	return nil
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

func wantHas(t testing.TB, d *Depot, o crypt.OwnerKey, data []byte, want bool) {
	t.Helper()
	size, ok, err := d.Has(ctx, o, crypt.Sum(data))
	if err != nil || ok != want || ok && size != int64(len(data)) {
		t.Errorf("Has says %d, %v, %v, want %v", size, ok, err, want)
	}
}

func TestSizes(t *testing.T) {
	d, _, _ := fresh(t)
	for i, n := range []int{1, 2, crypt.GroupSize - 1, crypt.GroupSize, crypt.GroupSize + 1, 3*crypt.GroupSize + 5, 300 << 10, 1 << 20} {
		data := shard(uint64(i), n)
		mustStore(t, d, owner(1), data, uint64(i))
		if err := verify(d, owner(1), data); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
		wantHas(t, d, owner(1), data, true)
	}
	if u := d.Usage(); u.Shards != 8 || u.Reserved != 0 || u.Used == 0 || u.Stored < u.Used-8*indexCost {
		t.Errorf("%+v", u)
	}
}

func TestStrangerFindsNothing(t *testing.T) {
	d, _, _ := fresh(t)
	data := shard(1, 50_000)
	mustStore(t, d, owner(1), data, 7)
	_, _, err := d.Slice(ctx, owner(2), crypt.Sum(data), 0, crypt.GroupSize, nil)
	wantErr(t, err, ErrNotFound)
	_, _, absent := d.Slice(ctx, owner(2), crypt.Sum([]byte("absent")), 0, crypt.GroupSize, nil)
	wantErr(t, absent, ErrNotFound)
	wantHas(t, d, owner(2), data, false)
	wantErr(t, d.Delete(ctx, owner(2), crypt.Sum(data), 7, 1), ErrNotFound)
	wantErr(t, d.Delete(ctx, owner(1), crypt.Sum(data), 8, 1), ErrNotFound)
}

func TestEqualShards(t *testing.T) {
	d, c, _ := fresh(t)
	data := shard(1, 50_000)
	mustStore(t, d, owner(1), data, 7)
	one := d.Usage()
	mustStore(t, d, owner(2), data, 9)
	two := d.Usage()
	if two.Shards != 1 || two.Used != 2*one.Used {
		t.Errorf("one owner: %+v, two: %+v", one, two)
	}
	if err := d.Delete(ctx, owner(1), crypt.Sum(data), 7, 1); err != nil {
		t.Fatal(err)
	}
	c.Advance(TrashTime)
	if err := d.Tidy(ctx); err != nil {
		t.Fatal(err)
	}
	_, _, err := d.Slice(ctx, owner(1), crypt.Sum(data), 0, crypt.GroupSize, nil)
	wantErr(t, err, ErrNotFound)
	if err := verify(d, owner(2), data); err != nil {
		t.Error(err)
	}
	if u := d.Usage(); u.Shards != 1 || u.Used != one.Used || u.Trash != 0 {
		t.Errorf("%+v", u)
	}
}

func TestTwoStripesOfAnOwner(t *testing.T) {
	d, c, _ := fresh(t)
	data := shard(1, 50_000)
	mustStore(t, d, owner(1), data, 7)
	mustStore(t, d, owner(1), data, 8)
	if err := d.Delete(ctx, owner(1), crypt.Sum(data), 7, 1); err != nil {
		t.Fatal(err)
	}
	c.Advance(TrashTime)
	if err := d.Tidy(ctx); err != nil {
		t.Fatal(err)
	}
	wantHas(t, d, owner(1), data, true)
	if err := verify(d, owner(1), data); err != nil {
		t.Error(err)
	}
}

// TestClockAhead deletes while the clock is years ahead, and sets it right: what is in the trash goes a week later, and
// not in years.
func TestClockAhead(t *testing.T) {
	d, c, _ := fresh(t)
	const years = 10 * 365 * 24 * time.Hour
	c.Advance(years)
	for i := range uint64(3) {
		data := shard(i, 50_000)
		mustStore(t, d, owner(1), data, i)
		if err := d.Delete(ctx, owner(1), crypt.Sum(data), i, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := store(d, announce(owner(1), shard(2, 50_000), 2, 2), shard(2, 50_000)); err != nil { // and takes one out again
		t.Fatal(err)
	}
	c.Advance(-years)
	tidy := func(trashed int) {
		t.Helper()
		if err := d.Tidy(ctx); err != nil {
			t.Fatal(err)
		}
		if u := d.Usage(); (u.Trash > 0) != (trashed > 0) || u.Shards != trashed+1 {
			t.Errorf("%+v, want %d in the trash", u, trashed)
		}
	}
	tidy(2)
	c.Advance(TrashTime - time.Hour)
	tidy(2)
	c.Advance(2 * time.Hour)
	tidy(0)
	if err := verify(d, owner(1), shard(2, 50_000)); err != nil {
		t.Error(err)
	}
}

func TestTrash(t *testing.T) {
	d, c, _ := fresh(t)
	data, id := shard(1, 50_000), crypt.Sum(shard(1, 50_000))
	mustStore(t, d, owner(1), data, 7)
	full := d.Usage()
	if err := d.Delete(ctx, owner(1), id, 7, 3); err != nil {
		t.Fatal(err)
	}
	wantHas(t, d, owner(1), data, false)
	if err := verify(d, owner(1), data); err != nil {
		t.Errorf("what is in the trash cannot be read: %v", err)
	}
	if u := d.Usage(); u.Trash != full.Used || u.Used != 0 || u.Free() != full.Free() {
		t.Errorf("%+v", u)
	}
	wantErr(t, store(d, announce(owner(1), data, 7, 2), data), ErrStale)
	wantHas(t, d, owner(1), data, false)

	if err := store(d, announce(owner(1), data, 7, 3), data); err != nil {
		t.Fatal(err)
	}
	wantHas(t, d, owner(1), data, true)
	if u := d.Usage(); u.Trash != 0 || u.Used != full.Used {
		t.Errorf("%+v", u)
	}
	if err := store(d, announce(owner(1), data, 7, 5), data); err != nil {
		t.Fatal(err)
	}
	wantErr(t, d.Delete(ctx, owner(1), id, 7, 4), ErrStale)

	c.Advance(TrashTime * 2)
	if err := d.Tidy(ctx); err != nil {
		t.Fatal(err)
	}
	wantHas(t, d, owner(1), data, true)

	for range 2 { // the second changes nothing
		if err := d.Delete(ctx, owner(1), id, 7, 5); err != nil {
			t.Fatal(err)
		}
		c.Advance(TrashTime - 1)
	}
	if err := d.Tidy(ctx); err != nil {
		t.Fatal(err)
	}
	_, _, err := d.Slice(ctx, owner(1), id, 0, crypt.GroupSize, nil)
	wantErr(t, err, ErrNotFound)
	if u := d.Usage(); u.Used != 0 || u.Trash != 0 || u.Shards != 0 {
		t.Errorf("%+v", u)
	}
}

func TestBadPuts(t *testing.T) {
	d, _, _ := fresh(t)
	data := shard(1, 50_000)
	p := announce(owner(1), data, 7, 1)

	wrong := p
	wrong.Shard[0]++
	wantErr(t, store(d, wrong, data), ErrWrongBytes)
	short := p
	short.Size++
	wantErr(t, store(d, short, data), ErrShort)
	long := p
	long.Size--
	wantErr(t, store(d, long, data), ErrTooLarge)
	huge := p
	huge.Size = MaxShard + 1
	wantErr(t, store(d, huge, data), ErrTooLarge)
	for _, size := range []int64{0, -1, -1 << 63} {
		none := p
		none.Size = size
		wantErr(t, store(d, none, data), ErrShort)
	}
	gone, cancel := context.WithCancel(ctx)
	r, err := d.Reserve(gone, p)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	wantErr(t, r.Commit(gone), context.Canceled)
	wantErr(t, r.Commit(ctx), ErrExpired)
	if u := d.Usage(); u.Reserved != 0 || u.Used != 0 || u.Shards != 0 {
		t.Errorf("after nothing but bad puts: %+v", u)
	}
	wantHas(t, d, owner(1), data, false)
}

func TestBounds(t *testing.T) {
	d, _, fs := fresh(t)
	data := shard(1, 1<<20)
	cost := charge(1 << 20)
	d.SetAllowance(owner(1), 2*cost)
	for i := range uint64(2) {
		mustStore(t, d, owner(1), shard(i, 1<<20), i)
	}
	wantErr(t, store(d, announce(owner(1), data, 9, 1), data), ErrQuota)
	// What he has already costs nothing more.
	mustStore(t, d, owner(1), shard(0, 1<<20), 0)
	if used, trash := d.OwnerUsage(owner(1)); used != 2*cost || trash != 0 {
		t.Errorf("owner is charged %d and %d", used, trash)
	}
	d.SetAllowance(owner(1), -1)
	mustStore(t, d, owner(1), data, 9)

	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 3 << 20, TotalBytes: 100 << 20})
	err := store(d, announce(owner(2), data, 9, 1), data)
	wantErr(t, err, ErrDiskFull)
	wantErr(t, err, ErrFull)
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 4 << 20, TotalBytes: 100 << 20})
	mustStore(t, d, owner(2), data, 9)
	fs.TestingSetDiskUsage(vfs.DiskUsage{})

	for i := uint64(10); ; i++ {
		if err = store(d, announce(owner(2), shard(i, 1<<20), i, 1), shard(i, 1<<20)); err != nil {
			break
		}
	}
	wantErr(t, err, ErrFull)
	if errors.Is(err, ErrDiskFull) {
		t.Errorf("the disk is not full: %v", err)
	}
	if u := d.Usage(); u.Used > u.Capacity || u.Free() >= cost {
		t.Errorf("%+v", u)
	}
}

func TestOneShardForManyStripes(t *testing.T) {
	d, _, _ := fresh(t)
	data := shard(1, 10)
	for i := range uint64(maxStripes) {
		mustStore(t, d, owner(1), data, i)
	}
	wantErr(t, store(d, announce(owner(1), data, maxStripes, 1), data), ErrQuota)
	mustStore(t, d, owner(1), data, 5)
	mustStore(t, d, owner(2), data, 5)
}

func TestReservationDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, small(vfs.NewMem(), &clock{}))
		data := shard(1, 50_000)
		r, err := d.Reserve(ctx, announce(owner(1), data, 1, 1))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			time.Sleep(IdleTime - time.Second)
			if _, err := r.Write(data[i*1000 : i*1000+1000]); err != nil {
				t.Fatal(err)
			}
		}
		if d.Usage().Reserved == 0 {
			t.Error("nothing is reserved")
		}
		time.Sleep(IdleTime + time.Second)
		synctest.Wait()
		_, err = r.Write(data[5000:])
		wantErr(t, err, ErrExpired)
		wantErr(t, r.Commit(ctx), ErrExpired)
		if d.Usage().Reserved != 0 {
			t.Error("the space is still reserved")
		}
		// Close ends what is open.
		if _, err = d.Reserve(ctx, announce(owner(1), data, 1, 1)); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestReserveWaitsForMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &clock{}
		cfg := small(vfs.NewMem(), c)
		cfg.Capacity = 1 << 30
		d := open(t, cfg)
		d2 := announce(owner(1), shard(1, 1), 1, 1)
		d2.Size = MaxShard
		for range defaultMemory / MaxShard {
			if _, err := d.Reserve(ctx, d2); err != nil {
				break
			}
			if d.Usage().Reserved+charge(MaxShard) > defaultMemory {
				break
			}
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := d.Reserve(short, d2)
		wantErr(t, err, context.DeadlineExceeded)
		r, err := d.Reserve(ctx, d2) // has the memory of those that die meanwhile
		if err != nil {
			t.Fatal(err)
		}
		r.Abort()
		r.Abort()
		synctest.Wait()
		if u := d.Usage(); u.Reserved != 0 {
			t.Errorf("%+v", u)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestReopen(t *testing.T) {
	fs, c := vfs.NewMem(), &clock{}
	var all [][]byte
	for round := range 4 {
		d := open(t, small(fs, c))
		for i := range 5 {
			data := shard(uint64(10*round+i), 70_000)
			mustStore(t, d, owner(1), data, uint64(len(all)))
			all = append(all, data)
		}
		before := d.Usage()
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		d = open(t, small(fs, c))
		if after := d.Usage(); after != before {
			t.Errorf("before %+v, after %+v", before, after)
		}
		for _, data := range all {
			if err := verify(d, owner(1), data); err != nil {
				t.Error(err)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	names, err := fs.List("depot/segments")
	if err != nil || len(names) > 10 {
		t.Errorf("%d segments, %v", len(names), err)
	}
}

func TestTwoDaemons(t *testing.T) {
	dir, c := t.TempDir(), &clock{}
	cfg := small(vfs.Default, c)
	cfg.Dir = dir + "/depot"
	d := open(t, cfg)
	if second, err := Open(cfg); err == nil {
		second.Close()
		t.Error("a second depot opens the same folder")
	}
	data := shard(1, 100_000)
	mustStore(t, d, owner(1), data, 1)
	if err := verify(d, owner(1), data); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestManyAtOnce(t *testing.T) {
	d, c, _ := fresh(t)
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for i := range 10 {
				data := shard(uint64(i), 20_000+i) // the same for all: equal shards race
				o := owner(byte(w))
				mustStore(t, d, o, data, uint64(i))
				if err := verify(d, o, data); err != nil {
					t.Error(err)
				}
				if i%2 == 0 {
					if err := d.Delete(ctx, o, crypt.Sum(data), uint64(i), 1); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	group.Go(func() {
		for range 5 {
			c.Advance(TrashTime / 4)
			if err := d.Tidy(ctx); err != nil {
				t.Error(err)
			}
		}
	})
	group.Wait()
	c.Advance(TrashTime)
	if err := d.Tidy(ctx); err != nil {
		t.Fatal(err)
	}
	if u := d.Usage(); u.Shards != 5 || u.Trash != 0 || u.Reserved != 0 {
		t.Errorf("%+v", u)
	}
	for w := range 8 {
		for i := 1; i < 10; i += 2 {
			if err := verify(d, owner(byte(w)), shard(uint64(i), 20_000+i)); err != nil {
				t.Error(err)
			}
		}
	}
}
