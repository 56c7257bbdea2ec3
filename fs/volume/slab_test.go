package volume

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta"
)

// TestOverlayAll lays many extents at once and one by one.
func TestOverlayAll(t *testing.T) {
	draw := func(t *rapid.T, what string, chunk uint64) (list []meta.Extent) {
		at := uint64(0)
		for range rapid.IntRange(0, 8).Draw(t, what) {
			at += uint64(rapid.IntRange(0, 20).Draw(t, "gap"))
			n := rapid.Uint32Range(1, 30).Draw(t, "len")
			list = append(list, meta.Extent{Off: at, Len: n, Skip: uint32(at), Ref: crypt.Ref{Stripe: chunk}})
			at += uint64(n)
			chunk++
		}
		return list
	}
	rapid.Check(t, func(t *rapid.T) {
		old, laid := draw(t, "old", 1), draw(t, "laid", 100)
		before, one := append([]meta.Extent(nil), old...), append([]meta.Extent(nil), old...)
		for _, e := range laid {
			one = overlay(one, e)
		}
		all := overlayAll(old, laid)
		if len(all) != len(one) || len(all) > 0 && !reflect.DeepEqual(all, one) {
			t.Fatalf("%v over %v: %v, want %v", laid, old, all, one)
		}
		if len(old) > 0 && !reflect.DeepEqual(old, before) {
			t.Fatalf("what was there became %v, it was %v", old, before)
		}
	})
}

// scatter writes at random places of a file and of its model, mostly whole pages.
func scatter(t *testing.T, r *rand.Rand, f *File, want []byte, n int) {
	for range n {
		off, size := r.IntN(len(want)/meta.Page)*meta.Page, meta.Page
		if r.IntN(4) == 0 {
			off, size = r.IntN(len(want)), 1+r.IntN(3*meta.Page)
		}
		size = min(size, len(want)-off)
		p := random(r.Uint64(), size)
		write(t, f, p, int64(off))
		copy(want[off:], p)
	}
}

// TestScattered writes many pages here and there: where they are many, none of
// them stays small data, and what is read is right whatever was there before.
func TestScattered(t *testing.T) {
	for seed := range uint64(2) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := start(t)
		f := w.create(t, Root, "f")
		want := make([]byte, 5<<20+777)
		truncate(t, w, f.Ino(), uint64(len(want)))
		write(t, f, random(seed, 3<<20), 1<<20)
		copy(want[1<<20:], random(seed, 3<<20))
		must(t, f.Flush(ctx))
		for round := range 4 {
			scatter(t, r, f, want, 1+r.IntN(500))
			if round%2 == 0 {
				scatter(t, r, f, want, 5)
			}
			must(t, f.Flush(ctx))
			if r.IntN(3) == 0 {
				size := len(want) - 1 - r.IntN(1<<20)
				truncate(t, w, f.Ino(), uint64(size))
				want = want[:size]
			}
			w.wantContent(t, "at once", f.Ino(), want)
		}
		scatter(t, r, f, want, 800)
		release(t, f)
		if list, err := w.db.Pages(ctx, f.Ino()); err != nil || len(list) > slabPages {
			t.Errorf("seed %d: %d pages are small data, %v", seed, len(list), err)
		}
		blocks := w.attr(t, f.Ino()).Blocks
		w.reopen(t)
		w.wantContent(t, "after a restart", f.Ino(), want)
		must(t, w.v.WriteBack(ctx, 0))
		w.wantContent(t, "after they were moved", f.Ino(), want)
		if n := w.attr(t, f.Ino()).Blocks; n != blocks {
			t.Errorf("seed %d: %d blocks, %d after a restart", seed, blocks, n)
		}
		must(t, fsck(w))
	}
}

// TestScatteredAndThePower cuts the power after an fsync and further writes: what
// was synced is there, and what was not is what it was or what was written.
func TestScatteredAndThePower(t *testing.T) {
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 2))
		mem := vfs.NewCrashableMem()
		w := newWorld()
		w.fs = mem
		w.open(t)
		f := w.create(t, Root, "f")
		synced := random(seed, 3<<20)
		write(t, f, synced, 0)
		scatter(t, r, f, synced, 10) // small data, which is hidden and then replaced
		must(t, f.Fsync(ctx))
		scatter(t, r, f, synced, 400)
		must(t, f.Fsync(ctx))
		newer := bytes.Clone(synced)
		for p := range newer {
			if p%meta.Page == 0 && r.IntN(5) == 0 {
				data := random(r.Uint64(), meta.Page)
				write(t, f, data, int64(p))
				copy(newer[p:], data)
			}
		}
		must(t, f.Flush(ctx))
		after := *w
		after.fs = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(100), RNG: r})
		after.clock = &clock{now: time.Unix(1_900_000_000, 0)}
		after.open(t)
		got := after.content(t, f.Ino(), 1<<20)
		for p := 0; p < len(newer); p += meta.Page {
			is := got[p : p+meta.Page]
			if !bytes.Equal(is, synced[p:p+meta.Page]) && !bytes.Equal(is, newer[p:p+meta.Page]) {
				t.Fatalf("seed %d: page %d is neither what was synced nor what was written since", seed, p/meta.Page)
			}
		}
		must(t, fsck(&after))
		after.close(t)
		release(t, f)
		w.close(t)
	}
}

