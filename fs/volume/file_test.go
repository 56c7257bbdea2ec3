package volume

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta"
)

// fileModel is one file, beside a slice of what it should hold.
type fileModel struct {
	w    *world
	f    *File
	want []byte
	seed uint64
}

// fileSpace is how large the file gets: some windows, so that all layers meet.
const fileSpace = 10 << 20

func (m *fileModel) write(t *rapid.T) {
	sizes := []int{1, 100, 4095, 4096, 5000, 60_000, smallData, 300_000, 1 << 20, 3 << 20}
	n := rapid.SampledFrom(sizes).Draw(t, "len")
	off := m.offset(t, fileSpace-n)
	m.seed++
	p := random(m.seed, n)
	got, err := m.f.Write(ctx, p, int64(off))
	if err != nil || got != n {
		t.Fatalf("write: %d, %v", got, err)
	}
	if off+n > len(m.want) {
		m.want = append(m.want, make([]byte, off+n-len(m.want))...)
	}
	copy(m.want[off:], p)
}

// offset draws a place, often one where something begins or ends.
func (m *fileModel) offset(t *rapid.T, most int) int {
	off := rapid.OneOf(
		rapid.IntRange(0, most),
		rapid.Just(len(m.want)),
		rapid.Map(rapid.IntRange(0, most/meta.Page), func(p int) int { return p * meta.Page }),
		rapid.Map(rapid.IntRange(0, most/meta.Window), func(w int) int { return w * meta.Window }),
		rapid.IntRange(0, 20_000),
	).Draw(t, "off")
	return min(off, most)
}

// stream appends much in small writes, so that runs are sealed on the way.
func (m *fileModel) stream(t *rapid.T) {
	off := m.offset(t, fileSpace-(5<<20))
	m.seed++
	p := random(m.seed, 5<<20)
	for at := 0; at < len(p); at += 128 << 10 {
		if _, err := m.f.Write(ctx, p[at:at+128<<10], int64(off+at)); err != nil {
			t.Fatal(err)
		}
	}
	if off+len(p) > len(m.want) {
		m.want = append(m.want, make([]byte, off+len(p)-len(m.want))...)
	}
	copy(m.want[off:], p)
}

func (m *fileModel) truncate(t *rapid.T) {
	size := uint64(m.offset(t, fileSpace))
	if _, err := m.w.v.SetAttr(ctx, m.f.Ino(), SetAttr{Size: &size}); err != nil {
		t.Fatal(err)
	}
	if int(size) > len(m.want) {
		m.want = append(m.want, make([]byte, int(size)-len(m.want))...)
	}
	m.want = slices.Clone(m.want[:size])
}

func (m *fileModel) read(t *rapid.T) {
	off := m.offset(t, fileSpace)
	p := bytes.Repeat([]byte{0xee}, rapid.IntRange(1, 3<<20).Draw(t, "len"))
	n, err := m.f.Read(ctx, p, int64(off))
	if err != nil {
		t.Fatal(err)
	}
	want := m.want[min(off, len(m.want)):min(off+len(p), len(m.want))]
	if !bytes.Equal(p[:n], want) {
		t.Fatalf("read %d bytes at %d: got %d, or wrong ones; want %d", len(p), off, n, len(want))
	}
}

// check reads everything.
func (m *fileModel) check(t *rapid.T) {
	p := bytes.Repeat([]byte{0xee}, fileSpace+1)
	n, err := m.f.Read(ctx, p, 0)
	if err != nil || !bytes.Equal(p[:n], m.want) {
		at := 0
		for at < min(n, len(m.want)) && p[at] == m.want[at] {
			at++
		}
		t.Fatalf("content: %d bytes, want %d; the first difference is at %d; %v", n, len(m.want), at, err)
	}
}

// counts compares sizes and what is accounted for.
func (m *fileModel) counts(t *rapid.T) {
	a, err := m.w.v.GetAttr(ctx, m.f.Ino())
	if err != nil || a.Size != uint64(len(m.want)) {
		t.Fatalf("size %d, want %d, %v", a.Size, len(m.want), err)
	}
	if d := m.w.v.dirtyBytes.Load(); d != m.f.in.file.pending() {
		t.Fatalf("%d dirty bytes counted, the file has %d", d, m.f.in.file.pending())
	}
}

