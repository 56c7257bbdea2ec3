package powercuts

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/volume"
)

// random returns n bytes, none of them a hole's zero.
func random(rng *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(1 + rng.Uint32()%255)
	}
	return p
}

func (l *life) create() {
	dir, name, path := l.fresh()
	id := l.ids
	l.commit(func() error {
		a, f, err := l.r.volume.Create(ctx, volume.Caller{}, dir, name, 0o640)
		l.open[id], l.inos[id], l.pending[id] = f, a.Ino, nil
		return err
	}, func(s *image) { s.names[path] = node{id: id, mode: modeReg | 0o640}; s.files[id] = nil }, "create %s", path)
}

func (l *life) writeAt(id int, p []byte, off int64) {
	if n, err := l.open[id].Write(ctx, p, off); err != nil || n != len(p) {
		l.t.Fatalf("seed %d: write %d bytes at %d: %d, %v", l.seed, len(p), off, n, err)
	}
}

func (l *life) write() {
	id := l.file()
	sizes := []int{1, 100, 4096, 5000, 20_000, 70_000, 150_000}
	n := sizes[l.rng.IntN(len(sizes))]
	off := l.rng.IntN(200_000)
	if l.rng.IntN(2) == 0 {
		off = len(l.pending[id])
	}
	if off > 300_000 {
		off = 0
	}
	p := random(l.rng, n)
	l.note("write %d bytes at %d of file %d", n, off, id)
	l.writeAt(id, p, int64(off))
	q := make([]byte, max(len(l.pending[id]), off+n))
	copy(q, l.pending[id])
	copy(q[off:], p)
	l.pending[id] = q
}

// writeLarge writes so much that it is sealed on the way.
func (l *life) writeLarge() {
	id := l.file()
	l.note("write 5 MiB at 0 of file %d", id)
	p := random(l.rng, 5<<20)
	for at := 0; at < len(p); at += 512 << 10 {
		l.writeAt(id, p[at:at+512<<10], int64(at))
	}
	l.pending[id] = append(p, l.pending[id][min(len(p), len(l.pending[id])):]...)
}

// readBack compares an open file with what was written, committed or not.
func (l *life) readBack() {
	id := l.file()
	l.note("read file %d", id)
	got := make([]byte, len(l.pending[id])+1)
	n, err := l.open[id].Read(ctx, got, 0)
	if err == nil {
		err = same(got[:n], l.pending[id])
	}
	if err != nil {
		l.t.Fatalf("seed %d: file %d: %v\nafter:\n%s", l.seed, id, err, strings.Join(l.log, "\n"))
	}
}

// flush commits an open file's bytes, which is what close does.
func (l *life) flush(id int) {
	data := l.pending[id]
	l.commit(func() error { return l.open[id].Flush(ctx) },
		func(s *image) { s.files[id] = data }, "flush file %d: %d bytes", id, len(data))
}

func (l *life) fsync() {
	id := l.file()
	data := l.pending[id]
	l.commit(func() error { return l.open[id].Fsync(ctx) },
		func(s *image) { s.files[id] = data }, "fsync file %d: %d bytes", id, len(data))
	l.acknowledged(false)
}

func (l *life) close() {
	id := l.file()
	l.flush(id)
	must(l.t, l.open[id].Release(ctx))
	delete(l.open, id)
}

func (l *life) truncate() {
	id := l.file()
	l.flush(id)
	n := uint64(l.rng.IntN(250_000))
	q := make([]byte, n)
	copy(q, l.pending[id])
	l.commit(func() error {
		_, err := l.r.volume.SetAttr(ctx, l.inos[id], volume.SetAttr{Size: &n})
		return err
	}, func(s *image) { s.files[id] = q }, "truncate file %d to %d", id, n)
	l.pending[id] = q
}

// space punches a hole, or zeroes, in what is written or committed.
func (l *life) space() {
	id := l.file()
	off, n := l.rng.IntN(250_000), 1+l.rng.IntN(100_000)
	if l.rng.IntN(2) == 0 {
		off, n = pageStart(off), pageStart(n)+meta.Page
	}
	punch := l.rng.IntN(2) == 0
	if !punch {
		l.flush(id) // a larger size may be recorded with any other change
	}
	q := slices.Clone(l.pending[id])
	clear(q[min(off, len(q)):min(off+n, len(q))])
	if punch {
		l.note("punch %d bytes at %d of file %d", n, off, id)
		must(l.t, l.open[id].Allocate(ctx, int64(off), int64(n), volume.AllocPunchHole|volume.AllocKeepSize))
		l.pending[id] = q
		return
	}
	q = append(q, make([]byte, max(0, off+n-len(q)))...)
	l.commit(func() error {
		if err := l.open[id].Allocate(ctx, int64(off), int64(n), volume.AllocZeroRange); err != nil {
			return err
		}
		return l.open[id].Flush(ctx)
	}, func(s *image) { s.files[id] = q }, "zero %d bytes at %d of file %d", n, off, id)
	l.pending[id] = q
}

