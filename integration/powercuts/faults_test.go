package powercuts

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/cache"
	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/volume"
	"github.com/hammockfs/hammock/integration/crashdisk"
	"github.com/hammockfs/hammock/placement/depot"
)

// way is how a disk fails.
type way struct {
	once   bool // one operation fails, and no other
	reads  bool // it is one that reads; else one that changes something
	err    error
	within string // the folder, with a slash; "": any
}

// fault is a disk that fails at some operation.
type fault struct {
	way
	at int // the operation that fails first; 0: none

	mu   sync.Mutex
	ops  int
	hits int
	off  bool
	op   crashdisk.Op // that failed last
}

func (f *fault) watch(op crashdisk.Op) error {
	if op.Kind.Changes() == f.reads || !strings.Contains(op.Path, f.within) || f.full() && !grows(op.Kind) {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ops++
	if f.at == 0 || f.off || f.ops < f.at || f.once && f.ops > f.at {
		return nil
	}
	f.hits++
	f.op = op
	return f.err
}

// full says whether the disk is full, and well otherwise.
func (f *fault) full() bool { return errors.Is(f.err, syscall.ENOSPC) }

// grows says whether an operation needs room.
func grows(k crashdisk.Kind) bool {
	return k == crashdisk.Create || k == crashdisk.Write || k == crashdisk.MakeDir || k == crashdisk.Allocate
}

func (f *fault) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off = true
}

func (f *fault) hit() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits > 0
}

func (f *fault) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprintf("%v at operation %d in %q (reads %v), once %v; %d failed, the last of them: %s %s",
		f.err, f.at, f.within, f.reads, f.once, f.hits, f.op.Kind, f.op.Path)
}

// trial is a life on a disk that fails.
type trial struct {
	h    *house
	r    *running
	disk *crashdisk.Disk
	f    *fault
	rng  *rand.Rand
	book book
	log  []string
	errs int
	err  error // the first one that does not say why
}

// saw takes the outcome of a call: an error must say what the disk said.
func (l *trial) saw(what string, err error) error {
	l.log = append(l.log, fmt.Sprint(what, ": ", err))
	if err == nil {
		return nil
	}
	l.errs++
	full := l.f.full() && (errors.Is(err, cache.ErrFull) || errors.Is(err, depot.ErrDiskFull))
	why := l.f.err
	if short := new(crashdisk.Short); errors.As(why, &short) {
		why = short.Err
	}
	if l.err == nil && (!l.f.hit() || !errors.Is(err, why) && !full && !errors.Is(err, depot.ErrClosed)) {
		l.err = fmt.Errorf("%s: an error that does not say why: %w", what, err)
	}
	return err
}

func (l *trial) put() {
	path := fmt.Sprint("n", len(l.book.files))
	e := &entry{cut: state{gone: true}}
	l.book.files = append(l.book.files, e)
	_, f, err := l.r.volume.Create(ctx, volume.Caller{}, volume.Root, path, 0o600)
	l.saw("create "+path, err)
	e.now = state{paths: []string{path}, gone: err != nil, versions: [][]byte{nil}}
	e.cut = state{paths: []string{path}, gone: true, versions: [][]byte{nil}}
	if err == nil {
		l.fill(f, e, random(l.rng, []int{50, 5000, 70_000, 200_000}[l.rng.IntN(4)]))
	}
}

// fill writes a file whole, and closes it.
func (l *trial) fill(f *volume.File, e *entry, p []byte) {
	_, err := f.Write(ctx, p, 0)
	if l.saw("write", err) == nil {
		if l.rng.IntN(3) > 0 {
			err = l.saw("flush", f.Flush(ctx))
		} else if err = l.saw("fsync", f.Fsync(ctx)); err == nil {
			e.wrote(p, nil)
			l.book.synced()
		}
	}
	e.wrote(p, err)
	if err := l.saw("release", f.Release(ctx)); err != nil {
		e.now.loose, e.cut.loose = true, true
	}
}

