package volume

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/hammockfs/hammock/chunker"
	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/cache"
	"github.com/hammockfs/hammock/fs/meta"
)

var ctx = context.Background()

// numbers lets the cache be opened before the metadata that number its stripes.
type numbers struct{ db *meta.DB }

func (n *numbers) NextStripe() (uint64, error) { return n.db.NextStripe() }
func (n *numbers) FindChunk(id crypt.ID) (crypt.Ref, bool) {
	return n.db.FindChunk(id)
}
func (n *numbers) AddChunk(id crypt.ID, r *crypt.Ref) error { return n.db.AddChunk(id, r) }

// world is what outlives a volume: its files and its keys.
type world struct {
	fs      vfs.FS
	keys    [3]crypt.Key
	dev     *crypt.Device
	limit   int64  // of the cache
	log     int64  // of the journal, after which the overlay is flushed
	fill    int    // of a stripe
	dir     string // before the names of its folders
	memory  int64  // of the metadata
	reserve int64  // of the disk, by ballasts
	cfg     Config
	clock   *clock

	cache *cache.Cache
	db    *meta.DB
	v     *Volume
}

// clock is a time that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Microsecond) // no two changes at one time
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newWorld() *world {
	w := &world{fs: vfs.NewMem(), dev: crypt.NewDevice(), limit: 1 << 30, log: 8 << 20, fill: 4 << 20, memory: 8 << 20,
		clock: &clock{now: time.Unix(1_800_000_000, 0)}}
	for i := range w.keys {
		w.keys[i] = crypt.NewKey()
	}
	w.cfg = Config{Age: time.Hour, Now: w.clock.Now}
	return w
}

// start opens a new world for a test and closes it when that ends.
func start(t testing.TB) *world {
	w := newWorld()
	w.open(t)
	t.Cleanup(func() { w.close(t) })
	return w
}

func (w *world) open(t testing.TB) {
	t.Helper()
	nums := &numbers{}
	var err error
	w.cache, err = cache.Open(cache.Config{
		FS: w.fs, Dir: w.dir + "cache", Sealer: crypt.NewSealer(w.keys[0], crypt.SuiteAES), Numbers: nums, Index: nums,
		Limit: w.limit, Memory: 8 << 20, Target: func(uint8) int { return w.fill }, Now: w.clock.Now,
		Reserve: w.reserve,
	})
	must(t, err)
	c := w.cache
	w.db, err = meta.Open(ctx, meta.Config{
		FS: w.fs, Dir: w.dir + "meta", AtRest: w.keys[1], NameKey: w.keys[2], Device: w.dev, Volume: crypt.Sum([]byte("volume")),
		Epoch: crypt.Epoch{Number: 1, Secret: w.keys[0]}, Chunks: c, Encode: encode, Memory: w.memory, Journal: w.log,
		SyncStripes: func(ctx context.Context) error { return c.Sync(ctx) }, ValidRef: c.Valid, Now: w.clock.Now,
		Reserve: w.reserve,
	})
	must(t, err)
	nums.db = w.db
	w.v = w.openVolume(t)
}

func (w *world) openVolume(t testing.TB) *Volume {
	table, err := chunker.NewTable([32]byte{1}, chunker.Default)
	must(t, err)
	cfg := w.cfg
	cfg.DB, cfg.Cache, cfg.Table = w.db, w.cache, table
	v, err := Open(ctx, cfg)
	must(t, err)
	return v
}

// encode stands for placement: a record of one byte.
func encode(context.Context, uint64) ([]byte, error) { return []byte{1}, nil }

// close ends the volume and looks at whether it has let go of everything.
func (w *world) close(t testing.TB) {
	t.Helper()
	must(t, w.v.Close(ctx))
	if n := w.v.dirtyBytes.Load(); n != 0 || len(w.v.dirty) != 0 {
		t.Errorf("after Close %d bytes and %d inodes are dirty", n, len(w.v.dirty))
	}
	for _, in := range w.v.inodes {
		if in.pins != in.opens {
			t.Errorf("inode %d has %d pins and %d open files", in.ino, in.pins, in.opens)
		}
	}
	w.checkNames(t)
	must(t, w.db.Close(ctx))
	must(t, w.cache.Close(ctx))
}

