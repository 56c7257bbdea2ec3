package depot

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hammockfs/hammock/crypt"
)

// fill puts shards 0 to n-1 of an owner, one stripe each.
func fill(t testing.TB, d *Depot, n, size int) {
	t.Helper()
	for i := range n {
		mustStore(t, d, owner(1), shard(uint64(i), size), uint64(i))
	}
}

func TestCompaction(t *testing.T) {
	d, c, fs := fresh(t)
	const n, size = 60, 50_000
	fill(t, d, n, size)
	full := d.Usage()
	for i := range n {
		if i%3 != 0 {
			if err := d.Delete(ctx, owner(1), crypt.Sum(shard(uint64(i), size)), uint64(i), 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := d.Tidy(ctx); err != nil {
		t.Fatal(err)
	}
	if u := d.Usage(); u.Stored != full.Stored {
		t.Errorf("something was rewritten before its time: %+v", u)
	}

	// Readers go on while shards move.
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for w := range 2 {
		readers.Go(func() {
			for i := w; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := verify(d, owner(1), shard(uint64(i%(n/3)*3), size)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	c.Advance(TrashTime)
	if err := d.Tidy(ctx); err != nil {
		t.Error(err)
	}
	close(stop)
	readers.Wait()
	u := d.Usage()
	if u.Shards != n/3 || u.Trash != 0 || u.Stored > 2*u.Used+d.cfg.SegmentSize {
		t.Errorf("%+v", u)
	}
	for i := 0; i < n; i += 3 {
		if err := verify(d, owner(1), shard(uint64(i), size)); err != nil {
			t.Error(err)
		}
	}
	checkFiles(t, d, fs)
}

// checkFiles compares what is counted with what is on the disk.
func checkFiles(t *testing.T, d *Depot, fs vfs.FS) {
	t.Helper()
	names, err := fs.List("depot/segments")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != len(d.segments.all) {
		t.Errorf("%d files, %d segments", len(names), len(d.segments.all))
	}
	live := map[uint64]int64{}
	if err := d.index.each([]byte{keyShard}, func(k, v []byte) error {
		e, err := parseEntry(crypt.ID(k[1:]), v)
		live[e.seg] += e.record()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var sum int64
	for num, g := range d.segments.all {
		sum += g.end
		if g.live != live[num] || g.puts != 0 || g.refs != 0 {
			t.Errorf("segment %d: %d alive of %d, index says %d; %d puts, %d refs", num, g.live, g.end, live[num], g.puts, g.refs)
		}
	}
	if sum != d.segments.size {
		t.Errorf("segments have %d bytes, counted %d", sum, d.segments.size)
	}
}

// A depot under pressure rewrites segments that are only a little dead, so that what was freed can be taken.
func TestChurnAtCapacity(t *testing.T) {
	fs, c := vfs.NewMem(), &clock{}
	cfg := small(fs, c)
	cfg.Capacity, cfg.SegmentSize = 1<<20, 128<<10
	d := open(t, cfg)
	defer d.Close()
	const size = 50_000
	room := int(d.cfg.Capacity / charge(size))
	for i := range 4 * room {
		data := shard(uint64(i), size)
		if i >= room {
			old := i - room
			if err := d.Delete(ctx, owner(1), crypt.Sum(shard(uint64(old), size)), uint64(old), 1); err != nil {
				t.Fatal(err)
			}
			wantErr(t, store(d, announce(owner(1), data, uint64(i), 1), data), ErrFull) // in the trash it counts
			c.Advance(TrashTime)
			if err := d.Tidy(ctx); err != nil {
				t.Fatal(err)
			}
		}
		mustStore(t, d, owner(1), data, uint64(i))
		if u := d.Usage(); u.Stored > d.cfg.Capacity+d.slack() {
			t.Fatalf("%+v", u)
		}
	}
	checkFiles(t, d, fs)
}

// rot changes a byte in the middle of a shard on the disk.
func rot(t *testing.T, d *Depot, fs vfs.FS, data []byte) {
	t.Helper()
	e, ok, err := d.index.entry(crypt.Sum(data))
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	file, err := fs.OpenReadWrite(d.segments.path(e.seg), category)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	at := e.off + int64(e.head) + int64(e.size)/2
	if _, err := file.WriteAt([]byte{data[e.size/2] ^ 1}, at); err != nil {
		t.Fatal(err)
	}
}

// TestRotIsSaid: a range that has rotted is answered as rotten, not sent as if it were right; others are read.
func TestRotIsSaid(t *testing.T) {
	d, _, fs := fresh(t)
	data := shard(1, 50_000)
	mustStore(t, d, owner(1), data, 7)
	rot(t, d, fs, data)
	_, _, err := d.Slice(ctx, owner(1), crypt.Sum(data), 0, 50_000, nil)
	wantErr(t, err, ErrRotten)
	if _, _, err := d.Slice(ctx, owner(1), crypt.Sum(data), 0, crypt.GroupSize, nil); err != nil {
		t.Errorf("the first group, which has not rotted: %v", err)
	}
}

// TestQuoteIsNotChecked: what is handed out unchecked may have rotted, which its reader finds.
func TestQuoteIsNotChecked(t *testing.T) {
	d, _, fs := fresh(t)
	data := shard(1, 50_000)
	id := crypt.Sum(data)
	mustStore(t, d, owner(1), data, 7)
	size, quote, err := d.Quote(ctx, owner(1), id, 0, 50_000, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := crypt.VerifySlice(quote, id, size, 0, 50_000); err != nil || !bytes.Equal(got, data) {
		t.Errorf("of a good shard: %v", err)
	}
	rot(t, d, fs, data)
	if size, quote, err = d.Quote(ctx, owner(1), id, 0, 50_000, nil); err != nil {
		t.Fatal(err)
	}
	_, err = crypt.VerifySlice(quote, id, size, 0, 50_000)
	wantErr(t, err, crypt.ErrProof)
	_, _, err = d.Quote(ctx, owner(2), id, 0, 50_000, nil)
	wantErr(t, err, ErrNotFound)
}

func TestPutHealsRot(t *testing.T) {
	d, _, fs := fresh(t)
	data := shard(1, 100_000)
	mustStore(t, d, owner(1), data, 1)
	mustStore(t, d, owner(2), data, 1)
	rot(t, d, fs, data)
	wantErr(t, verify(d, owner(2), data), crypt.ErrProof)
	mustStore(t, d, owner(1), data, 1)
	for o := range byte(2) {
		if err := verify(d, owner(1+o), data); err != nil {
			t.Error(err)
		}
	}
}

func TestCompactionDropsRot(t *testing.T) {
	d, c, fs := fresh(t)
	fill(t, d, 10, 40_000)
	for i := range 10 {
		if i%5 < 4 {
			if err := d.Delete(ctx, owner(1), crypt.Sum(shard(uint64(i), 40_000)), uint64(i), 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	rot(t, d, fs, shard(4, 40_000))
	c.Advance(TrashTime)
	if err := d.Tidy(ctx); err != nil {
		t.Fatal(err)
	}
	wantHas(t, d, owner(1), shard(4, 40_000), false)
	if err := verify(d, owner(1), shard(9, 40_000)); err != nil {
		t.Error(err)
	}
	if u := d.Usage(); u.Shards != 1 || u.Used != charge(40_000) {
		t.Errorf("%+v", u)
	}
	checkFiles(t, d, fs)
}

func TestRebuild(t *testing.T) {
	fs, c := vfs.NewMem(), &clock{}
	d := open(t, small(fs, c))
	fill(t, d, 20, 60_000)
	mustStore(t, d, owner(2), shard(3, 60_000), 33)
	for i := range 12 {
		if err := d.Delete(ctx, owner(1), crypt.Sum(shard(uint64(i), 60_000)), uint64(i), 1); err != nil {
			t.Fatal(err)
		}
	}
	c.Advance(TrashTime)
	if err := d.Tidy(ctx); err != nil {
		t.Fatal(err)
	}
	before := d.Usage()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := fs.RemoveAll("depot/index"); err != nil {
		t.Fatal(err)
	}
	d = open(t, small(fs, c))
	for i := 12; i < 20; i++ {
		wantHas(t, d, owner(1), shard(uint64(i), 60_000), true)
		if err := verify(d, owner(1), shard(uint64(i), 60_000)); err != nil {
			t.Error(err)
		}
	}
	wantHas(t, d, owner(2), shard(3, 60_000), true)
	if u := d.Usage(); u.Used < before.Used { // what was reaped and not yet rewritten may come back
		t.Errorf("before %+v, after %+v", before, u)
	}
	checkFiles(t, d, fs)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// A segment that somebody removed takes its shards with it, and no others, and nothing lies about it.
func TestLostSegment(t *testing.T) {
	fs, c := vfs.NewMem(), &clock{}
	d := open(t, small(fs, c))
	fill(t, d, 20, 60_000)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := fs.Remove("depot/segments/0000000000000001.seg"); err != nil {
		t.Fatal(err)
	}
	d = open(t, small(fs, c))
	kept := 0
	for i := range 20 {
		switch err := verify(d, owner(1), shard(uint64(i), 60_000)); {
		case err == nil:
			kept++
		case !errors.Is(err, ErrNotFound):
			t.Error(err)
		}
	}
	if u := d.Usage(); kept == 0 || kept == 20 || u.Shards != kept || u.Used != int64(kept)*charge(60_000) {
		t.Errorf("%d kept, %+v", kept, u)
	}
	checkFiles(t, d, fs)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestMoreSegmentsThanFiles reads from more segments than are kept open: the one that is read is never among those that
// are closed for it.
func TestMoreSegmentsThanFiles(t *testing.T) {
	cfg := small(vfs.NewMem(), &clock{})
	cfg.SegmentSize, cfg.Capacity = 20_000, 64<<20
	d := open(t, cfg)
	defer d.Close()
	const n, size = 2*maxOpen + 10, 20_000
	fill(t, d, n, size)
	for range 4 {
		for i := range uint64(n) {
			if err := verify(d, owner(1), shard(i, size)); err != nil {
				t.Fatal(err)
			}
		}
	}
}
