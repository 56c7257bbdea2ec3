package mount

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/hammockfs/hammock/chunker"
	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/cache"
	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/volume"
)

const (
	maxRequests  = 64               // of one sequence
	hangLimit    = time.Minute      // after which a sequence counts as hanging
	maxAllocated = int64(512 << 20) // bytes that one sequence may allocate in all
)

// FuzzRequests hands sequences of requests to a server that no kernel stands in
// front of: whatever arguments they have, none may hang, panic or take much
// memory, and what is recorded afterwards must be a filesystem, the same one
// after a restart.
func FuzzRequests(f *testing.F) {
	for i := range uint64(40) {
		r := rand.New(rand.NewPCG(i, 1))
		program := make([]byte, 100+r.IntN(900))
		for j := range program {
			program[j] = byte(r.Uint32())
		}
		f.Add(program)
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		hang := time.AfterFunc(hangLimit, func() {
			debug.SetTraceback("all")
			panic("a sequence of requests does not end")
		})
		defer hang.Stop()
		runRequests(t, program)
	})
}

func runRequests(t *testing.T, program []byte) {
	m := &memory{fs: vfs.NewMem(), device: crypt.NewDevice(), key: crypt.NewKey()}
	m.open(t)
	k := &kernel{t: t, s: m.serve(), feed: feed{program}, nodes: []uint64{volume.Root}}
	before := allocated()
	for n := 0; len(k.feed.rest) > 0 && n < maxRequests; n++ {
		requests[int(k.feed.byte())%len(requests)](k)
	}
	if n := allocated() - before; n > maxAllocated {
		t.Errorf("%d bytes were allocated", n)
	}
	for _, f := range k.s.files.drain() { // as when the mount ends
		if st := k.s.status(f.Release(k.s.ctx), "release", f.Ino()); st != fuse.OK {
			t.Errorf("release of inode %d: %v", f.Ino(), st)
		}
	}
	want := k.tree()
	k.s.stop()
	m.check(t)
	m.close(t)
	m.open(t)
	k.s = m.serve()
	if got := k.tree(); got != want {
		t.Errorf("after a restart there is\n%s\nwhere there was\n%s", got, want)
	}
	k.s.stop()
	m.check(t)
	m.close(t)
}

func allocated() int64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}

// memory is a volume whose files are in memory.
type memory struct {
	fs     vfs.FS
	device *crypt.Device
	key    crypt.Key

	cache  *cache.Cache
	db     *meta.DB
	volume *volume.Volume
}

func (m *memory) open(t *testing.T) {
	ctx, nums := context.Background(), &numbers{}
	var err error
	m.cache, err = cache.Open(cache.Config{
		FS: m.fs, Dir: "cache", Sealer: crypt.NewSealer(m.key, crypt.SuiteAES), Numbers: nums, Index: nums,
		Limit: 1 << 30, Memory: 4 << 20, Target: func(uint8) int { return 4 << 20 },
	})
	must(t, err)
	m.db, err = meta.Open(ctx, meta.Config{
		FS: m.fs, Dir: "meta", AtRest: m.key, NameKey: m.key, Device: m.device, Volume: crypt.Sum([]byte("volume")),
		Epoch: crypt.Epoch{Number: 1, Secret: m.key}, Chunks: m.cache, Memory: 1 << 20, Journal: 256 << 10,
		SyncStripes: func(ctx context.Context) error { return m.cache.Sync(ctx) }, ValidRef: m.cache.Valid,
	})
	must(t, err)
	nums.db = m.db
	table, err := chunker.NewTable([32]byte{1}, chunker.Default)
	must(t, err)
	m.volume, err = volume.Open(ctx, volume.Config{DB: m.db, Cache: m.cache, Table: table, Age: time.Hour})
	must(t, err)
}

func (m *memory) serve() *Server {
	return unmounted(context.Background(), &Config{Volume: m.volume}, &Options{}, "nowhere")
}

func (m *memory) close(t *testing.T) {
	ctx := context.Background()
	must(t, m.volume.Close(ctx))
	must(t, m.db.Close(ctx))
	must(t, m.cache.Close(ctx))
}

// feed is the bytes that choose requests and arguments. At their end all are
// zero.
type feed struct{ rest []byte }

func (f *feed) byte() byte {
	if len(f.rest) == 0 {
		return 0
	}
	b := f.rest[0]
	f.rest = f.rest[1:]
	return b
}

// edges are numbers at which something changes somewhere.
var edges = [...]uint64{
	0, 1, 511, 512, 4095, 4096, 64 << 10, 1 << 20, 4 << 20, 6<<20 + 123, 1 << 31, 1 << 32, 1 << 40, 1 << 62, 1<<63 - 1<<22,
	1<<63 - 4096, 1<<63 - 1, 1 << 63, 1<<64 - 4096, 1<<64 - 1,
}

// number is mostly near an edge, and sometimes anything.
func (f *feed) number() uint64 {
	b := f.byte()
	if b == 255 {
		var raw [8]byte
		for i := range raw {
			raw[i] = f.byte()
		}
		return binary.LittleEndian.Uint64(raw[:])
	}
	n := edges[int(b)%len(edges)]
	switch int(b) / len(edges) % 4 {
	case 1:
		n--
	case 2:
		n++
	case 3:
		n += uint64(f.byte())
	}
	return n
}

// oddNames are names of which most can be given; they are few, so that they meet.
var oddNames = [...]string{
	"a", "b", "c", "d", "e", "a", "b", "c", "\xff\xfe\n", " ", "..a", strings.Repeat("n", 255),
	"", ".", "..", "a/b", "/", "a\x00b", "\x00", strings.Repeat("n", 256), strings.Repeat("long/", 1000),
}

func (f *feed) name() string { return oddNames[int(f.byte())%len(oddNames)] }

// data is up to 200 KiB of bytes; 1 MiB at most if it does not fit a page.
func (f *feed) data() []byte {
	b := f.byte()
	size := [...]int{0, 1, 100, 4095, 4096, 4097, 10_000, 65_536, 200_000, 1 << 20}[b%10]
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i>>8) ^ byte(i) + b
	}
	return p
}
