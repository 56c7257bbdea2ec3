package meta

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// model is what a DB should show: record keys and values.
type model map[string]string

func (m model) erase(ino uint64, k mark) {
	for key := range m {
		if keyIno([]byte(key)) == ino && k.hides([]byte(key)) {
			delete(m, key)
		}
	}
}

// apply does to the model what the batch does to the DB, from the batch's own bytes.
func (m model) apply(b *Batch) {
	s := readSteps(b.buf, opDrop)
	for {
		st, ok := s.next()
		if !ok {
			return
		}
		switch st.op {
		case opPut:
			m[string(st.key)] = string(st.value)
		case opDelete:
			delete(m, string(st.key))
		case opRemove:
			m.erase(st.number(), mark{removed: true, clip: noClip})
		case opClip:
			m.erase(st.number(), mark{clip: beUint64(st.value)})
		}
	}
}

func beUint64(b []byte) (n uint64) {
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}

func view(t *rapid.T, d *DB) model {
	m := model{}
	err := d.scan(context.Background(), spaceNames, nil, nil, 0, func(rk, v []byte) error {
		m[string(rk)] = string(v)
		return nil
	})
	if err != nil {
		t.Fatalf("scan: %v", err)
	}
	return m
}

func diff(got, want model) string {
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if v, ok := got[k]; !ok || v != want[k] {
			return fmt.Sprintf("key %x: there %v (%d bytes), want %d bytes", k, ok, len(v), len(want[k]))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[k]; !ok {
			return fmt.Sprintf("key %x is there and should not be", k)
		}
	}
	return ""
}

// gets asks for single records, which takes another way than a scan.
func gets(t *rapid.T, d *DB, want model, keys []string) {
	for _, k := range keys {
		v, ok, err := d.get(context.Background(), spaceNames, []byte(k), nil)
		if err != nil {
			t.Fatalf("get %x: %v", k, err)
		}
		w, there := want[k]
		if ok != there || string(v) != w {
			t.Fatalf("get %x: there %v, %d bytes; want %v, %d bytes", k, ok, len(v), there, len(w))
		}
	}
}

var (
	genIno  = rapid.Uint64Range(1, 6)
	genName = rapid.SampledFrom([]string{"a", "b", "name with \xff in it", "c"})
	genSize = rapid.SampledFrom([]int{0, 1, 100, 2047, 2048, 4096})
)

func drawBatch(t *rapid.T, d *DB) *Batch {
	b := d.NewBatch()
	for range rapid.IntRange(1, 12).Draw(t, "ops") {
		drawOp(t, b)
	}
	return b
}

func drawOp(t *rapid.T, b *Batch) {
	ino := genIno.Draw(t, "ino")
	data := bytes.Repeat([]byte{byte(rapid.IntRange(0, 255).Draw(t, "byte"))}, genSize.Draw(t, "size"))
	n := rapid.Uint64Range(0, 4).Draw(t, "n")
	switch rapid.IntRange(0, 11).Draw(t, "op") {
	case 0:
		b.PutInode(&Inode{Ino: ino, Mode: 0o100644, Size: n, Target: string(data[:min(len(data), 2100)])})
	case 1, 2:
		b.PutDirent(ino, genName.Draw(t, "name"), n+1, 8)
	case 3:
		b.DeleteDirent(ino, genName.Draw(t, "name"))
	case 4, 5:
		b.PutWindow(ino, n, extentsOf(n, data))
	case 6:
		b.PutPage(ino, n*700, data)
	case 7:
		b.DeletePage(ino, n*700)
	case 8:
		b.Clip(ino, n*Window/2)
	case 9:
		b.PutXattr(ino, genName.Draw(t, "name"), data)
	case 10:
		b.RemoveInode(ino)
	case 11:
		b.PutOrphan(ino)
		b.DeleteOrphan(n + 1)
	}
}

// extentsOf makes as many extents as data has bytes, up to 60.
func extentsOf(w uint64, data []byte) []Extent {
	var list []Extent
	for i := range min(len(data), 60) {
		list = append(list, Extent{Off: w*Window + uint64(i)*1000, Len: 500, Skip: uint32(i % 2), Ref: fakeRef(data, uint64(i/3), 7)})
		list[i].Len = min(list[i].Len, uint32(len(data)-i%2))
		if list[i].Len == 0 {
			return list[:i]
		}
	}
	return list
}

// run is one life of a volume with its model. history[i] is the state after commit i; those up to synced must survive
// anything.
type run struct {
	t       *rapid.T
	w       *world
	d       *DB
	m       model
	history []model
	synced  int
	head    []byte
	atHead  model
	keys    map[string]bool
}

