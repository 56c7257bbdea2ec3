package meta

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/hammockfs/hammock/crypt"
)

// cutChunks are chunks that a power cut takes, unless they were synced.
type cutChunks struct {
	*fakeChunks
	synced map[place][]byte
}

func (c *cutChunks) keep(only func(stripe uint64) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s, chunks := range c.chunks {
		for off, b := range chunks {
			if only(s) {
				c.synced[place{s, off}] = b
			}
		}
	}
}

func (c *cutChunks) CloseStripes(ctx context.Context, class uint8) ([]uint64, error) {
	list, err := c.fakeChunks.CloseStripes(ctx, class)
	c.keep(func(s uint64) bool { return c.fakeChunks.isClosed(s) })
	return list, err
}

func (f *fakeChunks) isClosed(s uint64) bool { return f.closed[s] }

// data writes a chunk of file data.
func (c *cutChunks) data(step uint64) Extent {
	b := binary.BigEndian.AppendUint64(nil, step)
	r, _ := c.Put(context.Background(), ClassData, b)
	return Extent{Len: 8, Ref: r}
}

// survivors are the chunks of before that a cut left.
func survivors(synced map[place][]byte) *fakeChunks {
	f := newFakeChunks()
	for p, b := range synced {
		if f.chunks[p.stripe] == nil {
			f.chunks[p.stripe] = map[uint32][]byte{}
		}
		f.chunks[p.stripe][p.offset], f.closed[p.stripe] = b, true
	}
	return f
}

// cut is a power cut: what the disk holds after it, and what was promised before it.
type cut struct {
	op      string
	fs      *vfs.MemFS
	chunks  map[place][]byte
	least   int    // the state that a Sync has promised
	most    int    // the newest one that was begun
	counter uint64 // of the newest head that was handed out
}

// recorder lives one life of a DB and cuts the power, on copies, before every sync.
type recorder struct {
	w      *world
	chunks *cutChunks
	d      *DB

	draw   *rand.Rand // for the life
	mu     sync.Mutex
	rng    *rand.Rand          // for the cuts
	states []map[uint64]uint64 // after each commit: inode to the step that wrote it last
	now    cut
	cuts   []cut
}

func (r *recorder) MaybeError(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
		r.cut(fmt.Sprint(op.Kind, " ", op.Path))
	}
	return nil
}

func (*recorder) String() string { return "power cuts" }

func (r *recorder) cut(op string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.now
	c.op = op
	r.chunks.mu.Lock()
	c.chunks = maps.Clone(r.chunks.synced)
	r.chunks.mu.Unlock()
	percent := 0
	if len(r.cuts)%2 == 1 {
		percent = r.rng.IntN(101)
	}
	c.fs = r.w.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: r.rng})
	r.cuts = append(r.cuts, c)
}

func (r *recorder) promise(f func(*cut)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.now)
}

// step commits a change of one file: its inode, a name, and a window that cites a chunk written just before.
func (r *recorder) step(t *testing.T, n int) {
	next := maps.Clone(r.states[len(r.states)-1])
	ino := uint64(100 + r.draw.IntN(40))
	b := r.d.NewBatch()
	if _, there := next[ino]; there && r.draw.IntN(4) == 0 {
		b.RemoveInode(ino)
		b.DeleteDirent(1, fmt.Sprint(ino))
		delete(next, ino)
	} else {
		b.PutInode(&Inode{Ino: ino, Size: uint64(n), Parent: 1})
		b.PutDirent(1, fmt.Sprint(ino), ino, 8)
		b.PutWindow(ino, 0, []Extent{r.chunks.data(uint64(n))})
		b.PutPage(ino, 3, make([]byte, r.draw.IntN(3000)))
		next[ino] = uint64(n)
	}
	r.states = append(r.states, next)
	r.promise(func(c *cut) { c.most = len(r.states) - 1 })
	must(t, r.d.Commit(t.Context(), b))
}

func (r *recorder) live(t *testing.T, steps int) {
	r.open(t)
	for n := 1; n <= steps; n++ {
		r.step(t, n)
		done := len(r.states) - 1
		switch r.draw.IntN(12) {
		case 0, 1:
			must(t, r.d.Sync(t.Context()))
			r.promise(func(c *cut) { c.least = done })
		case 2:
			must(t, r.d.flush(t.Context()))
			r.promise(func(c *cut) { c.least = done })
		case 3:
			_, counter, err := r.d.Checkpoint(t.Context(), CheckpointOptions{Fold: r.draw.IntN(2) == 0})
			must(t, err)
			r.promise(func(c *cut) { c.least, c.counter = done, counter })
		case 4:
			if n%3 == 0 {
				must(t, r.d.Close(t.Context()))
				r.chunks.crash()
				r.open(t)
				r.promise(func(c *cut) { c.least = done })
			}
		}
	}
	must(t, r.d.Close(t.Context()))
}

