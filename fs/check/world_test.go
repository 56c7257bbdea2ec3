package check

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/chunker"
	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/cache"
	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/meta/journal"
	"github.com/hammockfs/hammock/fs/volume"
)

var ctx = context.Background()

// world is a volume that tests break.
type world struct {
	t     testing.TB
	fs    *vfs.MemFS
	keys  [3]crypt.Key
	dev   *crypt.Device
	cache *cache.Cache
	db    *meta.DB
	v     *volume.Volume
	inos  map[string]uint64
}

// numbers lets the cache be opened before the metadata that number its stripes.
type numbers struct{ db *meta.DB }

func (n *numbers) NextStripe() (uint64, error)                { return n.db.NextStripe() }
func (n *numbers) FindChunk(id crypt.ID) (crypt.Ref, bool)    { return n.db.FindChunk(id) }
func (n *numbers) AddChunk(id crypt.ID, r *crypt.Ref) error   { return n.db.AddChunk(id, r) }
func encode(_ context.Context, stripe uint64) ([]byte, error) { return stripeRecord(stripe, 0), nil }
func stripeRecord(stripe uint64, payload uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64([]byte("record"), stripe), payload)
}

func must(t testing.TB, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

// newWorld makes a volume with some of everything in it.
func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, fs: vfs.NewCrashableMem(), dev: crypt.NewDevice(), inos: map[string]uint64{}}
	for i := range w.keys {
		w.keys[i] = crypt.NewKey()
	}
	w.open(w.keys[2])
	w.openVolume()
	dir := w.mkdir(volume.Root, "dir")
	sub := w.mkdir(dir, "sub")
	w.mkdir(sub, "deep")
	w.file(volume.Root, "small", 3000)
	w.file(dir, "large", 300_000)
	w.file(sub, "larger", 100_000)
	must(t, w.write("larger", 5<<20, 100_000))
	_, err := w.v.Link(ctx, w.inos["large"], sub, "other")
	must(t, err)
	a, err := w.v.Symlink(ctx, volume.Caller{}, dir, "link", "../small")
	must(t, err)
	w.inos["link"] = a.Ino
	must(t, w.v.SetXattr(ctx, w.inos["small"], "user.x", []byte("y"), 0))
	must(t, w.v.Sync(ctx))
	t.Cleanup(func() { w.close() })
	return w
}

func (w *world) open(names crypt.Key) {
	w.t.Helper()
	nums := &numbers{}
	var err error
	w.cache, err = cache.Open(cache.Config{
		FS: w.fs, Dir: "cache", Sealer: crypt.NewSealer(w.keys[0], crypt.SuiteAES), Numbers: nums, Index: nums,
		Limit: 1 << 30, Memory: 8 << 20, Target: func(uint8) int { return 4 << 20 },
	})
	must(w.t, err)
	c := w.cache
	w.db, err = meta.Open(ctx, meta.Config{
		FS: w.fs, Dir: "meta", AtRest: w.keys[1], NameKey: names, Device: w.dev, Volume: crypt.Sum([]byte("volume")),
		Epoch: crypt.Epoch{Number: 1, Secret: w.keys[0]}, Chunks: c, Encode: encode, Memory: 8 << 20, Journal: 1 << 20,
		SyncStripes: func(ctx context.Context) error { return c.Sync(ctx) },
	})
	must(w.t, err)
	nums.db = w.db
	must(w.t, w.db.Ready(ctx))
}

func (w *world) openVolume() {
	w.t.Helper()
	table, err := chunker.NewTable([32]byte{1}, chunker.Default)
	must(w.t, err)
	w.v, err = volume.Open(ctx, volume.Config{DB: w.db, Cache: w.cache, Table: table, Age: time.Hour})
	must(w.t, err)
}

// unmount closes the volume and leaves the records open.
func (w *world) unmount() {
	w.t.Helper()
	if w.v != nil {
		must(w.t, w.v.Close(ctx))
		w.v = nil
	}
}

func (w *world) close() {
	w.unmount()
	must(w.t, w.db.Close(ctx))
	must(w.t, w.cache.Close(ctx))
}

func (w *world) mkdir(dir uint64, name string) uint64 {
	w.t.Helper()
	a, err := w.v.Mkdir(ctx, volume.Caller{}, dir, name, 0o755)
	must(w.t, err)
	w.inos[name] = a.Ino
	return a.Ino
}

func (w *world) file(dir uint64, name string, size int) uint64 {
	w.t.Helper()
	a, f, err := w.v.Create(ctx, volume.Caller{}, dir, name, 0o644)
	must(w.t, err)
	_, err = f.Write(ctx, random(uint64(size), size), 0)
	must(w.t, err)
	must(w.t, f.Flush(ctx))
	must(w.t, f.Release(ctx))
	w.inos[name] = a.Ino
	return a.Ino
}

func (w *world) write(name string, off int64, size int) error {
	f, err := w.v.Open(ctx, w.inos[name], false)
	if err != nil {
		return err
	}
	_, err = f.Write(ctx, random(uint64(size)+1, size), off)
	return errors.Join(err, f.Flush(ctx), f.Release(ctx))
}

func random(seed uint64, n int) []byte {
	p := make([]byte, n)
	var s [32]byte
	binary.LittleEndian.PutUint64(s[:], seed)
	_, _ = rand.NewChaCha8(s).Read(p)
	return p
}

