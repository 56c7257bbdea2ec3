package volume

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/hammockfs/hammock/fs/meta"
)

// Power cuts. A run of operations is recorded on a memory file system that
// knows what was synced. At each sync, just before it takes place, the power is
// cut in a copy: whatever was not synced is lost block by block by lot. The copy
// is opened, and must show a state that the run went through, not older than
// what was last acknowledged as synced.

// node is what a name stands for, as the journal has it.
type node struct {
	id     int // which file, so that hard links are known
	mode   uint32
	target string
	xattr  string
}

// image is the volume after one commit. It is never changed.
type image struct {
	names map[string]node
	files map[int][]byte // the committed contents
}

func (s *image) clone() *image { return &image{maps.Clone(s.names), maps.Clone(s.files)} }

// tree writes the names down such that two equal trees are equal strings.
func (s *image) tree() string {
	first, count := map[int]string{}, map[int]int{}
	for _, path := range slices.Sorted(maps.Keys(s.names)) {
		n := s.names[path]
		if count[n.id]++; count[n.id] == 1 {
			first[n.id] = path
		}
	}
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(s.names)) {
		n := s.names[path]
		fmt.Fprintf(&b, "%s %o %q %q = %s %d\n", path, n.mode, n.target, n.xattr, first[n.id], count[n.id])
	}
	return b.String()
}

// recording is one run with the power cuts in it.
type powerRun struct {
	t    *testing.T
	w    *world
	mem  *vfs.MemFS
	rng  *rand.Rand
	seed uint64

	mu     sync.Mutex
	images []*image // after each commit; the last may be of one under way
	synced int      // index of the newest that was acknowledged as synced
	points int
	work   chan powerCut

	pending map[int][]byte // written and not committed
	open    map[int]*File
	inos    map[int]uint64
	ids     int
	log     []string

	largeOnce bool // such a file has been written: one is enough
}

// powerCut is a copy of the disk at one sync point, and what it may show.
type powerCut struct {
	fs     *vfs.MemFS
	images []*image
	point  int
	kept   int
	path   string
	log    []string
	again  bool // cut once more right after the restart
}

// MaybeError implements errorfs.Injector; it cuts and never fails.
func (r *powerRun) MaybeError(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
	default:
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.work == nil {
		return nil
	}
	r.points++
	rng := rand.New(rand.NewPCG(r.seed, uint64(r.points)))
	for i, kept := range []int{0, 20 + rng.IntN(70)} {
		fs := r.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: rng})
		r.work <- powerCut{fs, slices.Clone(r.images[r.synced:]), r.points, kept, op.Path, slices.Clone(r.log), i == 1 && r.points%4 == 0}
	}
	return nil
}

// note adds to the log of operations.
func (r *powerRun) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, fmt.Sprintf(format, args...))
}

// String implements errorfs.Injector.
func (r *powerRun) String() string { return "power cuts" }

// next tells what the volume will be after the operation that begins now.
func (r *powerRun) next(change func(*image), format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.images[len(r.images)-1].clone()
	change(s)
	r.images = append(r.images, s)
	r.log = append(r.log, fmt.Sprintf(format, args...))
}

func (r *powerRun) now() *image { return r.images[len(r.images)-1] }

// acknowledged notes that everything until now has been synced.
func (r *powerRun) acknowledged() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.synced = len(r.images) - 1
	r.log = append(r.log, "acknowledged")
}

// pick draws a path of the wanted type; "" if there is none.
func (r *powerRun) pick(mode uint32) string {
	var list []string
	for _, path := range slices.Sorted(maps.Keys(r.now().names)) {
		if r.now().names[path].mode&modeType == mode {
			list = append(list, path)
		}
	}
	if len(list) == 0 {
		return ""
	}
	return list[r.rng.IntN(len(list))]
}

// fresh makes a path that does not exist yet, in a directory that does.
func (r *powerRun) fresh() (dir uint64, name, path string) {
	parent := ""
	if r.rng.IntN(2) == 0 {
		parent = r.pick(modeDir)
	}
	r.ids++
	name = fmt.Sprintf("n%d", r.ids)
	return r.ino(parent), name, parent + "/" + name
}

