package depot

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/integration/crashdisk"
)

// reopen opens what a power cut that keeps nothing but what was synced has left of a depot's disk.
func reopen(t *testing.T, disk *crashdisk.Disk) (*Depot, *crashdisk.Disk) {
	t.Helper()
	after := disk.Cut(crashdisk.Loss{}, nil)
	return open(t, small(after, &clock{})), after
}

func wantUsage(t *testing.T, d *Depot, shards int, used, trash int64) {
	t.Helper()
	if u := d.Usage(); u.Shards != shards || u.Used != used || u.Trash != trash {
		t.Errorf("%+v, want %d shards, %d used, %d in the trash", u, shards, used, trash)
	}
}

// TestOneSyncForAPut counts the syncs of the index while puts are answered, and then cuts the power twice: the second time
// right after the start that has found the records.
func TestOneSyncForAPut(t *testing.T) {
	var syncs atomic.Int32
	disk := crashdisk.New(func(op crashdisk.Op) error {
		if op.Kind == crashdisk.Sync && strings.Contains(op.Path, "/index/") {
			syncs.Add(1)
		}
		return nil
	})
	d := open(t, small(disk, &clock{}))
	syncs.Store(0)
	const n, size = 20, 60_000 // several segments
	fill(t, d, n, size)
	mustStore(t, d, owner(2), shard(3, size), 7)
	if got := syncs.Load(); got != 0 {
		t.Errorf("the index was synced %d times", got)
	}
	for range 2 {
		d, disk = reopen(t, disk)
		wantUsage(t, d, n, (n+1)*charge(size), 0)
		for i := range uint64(n) {
			wantHas(t, d, owner(1), shard(i, size), true)
			if err := verify(d, owner(1), shard(i, size)); err != nil {
				t.Error(err)
			}
		}
		wantHas(t, d, owner(2), shard(3, size), true)
		checkFiles(t, d, disk)
	}
}

// TestTailIsBounded: however many puts there are, what a start has to read is not more than maxTail and a little.
func TestTailIsBounded(t *testing.T) {
	disk := crashdisk.New(nil)
	cfg := small(disk, &clock{})
	cfg.Capacity, cfg.SegmentSize = 1<<30, 0
	d := open(t, cfg)
	d.tail.Store(maxTail - 100_000)
	fill(t, d, 4, 60_000)
	after := disk.Cut(crashdisk.Loss{}, nil)
	x, err := openIndex(after, "depot/index", 100, d.log)
	if err != nil {
		t.Fatal(err)
	}
	defer x.close()
	for i, want := range []bool{true, true, false, false} {
		if _, ok, err := x.entry(crypt.Sum(shard(uint64(i), 60_000))); err != nil || ok != want {
			t.Errorf("shard %d: the index knows it: %v, %v", i, ok, err)
		}
	}
}

// TestForgottenStaysForgotten reaps one of the records that a start would read, and puts another one again before that is
// safe.
func TestForgottenStaysForgotten(t *testing.T) {
	disk, c := crashdisk.New(nil), &clock{}
	d := open(t, small(disk, c))
	const size = 5000
	fill(t, d, 3, size)
	remove := func(i uint64) trashed {
		t.Helper()
		if err := d.Delete(ctx, owner(1), crypt.Sum(shard(i, size)), i, 1); err != nil {
			t.Fatal(err)
		}
		return trashed{hold{owner(1), crypt.Sum(shard(i, size)), i}, c.Now().UnixNano()}
	}
	remove(0)
	c.Advance(TrashTime)
	if err := d.Tidy(ctx); err != nil {
		t.Fatal(err)
	}
	wantUsage(t, d, 2, 2*charge(size), 0)
	after, _ := reopen(t, disk)
	wantUsage(t, after, 2, 2*charge(size), 0)

	gone := remove(1)
	if err := d.pass(false); err != nil {
		t.Fatal(err)
	}
	d.loose.Store(true)
	if err := d.forget(gone.hold, gone.at); err != nil {
		t.Fatal(err)
	}
	after, _ = reopen(t, disk) // undoes it
	wantUsage(t, after, 2, charge(size), charge(size))
	mustStore(t, d, owner(1), shard(1, size), 1)
	after, _ = reopen(t, disk)
	wantUsage(t, after, 2, 2*charge(size), 0)
	wantHas(t, after, owner(1), shard(1, size), true)
}

// TestForgettingWaitsForPuts: the mark cannot pass a put that is under way, and nothing behind the mark is forgotten.
func TestForgettingWaitsForPuts(t *testing.T) {
	var hold atomic.Bool
	syncing, goOn := make(chan struct{}), make(chan struct{})
	disk := crashdisk.New(func(op crashdisk.Op) error {
		if op.Kind == crashdisk.Sync && strings.HasSuffix(op.Path, ".seg") && hold.CompareAndSwap(true, false) {
			close(syncing)
			<-goOn
		}
		return nil
	})
	c := &clock{}
	d := open(t, small(disk, c))
	mustStore(t, d, owner(1), shard(0, 5000), 0)
	if err := d.Delete(ctx, owner(1), crypt.Sum(shard(0, 5000)), 0, 1); err != nil {
		t.Fatal(err)
	}
	c.Advance(TrashTime)
	hold.Store(true)
	var g sync.WaitGroup
	g.Go(func() { mustStore(t, d, owner(1), shard(1, 5000), 1) })
	<-syncing
	tidied := make(chan error, 1)
	go func() { tidied <- d.Tidy(ctx) }()
	for range 3 {
		after, _ := reopen(t, disk)
		if u := after.Usage(); u.Shards == 0 || u.Trash == 0 {
			t.Errorf("%+v", u)
		}
	}
	close(goOn)
	g.Wait()
	if err := <-tidied; err != nil {
		t.Fatal(err)
	}
	after, _ := reopen(t, disk)
	wantUsage(t, after, 1, charge(5000), 0)
}