// TestTakeScattered: what is taken and what stays are the runs that there were, each once.
func TestTakeScattered(t *testing.T) {
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 3))
		var d runs
		size := (1 + r.IntN(6)) * meta.Window
		for range r.IntN(3000) {
			n := meta.Page
			if r.IntN(10) == 0 {
				n = 1 + r.IntN(2*smallData)
			}
			d.write(make([]byte, n), uint64(r.IntN(size/meta.Page)*meta.Page))
		}
		before, solid := slices.Clone(d.list), uint64(r.IntN(size))
		bytes := d.bytes
		taken, next := d.takeScattered(uint64(r.IntN(8)*meta.Window), solid)
		all := slices.Concat(taken.list, d.list)
		slices.SortFunc(all, func(a, b *run) int { return cmp.Compare(a.off, b.off) })
		if !slices.Equal(all, before) || taken.bytes+d.bytes != bytes || next%meta.Window != 0 {
			t.Fatalf("seed %d: of %d runs %d were taken and %d stayed; bytes %d, %d of %d; next %d",
				seed, len(before), len(taken.list), len(d.list), taken.bytes, d.bytes, bytes, next)
		}
		var sum int64
		for i, r := range taken.list {
			sum += int64(len(r.buf))
			if !r.wholePages() || r.end() > solid || i > 0 && r.off < taken.list[i-1].off {
				t.Errorf("seed %d: [%d, %d) was taken, below %d", seed, r.off, r.end(), solid)
			}
		}
		if sum != taken.bytes || sum > slabSize*meta.Page {
			t.Errorf("seed %d: %d bytes were taken, counted as %d", seed, sum, taken.bytes)
		}
	}
}

// TestScatteredInBackground writes here and there until pages are sealed while it goes on, changes what is being
// sealed in all ways, and looks at what the file shows each time.
func TestScatteredInBackground(t *testing.T) {
	for seed := range uint64(2) {
		r := rand.New(rand.NewPCG(seed, 4))
		mem := vfs.NewCrashableMem()
		w := newWorld()
		w.fs, w.cfg.Dirty = mem, 1<<20
		w.open(t)
		f := w.create(t, Root, "f")
		want := random(seed, 5<<20+777)
		write(t, f, want, 0)
		must(t, f.Flush(ctx))
		began := false
		for range 8 {
			scatter(t, r, f, want, 250+r.IntN(200))
			f.in.mu.RLock()
			began = began || f.in.file.hand > 0
			f.in.mu.RUnlock()
			switch r.IntN(6) {
			case 0:
				lo := r.IntN(len(want))
				hi := lo + r.IntN(min(1<<19, len(want)-lo))
				must(t, f.Allocate(ctx, int64(lo), int64(hi-lo), AllocPunchHole|AllocKeepSize))
				clear(want[lo:hi])
			case 1:
				want = want[:len(want)-1-r.IntN(1<<18)]
				truncate(t, w, f.Ino(), uint64(len(want)))
			case 2:
				must(t, f.Flush(ctx))
				w.killed(t, mem).wantContent(t, "after the daemon was killed", f.Ino(), want)
			}
			p := make([]byte, 300_000)
			at := r.IntN(len(want) - len(p))
			if n, err := f.Read(ctx, p, int64(at)); err != nil || !bytes.Equal(p[:n], want[at:at+len(p)]) {
				t.Fatalf("seed %d: what is read at %d meanwhile is not what was written, %v", seed, at, err)
			}
		}
		w.wantContent(t, "at the end", f.Ino(), want)
		if !began {
			t.Errorf("seed %d: nothing was sealed in the background", seed)
		}
		release(t, f)
		if n := w.v.dirtyBytes.Load(); n != 0 {
			t.Errorf("seed %d: %d bytes are counted as dirty after the close", seed, n)
		}
		w.reopen(t)
		w.wantContent(t, "after a restart", f.Ino(), want)
		must(t, fsck(w))
		w.close(t)
	}
}

// TestScatteredWithoutRoom: pages that could not be sealed in the background are dirty again, under what was written
// since.
func TestScatteredWithoutRoom(t *testing.T) {
	w := start(t)
	f := w.create(t, Root, "f")
	defer release(t, f)
	want := random(1, 5<<20)
	write(t, f, want, 0)
	must(t, f.Flush(ctx))
	w.v.cfg.Dirty = 2 << 20
	r := rand.New(rand.NewPCG(1, 5))
	in := f.in
	sealing := func() bool {
		in.mu.RLock()
		defer in.mu.RUnlock()
		return len(in.file.sealing) > 0
	}
	for i := 0; !sealing(); i++ {
		if i > 5000 {
			t.Fatal("nothing is sealed in the background")
		}
		scatter(t, r, f, want, 1)
	}
	scatter(t, r, f, want, 20)
	in.mu.Lock()
	if len(in.file.sealing) > 0 {
		<-in.file.sealing[0].done
		in.file.sealing[0].err = ErrNoSpace
		wantErr(t, "take what was not sealed", w.v.applySealed(ctx, in, 1), ErrNoSpace)
	}
	pending := in.file.pending()
	in.mu.Unlock()
	if n := w.v.dirtyBytes.Load(); n != pending {
		t.Errorf("%d bytes are counted as dirty, %d are", n, pending)
	}
	w.wantContent(t, "dirty again", f.Ino(), want)
	must(t, f.Flush(ctx))
	w.wantContent(t, "after the close", f.Ino(), want)
}