// blocks compares the blocks of a committed file with what its records cover.
func (m *fileModel) blocks(t *rapid.T) {
	if err := m.f.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	covered := map[uint64]bool{}
	windows, err := m.w.db.Windows(ctx, m.f.Ino())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range windows {
		extents, err := m.w.db.Window(ctx, m.f.Ino(), w)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range extents {
			if e.Off+uint64(e.Len) > uint64(len(m.want)) {
				t.Fatalf("an extent ends at %d, the file at %d", e.Off+uint64(e.Len), len(m.want))
			}
			for p := e.Off / meta.Page; p <= (e.Off+uint64(e.Len)-1)/meta.Page; p++ {
				covered[p] = true
			}
		}
	}
	pages, err := m.w.db.Pages(ctx, m.f.Ino())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		covered[p] = true
	}
	a, err := m.w.db.Inode(ctx, m.f.Ino())
	if err != nil || a.Blocks != uint64(len(covered))*meta.Page/512 {
		t.Fatalf("%d blocks recorded, %d pages covered, %v", a.Blocks, len(covered), err)
	}
	if a.Size != uint64(len(m.want)) {
		t.Fatalf("recorded size %d, want %d", a.Size, len(m.want))
	}
}

// reopen drops the state of the inode, so that everything is read from records.
func (m *fileModel) reopen(t *rapid.T) {
	ino := m.f.Ino()
	if err := m.f.Release(ctx); err != nil {
		t.Fatal(err)
	}
	m.w.forget()
	var err error
	if m.f, err = m.w.v.Open(ctx, ino, false); err != nil {
		t.Fatal(err)
	}
}

// TestFile drives one file through all layers and compares it with a slice.
func TestFile(t *testing.T) {
	checks(t, 5, func(r *rapid.T) {
		w := newWorld()
		w.cfg.Small = rapid.SampledFrom([]int64{0, -1}).Draw(r, "small files that may wait")
		w.open(t)
		defer w.close(t)
		m := &fileModel{w: w, f: w.create(t, Root, "f")}
		defer func() { must(t, m.f.Release(ctx)) }()
		defer m.check(r)
		r.Repeat(map[string]func(*rapid.T){
			"write": m.write, "write2": m.write, "write3": m.write, "stream": m.stream, "truncate": m.truncate,
			"read": m.read, "flush": m.blocks, "reopen": m.reopen,
			"write back": func(t *rapid.T) {
				if err := w.v.WriteBack(ctx, 0); err != nil {
					t.Fatal(err)
				}
				m.blocks(t)
			},
			"read all": m.check, "": m.counts,
		})
	})
}

// TestSmallWritesAreNotRecordedTooEarly: the size in the journal is never
// larger than the bytes that bear it out.
func TestSmallWritesAreNotRecordedTooEarly(t *testing.T) {
	w := start(t)
	f := w.create(t, Root, "f")
	defer release(t, f)
	write(t, f, []byte("hello"), 5) // after a hole, or the change of mode would take it along
	if n := w.v.dirtyBytes.Load(); n != 5 {
		t.Errorf("%d bytes are dirty, want 5", n)
	}
	mode := uint32(0o600)
	_, err := w.v.SetAttr(ctx, f.Ino(), SetAttr{Mode: &mode})
	must(t, err)
	a, err := w.db.Inode(ctx, f.Ino())
	if err != nil || a.Size != 0 || a.Mode&0o777 != 0o600 {
		t.Errorf("recorded: size %d, mode %o, %v", a.Size, a.Mode, err)
	}
	size := uint64(100)
	_, err = w.v.SetAttr(ctx, f.Ino(), SetAttr{Size: &size})
	must(t, err)
	if a, _ = w.db.Inode(ctx, f.Ino()); a.Size != 0 {
		t.Errorf("recorded size %d before the bytes", a.Size)
	}
	must(t, f.Flush(ctx))
	if a, _ = w.db.Inode(ctx, f.Ino()); a.Size != 100 {
		t.Errorf("recorded size %d, want 100", a.Size)
	}
}