// TestFailedPutStaysFailed: what could not be synced was answered with an error, and nobody will delete it.
func TestFailedPutStaysFailed(t *testing.T) {
	var fail atomic.Bool
	disk := crashdisk.New(func(op crashdisk.Op) error {
		if op.Kind == crashdisk.Sync && strings.HasSuffix(op.Path, ".seg") && fail.CompareAndSwap(true, false) {
			return syscall.EIO
		}
		return nil
	})
	d := open(t, small(disk, &clock{}))
	one, two, three := shard(1, 5000), shard(2, 5000), shard(3, 5000)
	mustStore(t, d, owner(1), one, 1)
	fail.Store(true)
	wantErr(t, store(d, announce(owner(1), two, 2, 1), two), syscall.EIO)
	wantErr(t, d.Delete(ctx, owner(1), crypt.Sum(two), 2, 1), ErrNotFound)
	after := open(t, small(disk.Kill(nil), &clock{}))
	wantHas(t, after, owner(1), one, true)
	wantHas(t, after, owner(1), two, false)
	mustStore(t, after, owner(1), three, 3)
}

// TestPutAfterRot: a put that finds its claim in the trash and the record rotten writes a new one, which a start could not
// tell from one of before the deletion.
func TestPutAfterRot(t *testing.T) {
	disk := crashdisk.New(nil)
	d := open(t, small(disk, &clock{}))
	data := shard(1, 5000)
	mustStore(t, d, owner(1), data, 1)
	if err := d.Delete(ctx, owner(1), crypt.Sum(data), 1, 1); err != nil {
		t.Fatal(err)
	}
	rot(t, d, disk, data)
	mustStore(t, d, owner(1), data, 1)
	after, _ := reopen(t, disk)
	wantHas(t, after, owner(1), data, true)
	if err := verify(after, owner(1), data); err != nil {
		t.Error(err)
	}
}

// TestKilledBeforeTheSync: what a killed process had written and not synced may be there at the start. Then it stays,
// whatever becomes of the power.
func TestKilledBeforeTheSync(t *testing.T) {
	var hold atomic.Bool
	syncing, goOn := make(chan struct{}), make(chan struct{})
	disk := crashdisk.New(func(op crashdisk.Op) error {
		if op.Kind == crashdisk.Sync && strings.HasSuffix(op.Path, ".seg") && hold.CompareAndSwap(true, false) {
			close(syncing)
			<-goOn
		}
		return nil
	})
	d := open(t, small(disk, &clock{}))
	mustStore(t, d, owner(1), shard(0, 5000), 0)
	hold.Store(true)
	var g sync.WaitGroup
	g.Go(func() { mustStore(t, d, owner(1), shard(1, 5000), 1) })
	<-syncing
	killed := disk.Kill(nil)
	wantHas(t, open(t, small(killed, &clock{})), owner(1), shard(1, 5000), true)
	after, _ := reopen(t, killed)
	wantHas(t, after, owner(1), shard(1, 5000), true)
	close(goOn)
	g.Wait()
}

// TestRottenTail: a record that has rotted is lost, and the ones behind it are not.
func TestRottenTail(t *testing.T) {
	disk := crashdisk.New(nil)
	d := open(t, small(disk, &clock{}))
	fill(t, d, 3, 5000)
	after := disk.Cut(crashdisk.Loss{}, nil)
	rot(t, d, after, shard(1, 5000))
	d = open(t, small(after, &clock{}))
	for i := range uint64(3) {
		wantHas(t, d, owner(1), shard(i, 5000), i != 1)
	}
}

// TestIndexOfBefore opens a depot whose index was synced for each put and has no mark. What lies in its segments beside
// what it knows was deleted and forgotten, or never acknowledged, and nothing is written there.
func TestIndexOfBefore(t *testing.T) {
	fs, c := vfs.NewMem(), &clock{}
	cfg := small(fs, c)
	d := open(t, cfg)
	fill(t, d, 3, 5000)
	h := hold{owner(1), crypt.Sum(shard(2, 5000)), 2}
	b := d.index.batch()
	b.delete([]byte{keyMark})
	b.set([]byte{keyForm}, []byte{formOld})
	b.delete(h.key())
	b.delete(shardKey(h.id))
	if err := errors.Join(d.commit(b, true), d.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		d = open(t, cfg)
		wantUsage(t, d, 2, 2*charge(5000), 0)
		wantHas(t, d, owner(1), shard(2, 5000), false)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	d = open(t, cfg)
	mustStore(t, d, owner(1), shard(4, 5000), 4)
	e, _, err := d.index.entry(crypt.Sum(shard(4, 5000)))
	if err != nil || e.seg != 1 {
		t.Errorf("it went to segment %d, %v", e.seg, err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