// commit writes records behind the volume's back.
func (w *world) commit(fill func(*meta.Batch)) {
	w.t.Helper()
	b := w.db.NewBatch()
	fill(b)
	must(w.t, w.db.Commit(ctx, b))
}

// edit changes an inode's record.
func (w *world) edit(name string, set func(*meta.Inode)) {
	w.t.Helper()
	in, err := w.db.Inode(ctx, w.inos[name])
	must(w.t, err)
	set(&in)
	w.commit(func(b *meta.Batch) { b.PutInode(&in) })
}

// Steps of a batch as the journal has them.
const (
	opPut    = 1
	opDelete = 2
	opStripe = 5
	opLocal  = 6
)

func step(op byte, key, value []byte) []byte {
	b := binary.AppendUvarint([]byte{op}, uint64(len(key)))
	b = append(b, key...)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

// raw writes records that no batch takes: into the journal, while nothing is open.
func (w *world) raw(steps ...[]byte) {
	w.t.Helper()
	w.unmount()
	clone := w.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	w.close()
	w.fs = clone
	j, err := journal.Open(journal.Config{FS: w.fs, Dir: "meta/journal", Key: w.keys[1], SegmentSize: 256 << 10}, 0, func(journal.LSN, []byte) error { return nil })
	must(w.t, err)
	_, err = j.Append(slices.Concat(append([][]byte{{1}}, steps...)...))
	must(w.t, errors.Join(err, j.Close()))
	w.open(w.keys[2])
}

func recordKey(ino uint64, kind meta.Kind, rest ...byte) []byte {
	return append(append(binary.BigEndian.AppendUint64(nil, ino), byte(kind)), rest...)
}

func numbered(ino uint64, kind meta.Kind, n uint64) []byte {
	return recordKey(ino, kind, binary.BigEndian.AppendUint64(nil, n)...)
}

// stripe is what a test's peers and cache know of a stripe: a record says that it is on peers if it has a payload.
func (w *world) stripe(number uint64, record []byte) Stripe {
	s := Stripe{Here: -1}
	if n, ok := w.cache.Local(number); ok {
		s.Here = n
	}
	switch {
	case record == nil:
	case len(record) != 18 || string(record[:6]) != "record":
		s.Bad = []string{"is none"}
	case binary.BigEndian.Uint64(record[6:]) != number:
		s.Bad = []string{"is of another stripe"}
	default:
		s.Payload = int(binary.BigEndian.Uint32(record[14:]))
		s.Placed = s.Payload > 0
	}
	return s
}

// check runs a check and returns what it found.
func (w *world) check(change ...func(*Config)) ([]Finding, Report) {
	w.t.Helper()
	var list []Finding
	cfg := Config{
		DB: w.db, Stripe: w.stripe, Say: func(f *Finding) { list = append(list, *f) },
		Unreachable: func(err error) bool { return errors.Is(err, cache.ErrUnreachable) },
	}
	if w.v != nil {
		cfg.Settled = w.v.Settled
	}
	for _, c := range change {
		c(&cfg)
	}
	r, err := Run(ctx, cfg)
	must(w.t, err)
	return list, r
}

func fix(c *Config) { c.Fix = true }

func (w *world) data(c *Config) { c.Verify = w.cache.Verify }

// wantClean fails the test if anything is found.
func (w *world) wantClean(change ...func(*Config)) Report {
	w.t.Helper()
	list, r := w.check(change...)
	for _, f := range list {
		w.t.Errorf("a sound volume: %s: %s", f.Rule, f.Text)
	}
	return r
}

// extent changes the first extent of a file.
func (w *world) extent(name string, set func(*meta.Extent)) {
	w.t.Helper()
	list, err := w.db.Window(ctx, w.inos[name], 0)
	must(w.t, err)
	set(&list[0])
	w.commit(func(b *meta.Batch) { b.PutWindow(w.inos[name], 0, list) })
}

// ref is that of a file's first bytes.
func (w *world) ref(name string) crypt.Ref {
	w.t.Helper()
	list, err := w.db.Window(ctx, w.inos[name], 0)
	must(w.t, err)
	return list[0].Ref
}

// direntValue is the value of a directory entry's record.
func direntValue(ino uint64, typ uint8) []byte {
	b, err := crypt.EncodeCBOR(&meta.Dirent{Ino: ino, Type: typ})
	if err != nil {
		panic(err)
	}
	return b
}

// inodeValue is the value of an inode's record, with the fields that a check looks at.
func inodeValue(in *meta.Inode) []byte {
	b, err := crypt.EncodeCBOR(&struct {
		Mode   uint32 `cbor:"1,keyasint,omitempty"`
		Nlink  uint32 `cbor:"4,keyasint,omitempty"`
		Size   uint64 `cbor:"6,keyasint,omitempty"`
		Blocks uint64 `cbor:"7,keyasint,omitempty"`
		Parent uint64 `cbor:"12,keyasint,omitempty"`
		Target []byte `cbor:"13,keyasint,omitempty"`
		Flags  uint32 `cbor:"14,keyasint,omitempty"`
	}{in.Mode, in.Nlink, in.Size, in.Blocks, in.Parent, []byte(in.Target), in.Flags})
	if err != nil {
		panic(err)
	}
	return b
}
