package powercuts

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hammockfs/hammock/fs/volume"
	"github.com/hammockfs/hammock/integration/crashdisk"
)

// life is one life of a house, with the log of what it acknowledged.
type life struct {
	t    *testing.T
	seed uint64
	h    *house
	r    *running
	rng  *rand.Rand

	mu     sync.Mutex // guards all below; held while a copy of the disk is taken
	disk   *crashdisk.Disk
	disks  int
	images []*image // after each commit; the last may be of one under way
	done   int      // index of the newest that was acknowledged at all
	synced int      // of the newest that was acknowledged as synced
	safe   int      // of the newest that was acknowledged to be on peers; -1: none
	thin   bool     // a peer has lost what it had, and was not given all of it again
	guest  guest
	log    []string
	cuts   *cutter // nil: none yet, or no more

	pending map[int][]byte // written and not committed
	open    map[int]*volume.File
	inos    map[int]uint64
	ids     int
	large   bool // such a file has been written: one is enough
}

func newLife(t *testing.T, seed uint64) *life {
	h, err := newHouse()
	must(t, err)
	l := &life{t: t, seed: seed, h: h, rng: rand.New(rand.NewPCG(seed, 7)), images: []*image{newImage()}, safe: -1,
		pending: map[int][]byte{}, open: map[int]*volume.File{}, inos: map[int]uint64{}}
	must(t, l.guest.begin())
	l.disk = crashdisk.New(l.watched())
	l.r, err = h.open(l.disk, nil)
	must(t, err)
	return l
}

// note adds to the log of operations.
func (l *life) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log = append(l.log, fmt.Sprintf(format, args...))
}

// commit does an operation after which the volume is changed, and notes that it
// is acknowledged.
func (l *life) commit(do func() error, change func(*image), format string, args ...any) {
	l.t.Helper()
	l.mu.Lock()
	s := l.now().clone()
	change(s)
	l.images = append(l.images, s)
	l.log = append(l.log, fmt.Sprintf(format, args...))
	l.mu.Unlock()
	if err := do(); err != nil {
		l.t.Fatalf("seed %d: "+format+": %v", append(append([]any{l.seed}, args...), err)...)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = len(l.images) - 1
}

func (l *life) now() *image { return l.images[len(l.images)-1] }

// acknowledged notes that everything until now has been synced, or is on peers.
func (l *life) acknowledged(onPeers bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.synced = len(l.images) - 1
	if onPeers {
		l.safe = l.synced
	}
	l.log = append(l.log, "acknowledged")
}

// pick draws a path of the wanted type; "" if there is none.
func (l *life) pick(mode uint32) string {
	var list []string
	for _, path := range slices.Sorted(maps.Keys(l.now().names)) {
		if l.now().names[path].mode&modeType == mode {
			list = append(list, path)
		}
	}
	if len(list) == 0 {
		return ""
	}
	return list[l.rng.IntN(len(list))]
}

// fresh makes a path that does not exist yet, in a directory that does.
func (l *life) fresh() (dir uint64, name, path string) {
	parent := ""
	if l.rng.IntN(2) == 0 {
		parent = l.pick(modeDir)
	}
	l.ids++
	name = fmt.Sprintf("n%d", l.ids)
	return l.ino(parent), name, parent + "/" + name
}

// ino is the inode of a path of the volume under test.
func (l *life) ino(path string) uint64 {
	at := volume.Root
	for name := range strings.FieldsFuncSeq(path, func(c rune) bool { return c == '/' }) {
		a, err := l.r.volume.Lookup(ctx, at, name)
		must(l.t, err)
		at = a.Ino
	}
	return at
}

// place is the directory and the name of a path.
func (l *life) place(path string) (uint64, string) {
	i := strings.LastIndexByte(path, '/')
	return l.ino(path[:i]), path[i+1:]
}

// file draws an open file; it opens one if none is.
func (l *life) file() int {
	if len(l.open) == 0 {
		path := l.pick(modeReg)
		if path == "" {
			l.create()
		} else {
			f, err := l.r.volume.Open(ctx, l.ino(path), false)
			must(l.t, err)
			id := l.now().names[path].id
			l.open[id], l.inos[id], l.pending[id] = f, f.Ino(), l.now().files[id]
		}
	}
	list := slices.Sorted(maps.Keys(l.open))
	return list[l.rng.IntN(len(list))]
}

// step draws an operation and does it.
func (l *life) step() {
	ops := []func(){
		l.create, l.create, l.write, l.write, l.write, l.write, l.write, l.fsync, l.close, l.close, l.truncate,
		l.space, l.copyRange, l.copyRange, l.mkdir, l.symlink, l.link, l.rename, l.rename, l.exchange, l.unlink, l.xattr,
		l.readBack, l.readBack, l.checkpoint, l.sync, l.evict, l.guestPut, l.guestPut, l.guestPut, l.guestDelete, l.guestHead, l.tidy,
	}
	switch n := l.rng.IntN(len(ops) + 2); {
	case n < len(ops):
		ops[n]()
	case n == len(ops):
		l.restart()
	case !l.large && l.seed%4 == 0:
		l.large = true
		l.writeLarge()
	}
}

// closeAll commits and closes all open files.
func (l *life) closeAll() {
	for _, id := range slices.Sorted(maps.Keys(l.open)) {
		l.flush(id)
		must(l.t, l.open[id].Release(ctx))
		delete(l.open, id)
	}
}

// end closes everything.
func (l *life) end() {
	l.closeAll()
	must(l.t, l.r.close())
}