// pick draws a file that is known to be there.
func (l *trial) pick() *entry {
	var list []*entry
	for _, e := range l.book.files {
		if e.now.settled() {
			list = append(list, e)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[l.rng.IntN(len(list))]
}

func (l *trial) overwrite() {
	e := l.pick()
	if e == nil {
		return
	}
	a, err := l.r.volume.Lookup(ctx, volume.Root, e.now.paths[0])
	if l.saw("lookup", err) != nil {
		return
	}
	f, err := l.r.volume.Open(ctx, a.Ino, false)
	if l.saw("open", err) == nil {
		l.fill(f, e, random(l.rng, len(e.now.versions[0])+l.rng.IntN(9000)))
	}
}

func (l *trial) rename() {
	if e := l.pick(); e != nil {
		from, to := e.now.paths[0], fmt.Sprint("moved", len(l.log))
		e.moved(to, l.saw("rename", l.r.volume.Rename(ctx, volume.Root, from, volume.Root, to, 0)))
	}
}

func (l *trial) unlink() {
	if e := l.pick(); e != nil && l.rng.IntN(2) == 0 {
		e.removed(l.saw("unlink", l.r.volume.Unlink(ctx, volume.Root, e.now.paths[0])))
	}
}

func (l *trial) checkpoint() {
	_, _, err := l.r.db.Checkpoint(ctx, meta.CheckpointOptions{Fold: l.rng.IntN(2) == 0})
	if l.saw("checkpoint", err) == nil {
		l.book.synced()
	}
}

// sync may fail for any reason: peers have failed, too.
func (l *trial) sync() {
	err := l.r.syncWithin(300*time.Millisecond, false)
	l.log = append(l.log, fmt.Sprint("sync: ", err))
	if err == nil {
		l.book.synced()
	}
}

func (l *trial) evict() {
	_, err := l.r.cache.Drop(ctx)
	l.saw("evict", err)
	l.r.cache.Tick(ctx)
}

// stranger puts and deletes at a peer.
func (l *trial) stranger() {
	d := l.r.depots[l.rng.IntN(peers)]
	data := random(l.rng, 1000+l.rng.IntN(50_000))
	owner, id := crypt.OwnerKey{1}, crypt.Sum(data)
	err := give(ctx, d, depot.Put{Owner: owner, Shard: id, Stripe: 1, Generation: 1, Size: int64(len(data))}, data)
	if l.saw("a stranger's put", err) == nil && l.rng.IntN(2) == 0 {
		l.saw("a stranger's delete", d.Delete(ctx, owner, id, 1, 1))
	}
}

func (l *trial) steps(n int) {
	ops := []func(){l.put, l.put, l.put, l.overwrite, l.overwrite, l.rename, l.unlink, l.checkpoint, l.sync, l.evict, l.stranger, l.stranger}
	for range n {
		ops[l.rng.IntN(len(ops))]()
	}
}

// run lives the life. The returned error says what was wrong.
func (l *trial) run() error {
	r, err := l.h.open(l.disk, nil)
	l.saw("open", err)
	if err == nil {
		l.r = r
		l.steps(30)
		if l.err == nil && !l.f.reads {
			if err := l.book.check(r, false); err != nil {
				return fmt.Errorf("while the disk fails: %w", err)
			}
		}
		l.f.end()
		l.goesOn()
		if err := l.book.check(r, false); err != nil {
			return fmt.Errorf("after the fault: %w", err)
		}
		_ = l.saw("close", r.close())
	}
	l.f.end()
	if l.err != nil {
		return l.err
	}
	if err := l.reopen(l.disk.Kill(nil), false); err != nil {
		return fmt.Errorf("after a restart: %w", err)
	}
	if err := l.reopen(l.disk.Cut(crashdisk.Loss{Rand: l.rng, Kept: l.rng.IntN(101)}, nil), true); err != nil {
		return fmt.Errorf("after a power cut: %w", err)
	}
	return nil
}

// goesOn uses the volume once the disk is well. After an error of the disk a
// restart may be needed; after a full one it is not.
func (l *trial) goesOn() {
	e := &entry{}
	_, f, err := l.r.volume.Create(ctx, volume.Caller{}, volume.Root, "after the fault", 0o600)
	if err == nil {
		_, err = f.Write(ctx, []byte("it goes on"), 0)
		err = errors.Join(err, f.Fsync(ctx), f.Release(ctx))
	}
	if l.saw("after the fault", err) != nil {
		e.now = state{paths: []string{"after the fault"}, gone: true, versions: [][]byte{[]byte("it goes on")}, loose: true}
		e.cut = e.now.clone()
	} else {
		e.now = state{paths: []string{"after the fault"}, versions: [][]byte{[]byte("it goes on")}}
		l.book.synced()
		e.cut = e.now.clone()
	}
	l.book.files = append(l.book.files, e)
}

// reopen opens the house on a disk that is well, and compares.
func (l *trial) reopen(disk *crashdisk.Disk, cut bool) error {
	r, err := l.h.open(disk, nil)
	if err != nil {
		return err
	}
	err = l.book.check(r, cut)
	if err == nil {
		err = r.fsck()
	}
	if err == nil {
		err = r.alive(!cut)
	}
	return errors.Join(err, r.close())
}

// ways are those that are tried in turn.
var ways = []way{
	{err: syscall.EIO, once: true},
	{err: syscall.EIO},
	{err: syscall.ENOSPC, once: true},
	{err: syscall.ENOSPC, within: "node/"},
	{err: &crashdisk.Short{N: 100, Err: syscall.ENOSPC}, once: true},
	{err: &crashdisk.Short{N: 5, Err: syscall.EIO}, once: true},
	{err: syscall.EIO, once: true, reads: true},
	{err: syscall.EIO, once: true, within: "/overlay/"},
	{err: syscall.EIO, once: true, within: "/index/"},
	{err: syscall.EIO, once: true, within: "/journal/"},
}

// TestFaults lets the disk fail at operations of short lives. HAMMOCK_FAULTS says
// how many lives, HAMMOCK_SEED is that of the first.
func TestFaults(t *testing.T) {
	want := int(number(t, "HAMMOCK_FAULTS", 20))
	seed := number(t, "HAMMOCK_SEED", uint64(time.Now().UnixNano())%1_000_000)
	t.Logf("HAMMOCK_SEED=%d", seed)
	counts := map[string]int{}
	hits := 0
	for i := range want {
		s := seed + uint64(i)
		f := &fault{way: ways[s%uint64(len(ways))]}
		if oneFault(t, s, f) {
			hits++
			counts[component(f.op.Path)]++
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d lives, in %s of them the disk failed", want, table(counts))
}

// oneFault measures how many operations a life has, and lives it again with one
// of them failing. It says whether one did.
func oneFault(t *testing.T, seed uint64, f *fault) bool {
	h, err := newHouse()
	must(t, err)
	whole := fault{way: f.way}
	live := func(f *fault) error {
		l := &trial{h: h, f: f, disk: crashdisk.New(f.watch), rng: rand.New(rand.NewPCG(seed, 11))}
		late := time.AfterFunc(2*patience, func() {
			debug.SetTraceback("all")
			panic(fmt.Sprintf("a life hangs: seed %d, %v, after:\n%s", seed, f, strings.Join(l.log, "\n")))
		})
		defer late.Stop()
		if err := l.run(); err != nil {
			return fmt.Errorf("%w\nafter:\n%s", err, strings.Join(l.log, "\n"))
		}
		return nil
	}
	if err := live(&whole); err != nil {
		t.Errorf("seed %d, without a fault: %v", seed, err)
		return false
	}
	f.at = 1 + rand.New(rand.NewPCG(seed, 12)).IntN(whole.ops)
	if err := live(f); err != nil {
		t.Errorf("seed %d, %v: %v", seed, f, err)
	}
	return f.hits > 0
}
