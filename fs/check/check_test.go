package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/volume"
)

// breakage breaks a volume in one way.
type breakage struct {
	name string
	rule Rule
	do   func(w *world)
	note bool
	left bool // cannot be mended
}

// breakages has at least one for every rule about records.
var breakages = []breakage{
	{name: "links", rule: Links, do: func(w *world) { w.edit("large", func(in *meta.Inode) { in.Nlink = 1 }) }},
	{name: "links of a directory", rule: Links, do: func(w *world) { w.edit("dir", func(in *meta.Inode) { in.Nlink = 7 }) }},
	{name: "size behind bytes", rule: Size, do: func(w *world) { w.edit("large", func(in *meta.Inode) { in.Size = 1000 }) }},
	{name: "size behind a page", rule: Size, do: func(w *world) { w.edit("small", func(in *meta.Inode) { in.Size = 100 }) }},
	{name: "size of a link", rule: Size, do: func(w *world) { w.edit("link", func(in *meta.Inode) { in.Size++ }) }},
	{name: "size of a directory", rule: Size, do: func(w *world) { w.edit("sub", func(in *meta.Inode) { in.Size = 5 }) }},
	{name: "size beyond any", rule: Size, do: func(w *world) { w.edit("large", func(in *meta.Inode) { in.Size = 1 << 63 }) }},
	{name: "flags", rule: Declared, do: func(w *world) { w.edit("small", func(in *meta.Inode) { in.Flags = 0 }) }},
	{name: "blocks", rule: Blocks, note: true, do: func(w *world) { w.edit("large", func(in *meta.Inode) { in.Blocks++ }) }},
	{name: "type", rule: Inode, do: func(w *world) { w.edit("dir", func(in *meta.Inode) { in.Mode = 0o644 }) }},
	{name: "a target", rule: Inode, do: func(w *world) { w.edit("small", func(in *meta.Inode) { in.Target = "x" }) }},
	{name: "no target", rule: Inode, left: true, do: func(w *world) { w.edit("link", func(in *meta.Inode) { in.Target = "" }) }},
	{name: "bytes of a directory", rule: Owner, left: true, do: func(w *world) {
		w.commit(func(b *meta.Batch) { b.PutPage(w.inos["dir"], 0, []byte("x")) })
	}},
	{name: "names in a file", rule: Owner, do: func(w *world) {
		w.commit(func(b *meta.Batch) { b.PutDirent(w.inos["link"], "x", w.inos["small"], typeReg) })
	}},
	{name: "bytes without an inode", rule: Owner, do: func(w *world) {
		w.commit(func(b *meta.Batch) { b.PutPage(w.db.NextIno(), 3, []byte("x")) })
	}},
	{name: "attributes without an inode", rule: Owner, do: func(w *world) {
		w.commit(func(b *meta.Batch) { b.PutXattr(w.db.NextIno(), "user.x", []byte("y")) })
	}},
	{name: "a directory without an inode", rule: Owner, do: func(w *world) {
		w.raw(step(opDelete, recordKey(w.inos["sub"], meta.KindInode), nil))
	}},
	{name: "no root", rule: Directory, do: func(w *world) {
		w.raw(step(opDelete, recordKey(volume.Root, meta.KindInode), nil))
	}},
	{name: "a name of nothing", rule: Name, do: func(w *world) {
		w.commit(func(b *meta.Batch) { b.PutDirent(w.inos["sub"], "x", w.db.NextIno(), typeReg) })
	}},
	{name: "a name of another type", rule: Name, do: func(w *world) {
		w.commit(func(b *meta.Batch) { b.PutDirent(volume.Root, "small", w.inos["small"], typeFIFO) })
	}},
	{name: "a name with a slash", rule: Name, do: func(w *world) {
		w.commit(func(b *meta.Batch) { b.PutDirent(volume.Root, "a/b", w.inos["link"], typeLink) })
	}},
	{name: "a name where it is not looked for", rule: Name, do: func(w *world) {
		v, err := w.db.Lookup(ctx, volume.Root, "small")
		must(w.t, err)
		key := append(numbered(volume.Root, meta.KindDirent, v.Cookie+1), "small"...)
		old := append(numbered(volume.Root, meta.KindDirent, v.Cookie), "small"...)
		w.raw(step(opPut, key, direntValue(v.Ino, v.Type)), step(opDelete, old, nil))
	}},
	{name: "no name", rule: Unnamed, do: func(w *world) {
		w.commit(func(b *meta.Batch) { b.DeleteDirent(volume.Root, "small") })
	}},
	{name: "a directory without a name", rule: Unnamed, do: func(w *world) {
		w.commit(func(b *meta.Batch) { b.DeleteDirent(w.inos["dir"], "sub") })
	}},
	{name: "an orphan with a name", rule: Orphan, do: func(w *world) {
		w.commit(func(b *meta.Batch) { b.PutOrphan(w.inos["large"]) })
	}},
	{name: "an orphan that is not there", rule: Orphan, do: func(w *world) {
		w.commit(func(b *meta.Batch) { b.PutOrphan(w.db.NextIno()) })
	}},
	{name: "two names of a directory", rule: Directory, do: func(w *world) {
		w.commit(func(b *meta.Batch) { b.PutDirent(volume.Root, "again", w.inos["deep"], typeDir) })
	}},
	{name: "a name of the root", rule: Directory, do: func(w *world) {
		w.commit(func(b *meta.Batch) { b.PutDirent(w.inos["sub"], "up", volume.Root, typeDir) })
	}},
	{name: "another parent", rule: Directory, do: func(w *world) {
		w.edit("deep", func(in *meta.Inode) { in.Parent = volume.Root })
	}},
	{name: "a circle", rule: Directory, do: func(w *world) {
		w.commit(func(b *meta.Batch) {
			b.DeleteDirent(volume.Root, "dir")
			b.PutDirent(w.inos["deep"], "dir", w.inos["dir"], typeDir)
		})
		w.edit("dir", func(in *meta.Inode) { in.Parent = w.inos["deep"] })
	}},
	{name: "an inode that does not decode", rule: Form, do: func(w *world) {
		w.raw(step(opPut, recordKey(w.inos["large"], meta.KindInode), []byte("junk")))
	}},
	{name: "a name that does not decode", rule: Form, do: func(w *world) {
		w.raw(step(opPut, append(numbered(volume.Root, meta.KindDirent, 4711), 'x'), []byte("junk")))
	}},
	{name: "a window that does not decode", rule: Form, left: true, do: func(w *world) {
		w.raw(step(opPut, numbered(w.inos["larger"], meta.KindWindow, 1), []byte("junk")))
	}},
	{name: "a stripe that is nowhere", rule: Bytes, left: true, do: func(w *world) {
		w.extent("large", func(e *meta.Extent) { e.Ref.Stripe, _ = w.db.NextStripe() })
	}},
	{name: "bytes behind a stripe's end", rule: Bytes, left: true, do: func(w *world) {
		w.extent("large", func(e *meta.Extent) { e.Ref.Offset += 1 << 30 })
	}},
	{name: "bytes over others", rule: Bytes, left: true, do: func(w *world) {
		w.extent("large", func(e *meta.Extent) { e.Ref.Offset++ })
	}},
	{name: "a stripe of an unknown session", rule: Number, left: true, do: func(w *world) { // the bytes are nowhere either
		w.extent("large", func(e *meta.Extent) { e.Ref.Stripe = 77 << 40 })
	}},
	{name: "an inode of an unknown session", rule: Number, do: func(w *world) {
		w.commit(func(b *meta.Batch) { b.PutInode(&meta.Inode{Ino: 77 << 40, Mode: typeFIFO << 12, Nlink: 1}) })
	}},
	{name: "the next number", rule: Number, left: true, do: func(w *world) {
		w.commit(func(b *meta.Batch) { b.PutInode(&meta.Inode{Ino: w.db.NextIno() + 5, Mode: typeFIFO << 12, Nlink: 1}) })
	}},
	{name: "a record of a stripe", rule: Record, left: true, do: func(w *world) {
		n, err := w.db.NextStripe()
		must(w.t, err)
		must(w.t, w.db.Placed(ctx, n, []byte("junk")))
	}},
	{name: "a mark of nothing", rule: Mark, note: true, do: func(w *world) {
		w.raw(step(opLocal, append([]byte("unplaced/"), 0, 0, 0, 0, 0, 0, 0, 9), nil))
	}},
	{name: "an index entry behind a stripe's end", rule: Index, do: func(w *world) {
		ref := w.ref("large")
		ref.Key[0]++
		ref.Offset += 1 << 30
		must(w.t, w.db.AddChunk(ref.DedupID(), &ref))
	}},
	{name: "an index entry to nowhere", rule: Index, note: true, do: func(w *world) {
		ref := w.ref("large")
		ref.Key[0]++
		ref.Stripe, _ = w.db.NextStripe()
		must(w.t, w.db.AddChunk(ref.DedupID(), &ref))
	}},
	{name: "an index entry of another chunk", rule: Index, do: func(w *world) {
		ref := w.ref("large")
		id := ref.DedupID()
		ref.Key[0]++
		must(w.t, w.db.AddChunk(id, &ref))
	}},
	{name: "an unknown local name", rule: Overlay, left: true, do: func(w *world) {
		w.raw(step(opLocal, []byte("what"), nil))
	}},
}