// ino is the inode of a path of the volume under test.
func (r *powerRun) ino(path string) uint64 {
	at := Root
	for name := range strings.FieldsFuncSeq(path, func(c rune) bool { return c == '/' }) {
		a, err := r.w.v.Lookup(ctx, at, name)
		must(r.t, err)
		at = a.Ino
	}
	return at
}

// place is the directory and the name of a path.
func (r *powerRun) place(path string) (uint64, string) {
	i := strings.LastIndexByte(path, '/')
	return r.ino(path[:i]), path[i+1:]
}

func (r *powerRun) create() {
	dir, name, path := r.fresh()
	id := r.ids
	r.next(func(s *image) { s.names[path] = node{id: id, mode: modeReg | 0o640}; s.files[id] = nil }, "create %s", path)
	a, f, err := r.w.v.Create(ctx, Caller{}, dir, name, 0o640)
	must(r.t, err)
	r.open[id], r.inos[id], r.pending[id] = f, a.Ino, nil
}

// file draws an open file; it opens one if none is.
func (r *powerRun) file() int {
	if len(r.open) == 0 {
		path := r.pick(modeReg)
		if path == "" {
			r.create()
		} else {
			f, err := r.w.v.Open(ctx, r.ino(path), false)
			must(r.t, err)
			id := r.now().names[path].id
			r.open[id], r.inos[id], r.pending[id] = f, f.Ino(), r.now().files[id]
		}
	}
	list := slices.Sorted(maps.Keys(r.open))
	return list[r.rng.IntN(len(list))]
}

func (r *powerRun) write() {
	id := r.file()
	sizes := []int{1, 100, 4096, 5000, 20_000, 70_000, 150_000}
	n := sizes[r.rng.IntN(len(sizes))]
	off := r.rng.IntN(200_000)
	if r.rng.IntN(2) == 0 {
		off = len(r.pending[id])
	}
	if off > 300_000 {
		off = 0
	}
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(1 + r.rng.IntN(255)) // never a hole's zero
	}
	r.note("write %d bytes at %d of file %d", n, off, id)
	write(r.t, r.open[id], p, int64(off))
	q := make([]byte, max(len(r.pending[id]), off+n))
	copy(q, r.pending[id])
	copy(q[off:], p)
	r.pending[id] = q
}

// large writes so much that it is sealed on the way.
func (r *powerRun) large() {
	id := r.file()
	r.note("write 5 MiB at 0 of file %d", id)
	p := random(r.rng.Uint64(), 5<<20)
	for at := 0; at < len(p); at += 512 << 10 {
		write(r.t, r.open[id], p[at:at+512<<10], int64(at))
	}
	r.pending[id] = append(p, r.pending[id][min(len(p), len(r.pending[id])):]...)
}

// flush commits an open file's bytes.
func (r *powerRun) flush(id int) {
	data := r.pending[id]
	r.next(func(s *image) { s.files[id] = data }, "flush file %d: %d bytes", id, len(data))
	must(r.t, r.open[id].Flush(ctx))
}

func (r *powerRun) fsync() {
	id := r.file()
	data := r.pending[id]
	r.next(func(s *image) { s.files[id] = data }, "fsync file %d: %d bytes", id, len(data))
	must(r.t, r.open[id].Fsync(ctx))
	r.acknowledged()
}

func (r *powerRun) close() {
	id := r.file()
	r.flush(id)
	must(r.t, r.open[id].Release(ctx))
	delete(r.open, id)
}

func (r *powerRun) truncate() {
	id := r.file()
	r.flush(id)
	size := r.rng.IntN(250_000)
	q := make([]byte, size)
	copy(q, r.pending[id])
	r.next(func(s *image) { s.files[id] = q }, "truncate file %d to %d", id, size)
	n := uint64(size)
	_, err := r.w.v.SetAttr(ctx, r.inos[id], SetAttr{Size: &n})
	must(r.t, err)
	r.pending[id] = q
}

