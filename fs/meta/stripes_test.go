package meta

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/hammockfs/hammock/crypt"
)

func checkpoint(t failer, d *DB, fold bool) []byte {
	head, _, err := d.Checkpoint(context.Background(), CheckpointOptions{Fold: fold})
	if err != nil {
		t.Fatalf("checkpoint: %v", err)
	}
	return head
}

// TestTable folds a stripe table of several levels, grows it, and reads it on another machine where every stripe that is
// read must have a record by then. With a small limit the cache closes stripes whenever it likes.
func TestTable(t *testing.T) {
	ctx := context.Background()
	for _, limit := range []int{4 << 20, 100 << 10, 1} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			w := newWorld(4)
			w.chunks.limit = limit
			d := w.open(t)
			defer func() { d.Close(ctx) }()
			const n = 4000
			var head []byte
			for part := range 3 {
				commit(t, d, func(b *Batch) {
					b.PutInode(&Inode{Ino: 1, Mode: 0o40755})
					for i := range uint64(n) {
						if i%3 == uint64(part) {
							b.putStripe(1<<50+i, append(fakeRecord(1<<50+i), byte(part)))
						}
					}
				})
				head = checkpoint(t, d, part != 2)
				d = w.cut(t, d, 0)
			}
			if limit > 1 {
				checkHeight(t, d)
			}
			other := w.restore(t, head)
			defer other.Close(ctx)
			for i := uint64(0); i < n; i += 7 {
				got, err := other.Record(ctx, 1<<50+i)
				if err != nil || got[len(got)-1] != byte(i%3) {
					t.Fatalf("stripe %d: %q, %v", i, got, err)
				}
			}
			count := 0
			err := other.Stripes(ctx, func(stripe uint64, _ []byte) error {
				if stripe >= 1<<50 && stripe < 1<<50+n {
					count++
				}
				return nil
			})
			if err != nil || count != n {
				t.Fatalf("%d stripes, %v", count, err)
			}
			if _, err := other.Record(ctx, 99); !errors.Is(err, ErrNotExist) {
				t.Fatalf("a stripe that is not: %v", err)
			}
		})
	}
}

func checkHeight(t *testing.T, d *DB) {
	if h := d.levels.Load().table.Height; h < 2 {
		t.Fatalf("table of height %d: not what is to be tested", h)
	}
}

// TestFoldInterrupted: a fold that failed left a frozen generation; the next checkpoint folds it, and the process ends just
// after that was recorded, before there was a head. What the table's new root lies in is known all the same: the next
// checkpoint is made, and another machine reads all by its head.
func TestFoldInterrupted(t *testing.T) {
	ctx := context.Background()
	w := newWorld(8)
	d := w.open(t)
	defer func() { d.Close(ctx) }()
	const n = 4000
	put := func(part byte, which func(i uint64) bool) {
		commit(t, d, func(b *Batch) {
			b.PutInode(&Inode{Ino: 1, Mode: 0o40755})
			for i := range uint64(n) {
				if which(i) {
					b.putStripe(1<<50+i, append(fakeRecord(1<<50+i), part))
				}
			}
		})
	}
	put(0, func(uint64) bool { return true })
	checkpoint(t, d, true)
	checkHeight(t, d)
	put(1, func(i uint64) bool { return i == 3 })
	w.chunks.fail = errors.New("no room")
	if _, _, err := d.Checkpoint(ctx, CheckpointOptions{Fold: true}); err == nil {
		t.Fatal("a checkpoint without chunks")
	}
	w.chunks.fail = nil
	lv := d.levels.Load()
	p, err := d.foldFrozen(ctx, lv, CheckpointOptions{})
	if err == nil {
		err = d.refreshRecords(ctx, p)
	}
	if err == nil {
		err = d.commitPublished(ctx, newBatch(), p, lv.frozen)
	}
	if err != nil {
		t.Fatal(err)
	}
	d = w.cut(t, d, 100)
	put(2, func(i uint64) bool { return i == n-1 })
	head := checkpoint(t, d, true)
	other := w.restore(t, head)
	defer other.Close(ctx)
	for i := range uint64(n) {
		want := map[uint64]byte{3: 1, n - 1: 2}[i]
		if got, err := other.Record(ctx, 1<<50+i); err != nil || got[len(got)-1] != want {
			t.Fatalf("stripe %d: %q, %v", i, got, err)
		}
	}
}