// TestRules breaks a volume in every way, and wants it found, mended, and clean afterwards.
func TestRules(t *testing.T) {
	for _, x := range breakages {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.wantClean()
			w.unmount()
			x.do(w)
			list, r := w.check()
			if !has(list, x.rule, x.note) {
				t.Fatalf("found %v, want something of %s", texts(list), x.rule)
			}
			if r.Fixed != 0 || (r.Left == 0) != x.note {
				t.Errorf("without Fix: %d fixed, %d left", r.Fixed, r.Left)
			}
			list, r = w.check(fix)
			if (r.Left > 0) != x.left || r.Fixed == 0 && !x.left {
				t.Errorf("%d fixed, %d left of %v", r.Fixed, r.Left, texts(list))
			}
			again, r := w.check()
			if !x.left && len(again) > 0 {
				t.Errorf("after it was mended: %v", texts(again))
			}
			if _, r2 := w.check(fix); r2.Fixed != 0 || r2.Left != r.Left {
				t.Errorf("mended a second time: %+v after %+v", r2, r)
			}
			w.usable()
		})
	}
}

// usable mounts what was mended, and uses it.
func (w *world) usable() {
	w.t.Helper()
	w.openVolume()
	w.file(volume.Root, "after", 50_000)
	_, err := w.v.ReadDir(ctx, volume.Root, 0, 100)
	must(w.t, err)
}

