package depot

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hammockfs/hammock/crypt"
)

// TestPutsAgainFillNothing: one member puts the same small shards again and again, by every way that costs him nothing,
// and others find as much room as before, without a compaction.
func TestPutsAgainFillNothing(t *testing.T) {
	d, _, _ := fresh(t)
	const shards, rounds = 4, 10
	size := int(d.cfg.SegmentSize / 2)
	id := func(i int) crypt.ID { return crypt.Sum(shard(uint64(i), size)) }
	fill(t, d, shards, size)
	before := d.Usage()
	for round := range uint64(rounds) {
		for i := range shards {
			data, stripe := shard(uint64(i), size), uint64(i)
			mustStore(t, d, owner(1), data, stripe) // an old generation, or the same
			if err := store(d, announce(owner(1), data, stripe, 2*round+2), data); err != nil {
				t.Fatal(err)
			}
			if err := d.Delete(ctx, owner(1), id(i), stripe, 2*round+3); err != nil {
				t.Fatal(err)
			}
			wantErr(t, store(d, announce(owner(1), data, stripe, 2*round+2), data), ErrStale)
			if err := store(d, announce(owner(1), data, stripe, 2*round+3), data); err != nil {
				t.Fatal(err)
			}
		}
	}
	if u := d.Usage(); u != before {
		t.Errorf("%+v, before all that %+v", u, before)
	}
	for n := uint64(100); d.Usage().Free() >= charge(int64(size)); n++ {
		mustStore(t, d, owner(2), shard(n, size), n)
	}
	for i := range shards {
		if err := verify(d, owner(1), shard(uint64(i), size)); err != nil {
			t.Error(err)
		}
	}
}

// TestPutAgainSurvives: that a put has taken a claim out of the trash, or given it a higher generation, is synced, though
// no bytes were written.
func TestPutAgainSurvives(t *testing.T) {
	fs, c := vfs.NewCrashableMem(), &clock{}
	d := open(t, small(fs, c))
	data := shard(1, 5000)
	mustStore(t, d, owner(1), data, 1)
	if err := d.Delete(ctx, owner(1), crypt.Sum(data), 1, 1); err != nil {
		t.Fatal(err)
	}
	if err := store(d, announce(owner(1), data, 1, 7), data); err != nil {
		t.Fatal(err)
	}
	cut := fs.CrashClone(vfs.CrashCloneCfg{})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, small(cut, c))
	defer d.Close()
	wantHas(t, d, owner(1), data, true)
	wantErr(t, d.Delete(ctx, owner(1), crypt.Sum(data), 1, 6), ErrStale)
	c.Advance(2 * TrashTime)
	if err := d.Tidy(ctx); err != nil {
		t.Fatal(err)
	}
	if err := verify(d, owner(1), data); err != nil {
		t.Error(err)
	}
}

// TestPutAgainMendsRecord: a record whose beginning or outboard has rotted is written anew, too.
func TestPutAgainMendsRecord(t *testing.T) {
	for name, back := range map[string]int64{"beginning": -30, "shard": 100, "outboard": 40_010} {
		t.Run(name, func(t *testing.T) {
			d, _, fs := fresh(t)
			data := shard(1, 40_000)
			mustStore(t, d, owner(1), data, 1)
			e, _, err := d.index.entry(crypt.Sum(data))
			if err != nil {
				t.Fatal(err)
			}
			flip(t, fs, d.segments.path(e.seg), e.off+int64(e.head)+back)
			before := d.Usage().Stored
			mustStore(t, d, owner(1), data, 1)
			if err := verify(d, owner(1), data); err != nil || d.Usage().Stored != before+e.record() {
				t.Errorf("%v, %d bytes written", err, d.Usage().Stored-before)
			}
		})
	}
}

// flip changes a byte of a file.
func flip(t *testing.T, fs *vfs.MemFS, path string, at int64) {
	t.Helper()
	file, err := fs.OpenReadWrite(path, category)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var b [1]byte
	if _, err := file.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := file.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// TestSamePutsAtOnce: of puts of one claim at the same time one writes.
func TestSamePutsAtOnce(t *testing.T) {
	d, _, _ := fresh(t)
	data := shard(1, 50_000)
	var all []*Reservation
	for range 20 {
		r, err := d.Reserve(ctx, announce(owner(1), data, 1, 1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Write(data); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	var g sync.WaitGroup
	for _, r := range all {
		g.Go(func() {
			if err := r.Commit(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	if u := d.Usage(); u.Stored != 2*segmentHeader+recordLen(50_000, 1) && u.Stored != segmentHeader+recordLen(50_000, 1) {
		t.Errorf("%+v", u)
	}
}

// TestDeleteEndsPuts: a delete is not overtaken by a put whose sender has given up, but whose bytes have all come. One of
// a newer generation goes on.
func TestDeleteEndsPuts(t *testing.T) {
	d, _, _ := fresh(t)
	data, newer := shard(1, 5000), uint64(3)
	var puts []*Reservation
	for generation := range newer + 1 {
		r, err := d.Reserve(ctx, announce(owner(1), data, 1, generation))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Write(data); err != nil {
			t.Fatal(err)
		}
		puts = append(puts, r)
	}
	wantErr(t, d.Delete(ctx, owner(1), crypt.Sum(data), 1, newer-1), ErrNotFound)
	for generation, r := range puts[:newer] {
		if err := r.Commit(ctx); err == nil {
			t.Errorf("the put of generation %d came after its deletion", generation)
		}
		wantHas(t, d, owner(1), data, false)
	}
	if err := puts[newer].Commit(ctx); err != nil {
		t.Error(err)
	}
	wantHas(t, d, owner(1), data, true)
}

// TestDeleteWaitsForStoring: a put whose bytes are just being synced is there when the delete looks.
func TestDeleteWaitsForStoring(t *testing.T) {
	fs, inject := failing(vfs.NewMem())
	d := open(t, small(fs, &clock{}))
	defer d.Close()
	data := shard(1, 5000)
	syncing, goOn := make(chan struct{}), make(chan struct{})
	hold := func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData && strings.HasSuffix(op.Path, ".seg") {
			close(syncing)
			<-goOn
		}
		return nil
	}
	inject.Store(&hold)
	stored, deleted := make(chan error, 1), make(chan error, 1)
	go func() { stored <- store(d, announce(owner(1), data, 1, 1), data) }()
	<-syncing
	go func() { deleted <- d.Delete(ctx, owner(1), crypt.Sum(data), 1, 1) }()
	select {
	case err := <-deleted:
		t.Errorf("the delete did not wait: %v", err)
		deleted <- err
	case <-time.After(20 * time.Millisecond): // long enough for one that does not, mostly
	}
	close(goOn)
	if err := <-stored; err != nil {
		t.Error(err)
	}
	if err := <-deleted; err != nil {
		t.Error(err)
	}
	wantHas(t, d, owner(1), data, false)
}
