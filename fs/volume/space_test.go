package volume

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hammockfs/hammock/fs/meta"
)

// spaceFile is a file beside what it should hold: its bytes, and which of its
// pages are no holes.
type spaceFile struct {
	f    *File
	want []byte
	data map[int]bool // page number -> no hole
}

// spaceModel is two files that exchange their bytes.
type spaceModel struct {
	w     *world
	files [2]*spaceFile
	seed  uint64
}

const spaceSize = 9 << 20

func (m *spaceModel) pick(t *rapid.T) *spaceFile {
	return m.files[rapid.IntRange(0, 1).Draw(t, "file")]
}

// place draws an offset, often one where something begins or ends.
func (m *spaceModel) place(t *rapid.T, size int, name string) int {
	at := rapid.OneOf(
		rapid.IntRange(0, spaceSize),
		rapid.Just(size),
		rapid.Map(rapid.IntRange(0, spaceSize/meta.Page), func(p int) int { return p * meta.Page }),
		rapid.Map(rapid.IntRange(0, spaceSize/meta.Window), func(w int) int { return w * meta.Window }),
		rapid.IntRange(0, 3*meta.Page),
	).Draw(t, name)
	return min(at, spaceSize)
}

// length draws how long something is.
func (m *spaceModel) length(t *rapid.T, most int) int {
	n := rapid.OneOf(
		rapid.SampledFrom([]int{1, 100, 4095, 4096, 5000, 60_000, smallData, 300_000, 1 << 20, 5 << 20}),
		rapid.IntRange(1, 3*meta.Page),
		rapid.Map(rapid.IntRange(1, 700), func(p int) int { return p * meta.Page }),
	).Draw(t, "len")
	return min(n, most)
}

// grow makes the model's file at least n bytes long.
func (x *spaceFile) grow(n int) {
	if n > len(x.want) {
		x.want = append(x.want, make([]byte, n-len(x.want))...)
	}
}

func (x *spaceFile) mark(lo, hi int) {
	for p := lo / meta.Page; p*meta.Page < hi; p++ {
		x.data[p] = true
	}
}

func (m *spaceModel) write(t *rapid.T) {
	x := m.pick(t)
	off := m.place(t, len(x.want), "off")
	n := m.length(t, spaceSize-off)
	if n == 0 {
		return
	}
	m.seed++
	p := random(m.seed, n)
	for at := 0; at < n; at += 1 << 20 {
		part := p[at:min(n, at+1<<20)]
		if _, err := x.f.Write(ctx, part, int64(off+at)); err != nil {
			t.Fatal(err)
		}
	}
	x.grow(off + n)
	copy(x.want[off:], p)
	x.mark(off, off+n)
}

// allocate draws one of the modes of fallocate.
func (m *spaceModel) allocate(t *rapid.T) {
	x := m.pick(t)
	off := m.place(t, len(x.want), "off")
	n := max(1, m.length(t, spaceSize-off))
	mode := rapid.SampledFrom([]uint32{0, AllocKeepSize, AllocPunchHole | AllocKeepSize, AllocPunchHole | AllocKeepSize,
		AllocZeroRange, AllocZeroRange | AllocKeepSize}).Draw(t, "mode")
	if err := x.f.Allocate(ctx, int64(off), int64(n), mode); err != nil {
		t.Fatal(err)
	}
	size := len(x.want)
	if mode&(AllocPunchHole|AllocZeroRange) != 0 && off < size {
		end := min(off+n, size)
		clear(x.want[off:end])
		if mode&AllocPunchHole != 0 && end == size {
			end += meta.Page
		}
		for p := (off + meta.Page - 1) / meta.Page; p < end/meta.Page; p++ {
			delete(x.data, p)
		}
	}
	if mode&AllocKeepSize == 0 {
		x.grow(off + n)
	}
}

func (m *spaceModel) truncate(t *rapid.T) {
	x := m.pick(t)
	n := m.place(t, len(x.want), "size")
	size := uint64(n)
	if _, err := m.w.v.SetAttr(ctx, x.f.Ino(), SetAttr{Size: &size}); err != nil {
		t.Fatal(err)
	}
	for p := range x.data {
		if p*meta.Page >= n {
			delete(x.data, p)
		}
	}
	x.grow(n)
	x.want = slices.Clone(x.want[:n])
}

// copy copies a range from one file to the other, or within one.
func (m *spaceModel) copy(t *rapid.T) {
	src, dst := m.pick(t), m.pick(t)
	off, to := m.place(t, len(src.want), "off"), m.place(t, len(dst.want), "to")
	n := m.length(t, spaceSize-to)
	if rapid.Bool().Draw(t, "to the page") {
		to = to / meta.Page * meta.Page
		off = off / meta.Page * meta.Page
	}
	got, err := src.f.CopyRange(ctx, int64(off), dst.f, int64(to), int64(n))
	n = max(0, min(n, len(src.want)-off))
	if src == dst && off < to+n && to < off+n && n > 0 {
		if !errors.Is(err, ErrInvalid) {
			t.Fatalf("overlapping ranges: %v", err)
		}
		return
	}
	if err != nil || int(got) != n {
		t.Fatalf("copied %d of %d bytes, %v", got, n, err)
	}
	if n == 0 {
		return
	}
	dst.take(t, src, off, to, n)
}

