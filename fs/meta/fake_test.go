package meta

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/crypt"
)

// fakeChunks keeps chunks in memory, in stripes that are open, closed, synced. It survives the crashes of a test as the
// cache's files and the peers would.
type fakeChunks struct {
	mu     sync.Mutex
	number func() (uint64, error)
	limit  int // sealed bytes after which a stripe is closed
	open   map[uint8]uint64
	fill   map[uint64]int
	closed map[uint64]bool
	chunks map[uint64]map[uint32][]byte
	fail   error
	// record, if set, must know a stripe before it can be read, as fetching from peers needs it.
	record func(ctx context.Context, stripe uint64) ([]byte, error)
}

func newFakeChunks() *fakeChunks {
	return &fakeChunks{
		limit: 4 << 20, open: map[uint8]uint64{}, fill: map[uint64]int{}, closed: map[uint64]bool{},
		chunks: map[uint64]map[uint32][]byte{},
	}
}

func (f *fakeChunks) Put(_ context.Context, class uint8, plain []byte) (crypt.Ref, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return crypt.Ref{}, f.fail
	}
	s, ok := f.open[class]
	if !ok {
		var err error
		if s, err = f.number(); err != nil {
			return crypt.Ref{}, err
		}
		f.open[class], f.chunks[s] = s, map[uint32][]byte{}
	}
	r := fakeRef(plain, s, uint32(f.fill[s]))
	f.chunks[s][r.Offset] = append([]byte{}, plain...)
	if f.fill[s] += r.SealedLen(); f.fill[s] >= f.limit {
		f.closed[s] = true
		delete(f.open, class)
	}
	return r, nil
}

func fakeRef(plain []byte, stripe uint64, offset uint32) crypt.Ref {
	r := crypt.Ref{Key: crypt.Key(crypt.Sum(plain)), Suite: crypt.SuiteAES, Len: uint32(len(plain)), Stripe: stripe, Offset: offset}
	for n := len(plain); n > 0; n -= crypt.BlockSize {
		r.Blocks = append(r.Blocks, crypt.Block{Len: uint32(min(n, crypt.BlockSize)) + crypt.Overhead})
	}
	return r
}

func (f *fakeChunks) Get(ctx context.Context, r *crypt.Ref, dst []byte) ([]byte, error) {
	if f.record != nil {
		b, err := f.record(ctx, r.Stripe)
		if err != nil {
			return nil, fmt.Errorf("stripe %x: %w", r.Stripe, err)
		}
		if string(b[:11]) != string(fakeRecord(r.Stripe)[:11]) {
			return nil, fmt.Errorf("stripe %x: wrong record %q", r.Stripe, b)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	b, ok := f.chunks[r.Stripe][r.Offset]
	if !ok || crypt.Key(crypt.Sum(b)) != r.Key {
		return nil, fmt.Errorf("no chunk at %x+%d", r.Stripe, r.Offset)
	}
	return append(dst, b...), nil
}

func (f *fakeChunks) CloseStripes(_ context.Context, class uint8) ([]uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.open[class]
	if !ok {
		return nil, nil
	}
	delete(f.open, class)
	f.closed[s] = true
	return []uint64{s}, nil
}

// crash forgets the open stripes: nothing is appended to them any more.
func (f *fakeChunks) crash() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c, s := range f.open {
		f.closed[s] = true
		delete(f.open, c)
	}
}

func (f *fakeChunks) encode(_ context.Context, stripe uint64) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed[stripe] {
		return nil, fmt.Errorf("stripe %x is open", stripe)
	}
	return fakeRecord(stripe), nil
}

func fakeRecord(stripe uint64) []byte {
	return append(binary.BigEndian.AppendUint64([]byte("rec"), stripe), make([]byte, 200)...)
}

// failer is a testing.TB or a rapid.T.
type failer interface {
	Fatalf(format string, args ...any)
}

// world is what outlives a DB: its files, its chunks and its keys.
type world struct {
	cfg    Config
	fs     *vfs.MemFS
	chunks *fakeChunks
	rng    *rand.Rand
	now    time.Time
}

func newWorld(seed uint64) *world {
	w := &world{
		fs: vfs.NewCrashableMem(), chunks: newFakeChunks(), rng: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1_800_000_000, 0),
	}
	w.cfg = Config{
		Dir: "meta", AtRest: crypt.NewKey(), NameKey: crypt.NewKey(), Device: crypt.NewDevice(), Volume: crypt.Sum([]byte("volume")),
		Epoch: crypt.Epoch{Number: 1, Secret: crypt.NewKey()}, Policy: "4+2", Memory: 8 << 20, Journal: 512 << 10,
		Certificate: crypt.Certificate{WriterEpoch: 1}, Now: func() time.Time { return w.now },
	}
	return w
}

func (w *world) open(t failer) *DB {
	cfg := w.cfg
	cfg.FS = w.fs
	d, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	w.attach(t, d)
	return d
}

func (w *world) attach(t failer, d *DB) {
	w.chunks.number = d.NextStripe
	d.Attach(w.chunks, w.chunks.encode)
	if err := d.Ready(context.Background()); err != nil {
		t.Fatalf("ready: %v", err)
	}
}

// cut plays the end of the process (keep 100) or of the power (less: what nobody synced may be lost).
func (w *world) cut(t failer, d *DB, keep int) *DB {
	clone := w.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: w.rng})
	_ = d.Close(context.Background()) // the old one's files are not looked at any more
	w.fs = clone
	w.chunks.crash()
	return w.open(t)
}

// restore opens another machine's empty state from a head. Every stripe it reads must have a record that it knows.
func (w *world) restore(t failer, head []byte) *DB {
	cfg := w.cfg
	cfg.FS, cfg.Device = vfs.NewMem(), crypt.NewDevice()
	d, err := Restore(context.Background(), cfg, head)
	if err != nil {
		t.Fatalf("restore: %v", err)
	}
	other := newFakeChunks()
	other.fill, other.closed, other.chunks = w.chunks.fill, w.chunks.closed, w.chunks.chunks
	other.record, other.number = d.Record, d.NextStripe
	d.Attach(other, other.encode)
	if err := d.Ready(context.Background()); err != nil {
		t.Fatalf("ready after restore: %v", err)
	}
	return d
}