func has(list []Finding, rule Rule, note bool) bool {
	for _, f := range list {
		if f.Rule == rule && f.Note == note {
			return true
		}
	}
	return false
}

func texts(list []Finding) string {
	var b strings.Builder
	for _, f := range list {
		fmt.Fprintf(&b, "\n  %s (%t): %s %s", f.Rule, f.Note, f.Text, f.Path)
	}
	return b.String()
}

// TestInterrupted ends a check at each of its steps.
func TestInterrupted(t *testing.T) {
	w := newWorld(t)
	w.unmount()
	for n := int64(1); ; n++ {
		ending, end := context.WithCancel(ctx)
		var left atomic.Int64
		left.Store(n)
		step := func() { // chunks are verified side by side
			if left.Add(-1) == 0 {
				end()
			}
		}
		_, err := Run(ending, Config{
			DB: w.db, Fix: true,
			Stripe: func(number uint64, record []byte) Stripe { step(); return w.stripe(number, record) },
			Verify: func(ctx context.Context, r *crypt.Ref) (bool, error) { step(); return w.cache.Verify(ctx, r) },
		})
		end()
		if left.Load() > 0 && err == nil {
			break // it came to its end before
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("interrupted at step %d: %v", n, err)
		}
	}
	w.wantClean(w.data)
}