func (r *run) commit(t *rapid.T) {
	b := drawBatch(t, r.d)
	if err := r.d.Commit(context.Background(), b); err != nil {
		t.Fatalf("commit: %v", err)
	}
	r.m.apply(b)
	for k := range r.m {
		r.keys[k] = true
	}
	r.history = append(r.history, maps.Clone(r.m))
}

func (r *run) checkpoint(t *rapid.T) {
	dirty := r.d.Dirty()
	head, _, err := r.d.Checkpoint(context.Background(), CheckpointOptions{Fold: rapid.Bool().Draw(t, "fold")})
	if err != nil {
		t.Fatalf("checkpoint: %v", err)
	}
	if !dirty && r.head != nil && bytes.Equal(head, r.head) != true && r.d.deltas != 0 {
		t.Fatal("a checkpoint of nothing made a new head")
	}
	r.head, r.atHead, r.synced = head, maps.Clone(r.m), len(r.history)-1
}

func (r *run) failedCheckpoint(t *rapid.T) {
	r.w.chunks.fail = context.DeadlineExceeded
	_, _, err := r.d.Checkpoint(context.Background(), CheckpointOptions{Fold: rapid.Bool().Draw(t, "fold")})
	r.w.chunks.fail = nil
	if err == nil { // there was nothing to write
		r.head, r.atHead, r.synced = r.d.Head(), maps.Clone(r.m), len(r.history)-1
	}
}

func (r *run) powerCut(t *rapid.T) {
	r.d = r.w.cut(t, r.d, rapid.SampledFrom([]int{0, 30, 70}).Draw(t, "kept"))
	got := view(t, r.d)
	for i := len(r.history) - 1; i >= r.synced; i-- {
		if maps.Equal(got, r.history[i]) {
			r.m, r.history, r.synced = maps.Clone(got), r.history[:i+1], i
			return
		}
	}
	t.Fatalf("after a power cut: no state since the last sync; against the synced one: %s", diff(got, r.history[r.synced]))
}

func (r *run) restore(t *rapid.T) {
	if r.head == nil {
		return
	}
	d := r.w.restore(t, r.head)
	defer d.Close(context.Background())
	if s := diff(view(t, d), r.atHead); s != "" {
		t.Fatalf("restored: %s", s)
	}
	if d.Dirty() {
		t.Fatal("dirty right after a restore")
	}
	if _, _, err := d.Checkpoint(context.Background(), CheckpointOptions{Fold: true}); err != nil {
		t.Fatalf("checkpoint of the restored volume: %v", err)
	}
	gets(t, d, r.atHead, slices.Sorted(maps.Keys(r.keys)))
}

func (r *run) check(t *rapid.T) {
	if s := diff(view(t, r.d), r.m); s != "" {
		t.Fatal(s)
	}
	gets(t, r.d, r.m, slices.Sorted(maps.Keys(r.keys)))
	for ino := uint64(1); ino <= 6; ino++ {
		list, err := r.d.ReadDir(context.Background(), ino, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if got, err := r.d.Lookup(context.Background(), ino, e.Name); err != nil || got != e {
				t.Fatalf("lookup of %q: %v, %v; listed %v", e.Name, got, err, e)
			}
		}
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.Uint64().Draw(t, "seed"))
		r := &run{t: t, w: w, m: model{}, keys: map[string]bool{}}
		r.d = w.open(t)
		r.history = []model{{}}
		defer func() { _ = r.d.Close(context.Background()) }()
		t.Repeat(map[string]func(*rapid.T){
			"commit":     r.commit,
			"commit2":    r.commit,
			"checkpoint": r.checkpoint,
			"failed":     r.failedCheckpoint,
			"restore":    r.restore,
			"sync":       func(t *rapid.T) { must(t, r.d.Sync(context.Background())); r.synced = len(r.history) - 1 },
			"flush":      func(t *rapid.T) { must(t, r.d.flush(context.Background())); r.synced = len(r.history) - 1 },
			"kill":       func(t *rapid.T) { r.d = w.cut(t, r.d, 100); r.synced = len(r.history) - 1 },
			"power cut":  r.powerCut,
			"reopen":     func(t *rapid.T) { must(t, r.d.Close(context.Background())); w.chunks.crash(); r.d = w.open(t) },
			"":           r.check,
		})
	})
}

func must(t failer, err error) {
	if err != nil {
		t.Fatalf("%v", err)
	}
}