func (r *recorder) open(t *testing.T) {
	cfg := r.w.cfg
	cfg.FS = errorfs.Wrap(r.w.fs, r)
	cfg.SyncStripes = func(context.Context) error {
		r.chunks.keep(func(uint64) bool { return true })
		return nil
	}
	cfg.ValidRef = func(ref *crypt.Ref) (bool, error) { return true, nil }
	var err error
	r.d, err = Open(t.Context(), cfg)
	must(t, err)
	r.chunks.number = r.d.NextStripe
	r.d.Attach(r.chunks, r.chunks.encode)
	must(t, r.d.Ready(t.Context()))
}

// check opens what a cut left. It has to be one of the states between the one promised and the newest, but for file data
// that was never synced: there a file shows what it held before, or nothing.
func (r *recorder) check(c *cut) error {
	ctx := context.Background()
	chunks := survivors(c.chunks)
	cfg := r.w.cfg
	cfg.FS = c.fs
	cfg.ValidRef = func(ref *crypt.Ref) (bool, error) { _, ok := c.chunks[place{ref.Stripe, ref.Offset}]; return ok, nil }
	d, err := Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer d.Close(ctx)
	chunks.number = d.NextStripe
	d.Attach(chunks, chunks.encode)
	if err := d.Ready(ctx); err != nil {
		return err
	}
	got := map[uint64]uint64{}
	if err := d.Inodes(ctx, func(i Inode) error { got[i.Ino] = i.Size; return nil }); err != nil {
		return err
	}
	found := false
	for i := c.least; i <= c.most && !found; i++ {
		found = maps.Equal(got, r.states[i])
	}
	if !found {
		return fmt.Errorf("%d files, and none of the states %d to %d", len(got), c.least, c.most)
	}
	if err := r.windows(d, chunks, got, r.states[c.least]); err != nil {
		return err
	}
	if h := d.Head(); c.counter > 0 && (h == nil || headCounter(h) < c.counter) {
		return fmt.Errorf("head %d was handed out", c.counter)
	}
	if _, _, err := d.Checkpoint(ctx, CheckpointOptions{Fold: true}); err != nil {
		return err
	}
	return r.windows(d, chunks, got, r.states[c.least])
}

func headCounter(b []byte) uint64 {
	h, err := crypt.ParseHead(b)
	if err != nil {
		return 0
	}
	return h.Counter
}

// windows reads the data of every file. What was promised is there or something newer is; what is there can be read.
func (r *recorder) windows(d *DB, chunks *fakeChunks, files, promised map[uint64]uint64) error {
	ctx := context.Background()
	for ino, step := range files {
		if _, err := d.Lookup(ctx, 1, fmt.Sprint(ino)); err != nil {
			return fmt.Errorf("name of %d: %w", ino, err)
		}
		list, err := d.Window(ctx, ino, 0)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			if promised[ino] == step {
				return fmt.Errorf("data of %d is gone", ino)
			}
			continue
		}
		b, err := chunks.Get(ctx, &list[0].Ref, nil)
		if err != nil {
			return fmt.Errorf("data of %d: %w", ino, err)
		}
		if has := binary.BigEndian.Uint64(b); has > step || has != step && promised[ino] == step {
			return fmt.Errorf("data of %d is of step %d, not %d", ino, has, step)
		}
	}
	return nil
}

func TestPowerCutAtEverySync(t *testing.T) {
	const seed = 20_260_731
	steps := 200
	if testing.Short() {
		steps = 60
	}
	w := newWorld(seed)
	w.cfg.Journal = 128 << 10
	r := &recorder{w: w, draw: rand.New(rand.NewPCG(seed, 3)), rng: rand.New(rand.NewPCG(seed, 2)), states: []map[uint64]uint64{{}},
		chunks: &cutChunks{fakeChunks: newFakeChunks(), synced: map[place][]byte{}}}
	r.live(t, steps)
	t.Logf("seed %d: %d power cuts", seed, len(r.cuts))
	for i := range r.cuts {
		c := &r.cuts[i]
		if err := r.check(c); err != nil {
			t.Errorf("cut %d of %d, at %s: %v", i, len(r.cuts), c.op, err)
		}
		c.fs = nil
	}
}