// space punches a hole, or zeroes, in what is written or committed.
func (r *powerRun) space() {
	id := r.file()
	off, n := r.rng.IntN(250_000), 1+r.rng.IntN(100_000)
	if r.rng.IntN(2) == 0 {
		off, n = pageStart(off), pageStart(n)+meta.Page
	}
	mode := AllocPunchHole | AllocKeepSize
	if r.rng.IntN(2) == 0 {
		mode = AllocZeroRange
		r.flush(id) // a larger size may be recorded with any other change
	}
	q := slices.Clone(r.pending[id])
	clear(q[min(off, len(q)):min(off+n, len(q))])
	if mode == AllocZeroRange && off+n > len(q) {
		q = append(q, make([]byte, off+n-len(q))...)
	}
	if mode == AllocZeroRange {
		r.next(func(s *image) { s.files[id] = q }, "zero %d bytes at %d of file %d", n, off, id)
	} else {
		r.note("punch %d bytes at %d of file %d", n, off, id)
	}
	must(r.t, r.open[id].Allocate(ctx, int64(off), int64(n), mode))
	if r.pending[id] = q; mode == AllocZeroRange {
		must(r.t, r.open[id].Flush(ctx))
	}
}

func pageStart(n int) int { return n / meta.Page * meta.Page }

// copyRange shares a range of one file with another, or within one.
func (r *powerRun) copyRange() {
	src, dst := r.file(), r.file()
	r.flush(src)
	r.flush(dst)
	off, to, n := r.rng.IntN(1+len(r.pending[src])), r.rng.IntN(200_000), 1+r.rng.IntN(150_000)
	if r.rng.IntN(2) == 0 {
		off, to = pageStart(off), pageStart(to)
	}
	n = min(n, len(r.pending[src])-off)
	if src == dst && off < to+n && to < off+n {
		return
	}
	q := slices.Clone(r.pending[dst])
	if n > 0 {
		q = append(q, make([]byte, max(0, to+n-len(q)))...)
		copy(q[to:], r.pending[src][off:off+n])
	}
	r.next(func(s *image) { s.files[dst] = q }, "copy %d bytes at %d of file %d to %d of file %d", n, off, src, to, dst)
	got, err := r.open[src].CopyRange(ctx, int64(off), r.open[dst], int64(to), int64(n))
	if err != nil || got != int64(n) {
		r.t.Fatalf("copied %d of %d bytes, %v", got, n, err)
	}
	r.pending[dst] = q
}

func (r *powerRun) mkdir() {
	dir, name, path := r.fresh()
	id := r.ids
	r.next(func(s *image) { s.names[path] = node{id: id, mode: modeDir | 0o750} }, "mkdir %s", path)
	_, err := r.w.v.Mkdir(ctx, Caller{}, dir, name, 0o750)
	must(r.t, err)
}

func (r *powerRun) symlink() {
	dir, name, path := r.fresh()
	id := r.ids
	r.next(func(s *image) { s.names[path] = node{id: id, mode: modeLink | 0o777, target: name} }, "symlink %s", path)
	_, err := r.w.v.Symlink(ctx, Caller{}, dir, name, name)
	must(r.t, err)
}

func (r *powerRun) link() {
	old := r.pick(modeReg)
	if old == "" {
		return
	}
	dir, name, path := r.fresh()
	r.next(func(s *image) { s.names[path] = s.names[old] }, "link %s to %s", old, path)
	_, err := r.w.v.Link(ctx, r.ino(old), dir, name)
	must(r.t, err)
}

// rename moves a file, sometimes over another one.
func (r *powerRun) rename() {
	old := r.pick(modeReg)
	if old == "" {
		return
	}
	dir, name, path := r.fresh()
	if over := r.pick(modeReg); r.rng.IntN(2) == 0 && r.now().names[over].id != r.now().names[old].id {
		path = over
		dir, name = r.place(over)
	}
	r.next(func(s *image) { s.names[path] = s.names[old]; delete(s.names, old) }, "rename %s to %s", old, path)
	odir, oname := r.place(old)
	must(r.t, r.w.v.Rename(ctx, odir, oname, dir, name, 0))
}