// TestHeadHasRecordsOfItsData: a stripe that gets its record only while a checkpoint runs can be found by that checkpoint's
// head, a delta's or a fold's, also if it is placed by then, and if too much was changed meanwhile to be known one by one;
// what else is committed meanwhile is not in it.
func TestHeadHasRecordsOfItsData(t *testing.T) {
	for _, fold := range []bool{false, true} {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("fold=%v,lost=%v", fold, lost), func(t *testing.T) { testHeadHasRecords(t, fold, lost) })
		}
	}
}

func testHeadHasRecords(t *testing.T, fold, lost bool) {
	ctx := context.Background()
	w := newWorld(9)
	d := w.open(t)
	defer d.Close(ctx)
	commit(t, d, func(b *Batch) { b.PutInode(&Inode{Ino: 1, Mode: 0o40755}) })
	checkpoint(t, d, true)
	commit(t, d, func(b *Batch) { b.PutInode(&Inode{Ino: 2, Mode: 0o100644, Size: 7}) })
	late, err := d.NextStripe()
	placed, errP := d.NextStripe()
	if err = errors.Join(err, errP); err != nil {
		t.Fatal(err)
	}
	head, _, err := d.Checkpoint(ctx, CheckpointOptions{Fold: fold, Cited: func(ctx context.Context) error {
		commit(t, d, func(b *Batch) { b.PutInode(&Inode{Ino: 3, Mode: 0o100644}) })
		err := errors.Join(d.Intend(ctx, late, []byte("meant for a")), d.Intend(ctx, placed, []byte("meant for b")),
			d.Placed(ctx, placed, []byte("is at b")))
		d.commit.Lock()
		defer d.commit.Unlock()
		if lost {
			d.changed.lose()
		}
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	other := w.restore(t, head)
	defer other.Close(ctx)
	for stripe, want := range map[uint64]string{late: "meant for a", placed: "is at b"} {
		if r, err := other.Record(ctx, stripe); err != nil || string(r) != want {
			t.Errorf("a record that came late: %q, %v, want %q", r, err, want)
		}
	}
	if _, err := other.Inode(ctx, 2); err != nil {
		t.Errorf("what was committed before: %v", err)
	}
	if _, err := other.Inode(ctx, 3); !errors.Is(err, ErrNotExist) {
		t.Errorf("what was committed later is in the head: %v", err)
	}
}

// TestLostChangesAreFolded: a delta that finds that changes are not known one by one publishes nothing, and they stay to be
// folded.
func TestLostChangesAreFolded(t *testing.T) {
	ctx := context.Background()
	w := newWorld(12)
	d := w.open(t)
	defer d.Close(ctx)
	commit(t, d, func(b *Batch) { b.PutInode(&Inode{Ino: 1, Mode: 0o40755}) })
	checkpoint(t, d, true)
	commit(t, d, func(b *Batch) { b.PutInode(&Inode{Ino: 2, Mode: 0o100644}) })
	d.changed.lose()
	if err := d.delta(ctx, CheckpointOptions{}); !errors.Is(err, errHeadFull) {
		t.Errorf("a delta of what is not known: %v", err)
	}
	other := w.restore(t, checkpoint(t, d, false))
	defer other.Close(ctx)
	if _, err := other.Inode(ctx, 2); err != nil {
		t.Errorf("what was changed is not in the head: %v", err)
	}
}

// TestMetadataStaysPlaced: where a checkpoint's own stripes are is known after a restart, though the head was made before they
// were placed, and after a recovery and a restart, though the deltas say what was before.
func TestMetadataStaysPlaced(t *testing.T) {
	ctx := context.Background()
	w := newWorld(11)
	d := w.open(t)
	own := map[uint64]bool{}
	for i := range uint64(6) {
		commit(t, d, func(b *Batch) { b.PutInode(&Inode{Ino: 1 + i, Mode: 0o40755}) })
		checkpoint(t, d, i%3 == 0)
		for _, r := range d.pub.Records {
			if own[r.Stripe] {
				continue
			}
			own[r.Stripe] = true
			if err := d.Placed(ctx, r.Stripe, []byte(fmt.Sprintf("stripe %x is at b", r.Stripe))); err != nil {
				t.Fatal(err)
			}
		}
	}
	look := func(d *DB, when string) {
		t.Helper()
		for s := range own {
			if r, err := d.Record(ctx, s); err != nil || string(r) != fmt.Sprintf("stripe %x is at b", s) {
				t.Errorf("%s: the record of stripe %x: %q, %v", when, s, r, err)
			}
		}
	}
	look(d, "at once")
	d = w.cut(t, d, 0)
	look(d, "after a power cut")
	commit(t, d, func(b *Batch) { b.PutInode(&Inode{Ino: 100, Mode: 0o40755}) })
	head := checkpoint(t, d, false)
	look(d, "after a checkpoint")
	d.Close(ctx)
	if len(own) < 6 {
		t.Errorf("only %d stripes of metadata were looked at", len(own))
	}
	w.chunks.record = nil
	other := w.restore(t, head)
	defer func() { other.Close(ctx) }()
	look(other, "after a recovery")
}

func TestStripeStates(t *testing.T) {
	ctx := context.Background()
	w := newWorld(5)
	d := w.open(t)
	defer func() { d.Close(ctx) }()
	commit(t, d, func(b *Batch) { b.PutInode(&Inode{Ino: 1}) })
	data, err := d.NextStripe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Intend(ctx, data, []byte("meant for a")); err != nil {
		t.Fatal(err)
	}
	d = w.cut(t, d, 0)
	if list, err := d.Unplaced(ctx); err != nil || !slices.Equal(list, []uint64{data}) {
		t.Fatalf("unplaced after a power cut: %x, %v", list, err)
	}
	if r, err := d.Record(ctx, data); err != nil || string(r) != "meant for a" {
		t.Fatalf("record: %q, %v", r, err)
	}
	head := checkpoint(t, d, true)
	if _, body, err := w.cfg.openHead(head); err != nil || body.Unplaced != 1 || body.Policy != "4+2" {
		t.Fatalf("head: %+v, %v", body, err)
	}
	if err := d.Placed(ctx, data, []byte("is at b")); err != nil {
		t.Fatal(err)
	}
	if list, err := d.Unplaced(ctx); err != nil || len(list) != 0 {
		t.Fatalf("unplaced: %x, %v", list, err)
	}
	if !d.Dirty() {
		t.Error("a data stripe was placed, and no checkpoint is due")
	}
}

// placed forgets stripes: they are placed once.
func placed(f *fakeChunks) {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.closed)
}

// TestQuiet places the stripes that checkpoints make: that must not make another checkpoint due, or there is no end.
func TestQuiet(t *testing.T) {
	ctx := context.Background()
	w := newWorld(6)
	d := w.open(t)
	defer func() { d.Close(ctx) }()
	for i := range 6 {
		commit(t, d, func(b *Batch) { b.PutInode(&Inode{Ino: 1, Size: uint64(i)}) })
		before := d.Head()
		head := checkpoint(t, d, i == 3)
		if d.Dirty() || slices.Equal(before, head) {
			t.Fatalf("checkpoint %d: dirty %v, new head %v", i, d.Dirty(), !slices.Equal(before, head))
		}
		if i%2 == 1 { // a restart in between
			d = w.cut(t, d, 100)
		}
		for s := range w.chunks.closed {
			if err := errors.Join(d.Intend(ctx, s, fakeRecord(s)), d.Placed(ctx, s, fakeRecord(s))); err != nil {
				t.Fatal(err)
			}
		}
		if i == 4 {
			d = w.cut(t, d, 100)
		}
		if n := d.Stats().Changed; d.Dirty() || n != 0 || !slices.Equal(checkpoint(t, d, false), head) {
			t.Fatalf("checkpoint %d: placing its own stripes made %d changes, dirty %v", i, n, d.Dirty())
		}
		placed(w.chunks)
	}
}

func TestStoresAndSessions(t *testing.T) {
	ctx := context.Background()
	w := newWorld(7)
	d := w.open(t)
	commit(t, d, func(b *Batch) { b.PutInode(&Inode{Ino: 1}) })
	add := func(e StoreEntry) uint32 {
		n, err := d.AddStore(ctx, e)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	a, b := add(StoreEntry{Kind: 1, Peer: "a"}), add(StoreEntry{Kind: 1, Peer: "b", Machine: "m"})
	if again := add(StoreEntry{Kind: 1, Peer: "a", Addrs: []string{"x"}}); a != 1 || b != 2 || again != a {
		t.Fatalf("numbers %d, %d, %d", a, b, again)
	}
	inos, sessions := map[uint64]bool{}, map[uint32]bool{}
	var head []byte
	for range 5 {
		head = checkpoint(t, d, false)
		for range 10 {
			inos[d.NextIno()] = true
		}
		sessions[d.session] = true
		d = w.cut(t, d, 0)
		commit(t, d, func(b *Batch) { b.PutInode(&Inode{Ino: 1}) })
	}
	if len(inos) != 50 || len(sessions) != 5 {
		t.Fatalf("%d inode numbers, %d sessions", len(inos), len(sessions))
	}
	other := w.restore(t, head)
	defer other.Close(ctx)
	if sessions[other.session] {
		t.Error("a restored volume uses a session again")
	}
	list := other.Stores()
	if len(list) != 2 || list[0].Addrs[0] != "x" || list[1].Machine != "m" {
		t.Errorf("stores of the restored volume: %+v", list)
	}
	if other.Head() != nil {
		t.Error("another device's head is not its own")
	}
	newHead := checkpoint(t, other, true)
	h, body, err := w.cfg.openHead(newHead)
	old, _ := crypt.ParseHead(head)
	if err != nil || h.Counter != old.Counter+1 || h.Prev != crypt.HeadID(head) || len(body.Vector) != 1 || body.Vector[0].Device != old.Device {
		t.Errorf("head after a restore: %+v, %+v, %v", h, body.Vector, err)
	}
	d.Close(ctx)
}

// TestLongDeltas makes changes until the deltas are folded, in pieces of more than one.
func TestLongDeltas(t *testing.T) {
	ctx := context.Background()
	w := newWorld(8)
	w.cfg.Journal = 4 << 20
	d := w.open(t)
	defer d.Close(ctx)
	folds, last := 0, 0
	page := make([]byte, Page)
	for i := range uint64(14) {
		commit(t, d, func(b *Batch) {
			b.PutInode(&Inode{Ino: 2 + i})
			for p := range uint64(300) {
				page[0] = byte(p)
				b.PutPage(2+i, p, page)
			}
		})
		head := checkpoint(t, d, false)
		if n := d.Stats().Deltas; n < last {
			folds++
		}
		last = d.Stats().Deltas
		if i%6 == 5 {
			other := w.restore(t, head)
			pages, err := other.Pages(ctx, 2+i)
			if err != nil || len(pages) != 300 {
				t.Fatalf("%d pages, %v", len(pages), err)
			}
			got, _, err := other.Page(ctx, 2, 7, nil)
			if err != nil || got[0] != 7 {
				t.Fatalf("page: %v, %v", got[0], err)
			}
			other.Close(ctx)
		}
	}
	if folds == 0 {
		t.Error("deltas were never folded")
	}
}

// TestIntendAfterSync expects that a stripe is synced before the journal hears where it is meant to go.
func TestIntendAfterSync(t *testing.T) {
	w := newWorld(9)
	var mu sync.Mutex
	var heard []bool // at each sync of stripes, whether the intent was there
	var d *DB
	w.cfg.SyncStripes = func(ctx context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if d != nil && !d.closed.Load() {
			list, err := d.Unplaced(ctx)
			heard = append(heard, err != nil || len(list) > 0)
		}
		return nil
	}
	opened := w.open(t)
	mu.Lock()
	d = opened
	mu.Unlock()
	stripe, err := opened.NextStripe()
	must(t, err)
	must(t, opened.Intend(t.Context(), stripe, fakeRecord(stripe)))
	must(t, opened.Close(t.Context()))
	mu.Lock()
	defer mu.Unlock()
	if len(heard) == 0 || heard[0] {
		t.Errorf("the intent was there at the syncs %v", heard)
	}
}