func pageStart(n int) int { return n / meta.Page * meta.Page }

// copyRange shares a range of one file with another, or within one.
func (l *life) copyRange() {
	src, dst := l.file(), l.file()
	l.flush(src)
	l.flush(dst)
	off, to, n := l.rng.IntN(1+len(l.pending[src])), l.rng.IntN(200_000), 1+l.rng.IntN(150_000)
	if l.rng.IntN(2) == 0 {
		off, to = pageStart(off), pageStart(to)
	}
	n = min(n, len(l.pending[src])-off)
	if src == dst && off < to+n && to < off+n {
		return
	}
	q := slices.Clone(l.pending[dst])
	if n > 0 {
		q = append(q, make([]byte, max(0, to+n-len(q)))...)
		copy(q[to:], l.pending[src][off:off+n])
	}
	l.commit(func() error {
		got, err := l.open[src].CopyRange(ctx, int64(off), l.open[dst], int64(to), int64(n))
		if err == nil && got != int64(n) {
			err = io.ErrShortWrite
		}
		return err
	}, func(s *image) { s.files[dst] = q }, "copy %d bytes at %d of file %d to %d of file %d", n, off, src, to, dst)
	l.pending[dst] = q
}

func (l *life) mkdir() {
	dir, name, path := l.fresh()
	id := l.ids
	l.commit(func() error {
		_, err := l.r.volume.Mkdir(ctx, volume.Caller{}, dir, name, 0o750)
		return err
	}, func(s *image) { s.names[path] = node{id: id, mode: modeDir | 0o750} }, "mkdir %s", path)
}

func (l *life) symlink() {
	dir, name, path := l.fresh()
	id := l.ids
	l.commit(func() error {
		_, err := l.r.volume.Symlink(ctx, volume.Caller{}, dir, name, name)
		return err
	}, func(s *image) { s.names[path] = node{id: id, mode: modeLink | 0o777, target: name} }, "symlink %s", path)
}

func (l *life) link() {
	old := l.pick(modeReg)
	if old == "" {
		return
	}
	dir, name, path := l.fresh()
	l.commit(func() error {
		_, err := l.r.volume.Link(ctx, l.ino(old), dir, name)
		return err
	}, func(s *image) { s.names[path] = s.names[old] }, "link %s to %s", old, path)
}

// rename moves a file, sometimes over another one, or a directory.
func (l *life) rename() {
	old := l.pick(modeReg)
	if l.rng.IntN(4) == 0 {
		old = l.pick(modeDir)
	}
	if old == "" {
		return
	}
	dir, name, path := l.fresh()
	if strings.HasPrefix(path, old+"/") {
		return
	}
	over := l.pick(modeReg)
	if n := l.now().names[old]; n.mode&modeType == modeReg && l.rng.IntN(2) == 0 && l.now().names[over].id != n.id {
		path = over
		dir, name = l.place(over)
	}
	odir, oname := l.place(old)
	l.commit(func() error { return l.r.volume.Rename(ctx, odir, oname, dir, name, 0) },
		func(s *image) { s.move(old, path) }, "rename %s to %s", old, path)
}

// exchange swaps two files.
func (l *life) exchange() {
	a, b := l.pick(modeReg), l.pick(modeReg)
	if a == "" || l.now().names[a].id == l.now().names[b].id {
		return
	}
	adir, aname := l.place(a)
	bdir, bname := l.place(b)
	l.commit(func() error { return l.r.volume.Rename(ctx, adir, aname, bdir, bname, volume.RenameExchange) },
		func(s *image) { s.names[a], s.names[b] = s.names[b], s.names[a] }, "exchange %s and %s", a, b)
}

func (l *life) unlink() {
	path := l.pick(modeReg)
	if path == "" {
		return
	}
	dir, name := l.place(path)
	l.commit(func() error { return l.r.volume.Unlink(ctx, dir, name) },
		func(s *image) { delete(s.names, path) }, "unlink %s", path)
}

func (l *life) xattr() {
	path := l.pick(modeReg)
	if path == "" {
		return
	}
	value := fmt.Sprint(l.rng.IntN(1000))
	id := l.now().names[path].id
	ino := l.ino(path)
	l.commit(func() error { return l.r.volume.SetXattr(ctx, ino, "user.x", []byte(value), 0) }, func(s *image) {
		for p, n := range maps.Clone(s.names) {
			if n.id == id {
				n.xattr = value
				s.names[p] = n
			}
		}
	}, "xattr of %s: %s", path, value)
}