// reopen closes everything and opens it again.
func (w *world) reopen(t testing.TB) {
	t.Helper()
	w.close(t)
	w.open(t)
}

// forget drops all clean states, so that what is read next comes from records.
func (w *world) forget() {
	v := w.v
	v.mu.Lock()
	defer v.mu.Unlock()
	for v.idle.n > 0 {
		v.forget(v.idle.first)
	}
}

// checks lets a property run n times, unless the command line says otherwise.
func checks(t *testing.T, n int, property func(*rapid.T)) {
	t.Helper()
	const usual = "100" // rapid's own number
	if f := flag.Lookup("rapid.checks"); f != nil && f.Value.String() == usual {
		must(t, f.Value.Set(strconv.Itoa(n)))
		defer func() { _ = f.Value.Set(usual) }()
	}
	rapid.Check(t, property)
}

func must(t testing.TB, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, what string, err, want error) {
	if !errors.Is(err, want) {
		t.Helper()
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func random(seed uint64, n int) []byte {
	var s [32]byte
	s[0], s[1] = byte(seed), byte(seed>>8)
	p := make([]byte, n)
	_, _ = rand.NewChaCha8(s).Read(p)
	return p
}

func (w *world) create(t testing.TB, dir uint64, name string) *File {
	t.Helper()
	_, f, err := w.v.Create(ctx, Caller{}, dir, name, 0o644)
	must(t, err)
	return f
}

func (w *world) mkdir(t testing.TB, dir uint64, name string) uint64 {
	t.Helper()
	a, err := w.v.Mkdir(ctx, Caller{}, dir, name, 0o755)
	must(t, err)
	return a.Ino
}

func (w *world) attr(t testing.TB, ino uint64) Attr {
	t.Helper()
	a, err := w.v.GetAttr(ctx, ino)
	must(t, err)
	return a
}

func write(t testing.TB, f *File, p []byte, off int64) {
	t.Helper()
	n, err := f.Write(ctx, p, off)
	if err != nil || n != len(p) {
		t.Fatalf("write %d bytes at %d: %d, %v", len(p), off, n, err)
	}
}

func release(t testing.TB, f *File) {
	t.Helper()
	must(t, f.Flush(ctx))
	must(t, f.Release(ctx))
}

func truncate(t testing.TB, w *world, ino, size uint64) {
	t.Helper()
	a, err := w.v.SetAttr(ctx, ino, SetAttr{Size: &size})
	if err != nil || a.Size != size {
		t.Fatalf("truncate to %d: size %d, %v", size, a.Size, err)
	}
}

// content reads a whole file through a handle of its own, in steps.
func (w *world) content(t testing.TB, ino uint64, step int) []byte {
	t.Helper()
	f, err := w.v.Open(ctx, ino, false)
	must(t, err)
	var all []byte
	p := make([]byte, step)
	for {
		for i := range p {
			p[i] = 0xee // so that a hole that is not filled shows
		}
		n, err := f.Read(ctx, p, int64(len(all)))
		must(t, err)
		if n == 0 {
			break
		}
		all = append(all, p[:n]...)
	}
	must(t, f.Release(ctx))
	return all
}

func (w *world) wantContent(t testing.TB, what string, ino uint64, want []byte) {
	t.Helper()
	got := w.content(t, ino, 1<<20)
	if !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		t.Fatalf("%s: %d bytes, want %d; the first difference is at %d", what, len(got), len(want), at)
	}
	if a := w.attr(t, ino); a.Size != uint64(len(want)) {
		t.Fatalf("%s: size %d, want %d", what, a.Size, len(want))
	}
}