func (r *powerRun) unlink() {
	path := r.pick(modeReg)
	if path == "" {
		return
	}
	r.next(func(s *image) { delete(s.names, path) }, "unlink %s", path)
	dir, name := r.place(path)
	must(r.t, r.w.v.Unlink(ctx, dir, name))
}

func (r *powerRun) xattr() {
	path := r.pick(modeReg)
	if path == "" {
		return
	}
	value := fmt.Sprint(r.rng.IntN(1000))
	id := r.now().names[path].id
	r.next(func(s *image) {
		for p, n := range s.names {
			if n.id == id {
				n.xattr = value
				s.names[p] = n
			}
		}
	}, "xattr of %s: %s", path, value)
	must(r.t, r.w.v.SetXattr(ctx, r.ino(path), "user.x", []byte(value), 0))
}

func (r *powerRun) checkpoint() {
	for _, id := range slices.Sorted(maps.Keys(r.open)) {
		r.flush(id)
	}
	fold := r.rng.IntN(2) == 0
	r.next(func(*image) {}, "checkpoint, fold %v", fold)
	must(r.t, r.w.v.WriteBack(ctx, 0))
	_, _, err := r.w.db.Checkpoint(ctx, meta.CheckpointOptions{Fold: fold})
	must(r.t, err)
	r.acknowledged()
}

func (r *powerRun) step() {
	ops := []func(){r.create, r.create, r.write, r.write, r.write, r.write, r.fsync, r.close, r.close, r.truncate,
		r.space, r.space, r.copyRange, r.copyRange, r.mkdir, r.symlink, r.link, r.rename, r.rename, r.unlink, r.xattr}
	switch n := r.rng.IntN(len(ops) + 1); {
	case n < len(ops):
		ops[n]()
	case r.rng.IntN(2) == 0:
		r.checkpoint()
	case r.seed == 0 && !r.largeOnce:
		r.largeOnce = true
		r.large()
	}
}

// TestPowerCuts records some runs and cuts the power at every sync of theirs.
func TestPowerCuts(t *testing.T) {
	points := 0
	for seed := range uint64(5) {
		points += powerCuts(t, seed, 60)
	}
	t.Logf("%d sync points", points)
}

func powerCuts(t *testing.T, seed uint64, steps int) int {
	mem := vfs.NewCrashableMem()
	w := newWorld()
	w.log, w.fill = 256<<10, 256<<10
	r := &powerRun{t: t, w: w, mem: mem, rng: rand.New(rand.NewPCG(seed, 7)), seed: seed,
		images: []*image{{names: map[string]node{}, files: map[int][]byte{}}}, pending: map[int][]byte{}, open: map[int]*File{}, inos: map[int]uint64{}}
	w.fs = errorfs.Wrap(mem, r)
	w.open(t)
	var checkers sync.WaitGroup
	work := make(chan powerCut, 8)
	for range 2 {
		checkers.Go(func() {
			for c := range work {
				if err := r.check(&c); err != nil && !t.Failed() {
					t.Errorf("seed %d, power cut before sync %d (of %s), %d %% of the unsynced kept: %v\nafter:\n%s",
						seed, c.point, c.path, c.kept, err, strings.Join(c.log, "\n"))
				}
			}
		})
	}
	must(t, w.v.Sync(ctx))
	r.mu.Lock()
	r.work = work
	r.mu.Unlock()
	for range steps {
		r.step()
	}
	for _, id := range slices.Sorted(maps.Keys(r.open)) {
		r.flush(id)
		must(t, r.open[id].Release(ctx))
	}
	r.mu.Lock()
	r.work = nil
	r.mu.Unlock()
	close(work)
	checkers.Wait()
	w.close(t)
	return r.points
}