// TestSparse writes far from the beginning.
func TestSparse(t *testing.T) {
	w := start(t)
	f := w.create(t, Root, "f")
	far := []int64{0, 1<<30 + 5, 1 << 40, math.MaxInt64 - 10}
	for i, off := range far {
		write(t, f, []byte{byte(i + 1), 2, 3}, off)
	}
	check := func(f *File) {
		t.Helper()
		p := make([]byte, 9)
		for i, off := range far {
			at := max(0, off-3)
			n, err := f.Read(ctx, p, at)
			want := append(make([]byte, off-at), byte(i+1), 2, 3)
			if err != nil || !bytes.Equal(p[:min(n, len(want))], want) {
				t.Errorf("at %d: %v, %v", off, p[:n], err)
			}
		}
		if a := w.attr(t, f.Ino()); a.Size != math.MaxInt64-7 || a.Blocks > 4*8 {
			t.Errorf("size %d, %d blocks", a.Size, a.Blocks)
		}
	}
	check(f)
	release(t, f)
	w.reopen(t)
	must(t, w.v.WriteBack(ctx, 0))
	w.forget()
	f, err := w.v.Open(ctx, f.Ino(), false)
	must(t, err)
	check(f)
	_, err = f.Write(ctx, []byte("too far"), math.MaxInt64-3)
	wantErr(t, "a write beyond the largest offset", err, ErrTooBig)
	truncate(t, w, f.Ino(), 1<<30+6)
	truncate(t, w, f.Ino(), 1<<30+100)
	p := make([]byte, 10)
	if n, err := f.Read(ctx, p, 1<<30+4); err != nil || n != 10 || !bytes.Equal(p, []byte{0, 2, 0, 0, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("after truncation: %d, %v, %v", n, p, err)
	}
	if a := w.attr(t, f.Ino()); a.Blocks != 2*8 {
		t.Errorf("%d blocks after truncation", a.Blocks)
	}
	release(t, f)
}

// TestManyPages commits more page edits than one batch carries, then moves them
// into chunks, which deletes as many.
func TestManyPages(t *testing.T) {
	w := start(t)
	f := w.create(t, Root, "f")
	const pages, apart = 1300, 70 // 5.2 MiB of pages, few in a window
	for p := range int64(pages) {
		write(t, f, random(uint64(p), meta.Page), p*apart*meta.Page)
	}
	release(t, f)
	if n := w.attr(t, f.Ino()).Blocks; n != pages*8 {
		t.Errorf("%d blocks, want %d", n, pages*8)
	}
	check := func(what string) {
		t.Helper()
		w.reopen(t)
		f, err := w.v.Open(ctx, f.Ino(), false)
		must(t, err)
		defer release(t, f)
		got := make([]byte, meta.Page)
		for p := range int64(pages) {
			n, err := f.Read(ctx, got, p*apart*meta.Page)
			if err != nil || !bytes.Equal(got[:n], random(uint64(p), meta.Page)) {
				t.Fatalf("%s: page %d is wrong: %d bytes, %v", what, p, n, err)
			}
		}
	}
	check("pages")
	must(t, w.v.WriteBack(ctx, 0))
	if list, err := w.db.Pages(ctx, f.Ino()); err != nil || len(list) == pages {
		t.Errorf("%d pages are left, %v", len(list), err)
	}
	check("extents")
	must(t, w.v.WriteBack(ctx, 0))
	if list, err := w.db.Pages(ctx, f.Ino()); err != nil || len(list) != 0 {
		t.Errorf("%d pages are left, %v", len(list), err)
	}
	if n := w.attr(t, f.Ino()).Blocks; n < pages*8 {
		t.Errorf("%d blocks, want at least %d", n, pages*8)
	}
}

// TestReadersWhileSealing reads a file while it is being written and sealed.
func TestReadersWhileSealing(t *testing.T) {
	w := start(t)
	f := w.create(t, Root, "f")
	const total, step = 24 << 20, 128 << 10
	data := random(9, total)
	var done sync.WaitGroup
	stop := make(chan struct{})
	for i := range 3 {
		done.Go(func() {
			p := make([]byte, 300_000)
			for seed := uint64(i); ; seed++ {
				select {
				case <-stop:
					return
				default:
				}
				size := int(w.attr(t, f.Ino()).Size)
				if size == 0 {
					continue
				}
				off := int(crypt.Sum(fmt.Append(nil, seed))[0]) * (size / 256)
				n, err := f.Read(ctx, p[:min(len(p), size-off)], int64(off))
				if err != nil || !bytes.Equal(p[:n], data[off:off+n]) {
					t.Errorf("read %d bytes at %d of %d: %v", n, off, size, err)
					return
				}
			}
		})
	}
	for at := 0; at < total; at += step {
		write(t, f, data[at:at+step], int64(at))
	}
	close(stop)
	done.Wait()
	w.wantContent(t, "while open", f.Ino(), data)
	release(t, f)
	w.reopen(t)
	w.wantContent(t, "after a restart", f.Ino(), data)
}