// take does to the model what a copy does. Pages that are copied whole are holes
// or not as in the source; of others only the bytes are known, and if they are
// not zero that there is data.
func (x *spaceFile) take(t *rapid.T, src *spaceFile, off, to, n int) {
	size, end := len(x.want), to+n
	x.grow(end)
	copy(x.want[to:end], src.want[off:off+n])
	for p := to / meta.Page; p*meta.Page < end; p++ {
		lo, hi := p*meta.Page, (p+1)*meta.Page
		from := lo - to + off
		if whole := lo >= to && (hi <= end || end >= size && off+n == len(src.want)); whole && from%meta.Page == 0 {
			delete(x.data, p)
			if src.data[from/meta.Page] {
				x.data[p] = true
			}
			continue
		}
		a, err := x.f.SeekData(ctx, int64(lo))
		if err != nil && !errors.Is(err, ErrNoData) {
			t.Fatal(err)
		}
		is := err == nil && int(a) < hi
		must := lo < to && x.data[p] || hi > end && end < size && x.data[p] || bytes.ContainsFunc(x.want[lo:min(hi, len(x.want))], func(r rune) bool { return r != 0 })
		if must && !is {
			t.Fatalf("page %d has bytes and is shown as a hole", p)
		}
		delete(x.data, p)
		if is {
			x.data[p] = true
		}
	}
}

// seek walks through all data and holes of a file.
func (m *spaceModel) seek(t *rapid.T) {
	x := m.pick(t)
	at := m.place(t, len(x.want), "from")
	for at < len(x.want) {
		p := at / meta.Page
		is := x.data[p]
		for x.data[p] == is && p*meta.Page < len(x.want) {
			p++
		}
		next := min(len(x.want), p*meta.Page)
		data, hole := int64(at), int64(at)
		want := error(nil)
		if is {
			hole = int64(next)
		} else if data = int64(next); next == len(x.want) {
			data, want = 0, ErrNoData
		}
		if got, err := x.f.SeekData(ctx, int64(at)); got != data || !errors.Is(err, want) {
			t.Fatalf("data behind %d: %d, %v; want %d, %v", at, got, err, data, want)
		}
		if got, err := x.f.SeekHole(ctx, int64(at)); got != hole || err != nil {
			t.Fatalf("a hole behind %d: %d, %v; want %d", at, got, err, hole)
		}
		at = next
	}
	for _, off := range []int64{int64(len(x.want)), -1} {
		_, err := x.f.SeekData(ctx, off)
		_, herr := x.f.SeekHole(ctx, off)
		if !errors.Is(err, ErrNoData) || !errors.Is(herr, ErrNoData) {
			t.Fatalf("behind the end: %v, %v", err, herr)
		}
	}
}

// check compares sizes and blocks.
func (m *spaceModel) check(t *rapid.T) {
	pending := int64(0)
	for i, x := range m.files {
		a, err := m.w.v.GetAttr(ctx, x.f.Ino())
		if err != nil || int(a.Size) != len(x.want) || int(a.Blocks) != len(x.data)*meta.Page/512 {
			t.Fatalf("file %d: size %d, want %d; %d blocks, want %d; %v", i, a.Size, len(x.want), a.Blocks, len(x.data)*meta.Page/512, err)
		}
		pending += x.f.in.file.pending()
	}
	if d := m.w.v.dirtyBytes.Load(); d != pending {
		t.Fatalf("%d dirty bytes counted, the files have %d", d, pending)
	}
}

// read compares all bytes.
func (m *spaceModel) read(t *rapid.T) {
	for i, x := range m.files {
		p := bytes.Repeat([]byte{0xee}, spaceSize+1)
		n, err := x.f.Read(ctx, p, 0)
		if err != nil || !bytes.Equal(p[:n], x.want) {
			at := 0
			for at < min(n, len(x.want)) && p[at] == x.want[at] {
				at++
			}
			t.Fatalf("file %d: %d bytes, want %d; the first difference is at %d; %v", i, n, len(x.want), at, err)
		}
	}
}

// reopen drops all states, so that everything comes from the records.
func (m *spaceModel) reopen(t *rapid.T) {
	var inos [2]uint64
	for i, x := range m.files {
		inos[i] = x.f.Ino()
		if err := errors.Join(x.f.Flush(ctx), x.f.Release(ctx)); err != nil {
			t.Fatal(err)
		}
	}
	m.w.forget()
	for i, x := range m.files {
		var err error
		if x.f, err = m.w.v.Open(ctx, inos[i], false); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSpace drives two files through all that changes their space.
func TestSpace(t *testing.T) {
	checks(t, 5, func(r *rapid.T) {
		w := newWorld()
		w.open(t)
		defer w.close(t)
		m := &spaceModel{w: w}
		for i := range m.files {
			m.files[i] = &spaceFile{f: w.create(t, Root, fmt.Sprint(i)), data: map[int]bool{}}
			defer func() { must(t, m.files[i].f.Release(ctx)) }()
		}
		defer m.read(r)
		r.Repeat(map[string]func(*rapid.T){
			"write": m.write, "write2": m.write, "allocate": m.allocate, "allocate2": m.allocate, "allocate3": m.allocate,
			"copy": m.copy, "copy2": m.copy, "truncate": m.truncate, "seek": m.seek, "reopen": m.reopen, "read": m.read, "": m.check,
			"flush": func(t *rapid.T) {
				if err := m.pick(t).f.Flush(ctx); err != nil {
					t.Fatal(err)
				}
			},
			"checkpoint": func(t *rapid.T) {
				fold := rapid.Bool().Draw(t, "fold")
				if _, _, err := w.db.Checkpoint(ctx, meta.CheckpointOptions{Fold: fold}); err != nil {
					t.Fatal(err)
				}
			},
			"write back": func(t *rapid.T) {
				if err := w.v.WriteBack(ctx, 0); err != nil {
					t.Fatal(err)
				}
			},
		})
	})
}
