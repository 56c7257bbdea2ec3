package tree

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// memNodes keeps nodes in memory, numbered. A link to a child among the last few nodes is short, one to an older child
// long, as a pointer within one stripe is shorter than one to another.
type memNodes struct {
	mu    sync.Mutex
	nodes [][]byte
	leafs int
	gets  int
}

func (m *memNodes) Put(_ context.Context, leaf bool, b []byte) (Pointer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nodes = append(m.nodes, b)
	if leaf {
		m.leafs++
	}
	return binary.BigEndian.AppendUint64(nil, uint64(len(m.nodes)-1)), nil
}

func (m *memNodes) Get(_ context.Context, p Pointer) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gets++
	i := binary.BigEndian.Uint64(p)
	if i >= uint64(len(m.nodes)) {
		return nil, fmt.Errorf("no node %d", i)
	}
	return m.nodes[i], nil
}

func (m *memNodes) Link(child Pointer) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := binary.BigEndian.Uint64(child)
	if d := uint64(len(m.nodes)) - i; d < 10 {
		return []byte{byte(d)}
	}
	return append([]byte{0}, child...)
}

func (m *memNodes) Resolve(parent Pointer, link []byte) (Pointer, error) {
	switch {
	case len(link) == 1 && link[0] > 0:
		return binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(parent)-uint64(link[0])), nil
	case len(link) == 9:
		return link[1:], nil
	}
	return nil, errors.New("no such link")
}

func (m *memNodes) count() (nodes, gets int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.nodes), m.gets
}

// listed yields the edits of a slice.
func listed(edits []Edit) func() (Edit, bool, error) {
	return func() (Edit, bool, error) {
		if len(edits) == 0 {
			return Edit{}, false, nil
		}
		e := edits[0]
		edits = edits[1:]
		return e, true, nil
	}
}

// apply is what a fold means, on a map.
func apply(m map[string]string, edits []Edit) map[string]string {
	out := maps.Clone(m)
	for _, e := range edits {
		if e.Op == DeleteRange {
			for k := range m {
				if k >= string(e.Key) && (len(e.End) == 0 || k < string(e.End)) {
					delete(out, k)
				}
			}
		}
	}
	for _, e := range edits {
		switch e.Op {
		case Put:
			out[string(e.Key)] = string(e.Value)
		case Delete:
			delete(out, string(e.Key))
		}
	}
	return out
}

// audit walks over all nodes of r and checks the shape of the tree.
func audit(t interface{ Fatalf(string, ...any) }, s *Store, r Root) {
	if r.Height == 0 {
		if r.Ptr != nil || r.Entries != 0 {
			t.Fatalf("an empty tree with %v", r)
		}
		return
	}
	ctx := context.Background()
	var walk func(n *node, lo, hi []byte, top bool)
	walk = func(n *node, lo, hi []byte, top bool) {
		if !top && len(n.b) < s.target/4 {
			t.Fatalf("a node of level %d with %d entries has %d bytes", n.level, n.n, len(n.b))
		}
		if len(n.b) > 2*s.target && n.n > 2*least(n.level) {
			t.Fatalf("a node of level %d with %d entries has %d bytes", n.level, n.n, len(n.b))
		}
		for i := range n.n {
			if n.level == 0 {
				if k := n.key(i); bytes.Compare(k, lo) < 0 || hi != nil && bytes.Compare(k, hi) >= 0 {
					t.Fatalf("key %q is not in [%q, %q)", k, lo, hi)
				}
				continue
			}
			c, err := s.child(ctx, n, i)
			if err != nil {
				t.Fatalf("child %d: %v", i, err)
			}
			if c.entries() != n.count(i) {
				t.Fatalf("a child with %d entries is said to have %d", c.entries(), n.count(i))
			}
			l, h := lo, hi
			if i > 0 {
				l = n.key(i)
			}
			if i+1 < n.n {
				h = n.key(i + 1)
			}
			walk(c, l, h, false)
		}
	}
	n, err := s.root(ctx, r)
	if err != nil {
		t.Fatalf("root: %v", err)
	}
	if n.entries() != r.Entries {
		t.Fatalf("a root with %d entries is said to have %d", n.entries(), r.Entries)
	}
	walk(n, nil, nil, true)
	nodes := 0
	err = s.Verify(ctx, r, func(Pointer) error { nodes++; return nil }, func(err error) { t.Fatalf("Verify: %v", err) })
	if err != nil || nodes == 0 {
		t.Fatalf("Verify visits %d nodes: %v", nodes, err)
	}
}

// contents reads a whole tree.
func contents(t interface{ Fatalf(string, ...any) }, s *Store, r Root, from []byte) (keys, values []string) {
	it := s.Seek(context.Background(), r, from)
	for it.Next() {
		keys = append(keys, string(it.Key()))
		values = append(values, string(it.Value()))
	}
	if it.Err() != nil || it.Next() {
		t.Fatalf("the walk ended with %v", it.Err())
	}
	return keys, values
}

func small(n Nodes, target int) *Store {
	s := New(n, 1<<20)
	s.target = target
	return s
}

// TestFoldAgainstMap folds random batches and compares everything with a sorted map.
func TestFoldAgainstMap(t *testing.T) {
	highest := uint8(0)
	rapid.Check(t, func(t *rapid.T) {
		target := rapid.SampledFrom([]int{96, 160, 400, 2000}).Draw(t, "target")
		s := small(&memNodes{}, target)
		var r Root
		want := map[string]string{}
		for range rapid.IntRange(1, 6).Draw(t, "folds") {
			edits := drawEdits(t)
			var err error
			old := r
			if r, err = s.Fold(context.Background(), r, listed(edits)); err != nil {
				t.Fatalf("fold: %v", err)
			}
			before := want
			want = apply(want, edits)
			compare(t, s, r, want)
			audit(t, s, r)
			compare(t, s, old, before)
			highest = max(highest, r.Height)
		}
		compareGets(t, s, r, want)
	})
	if highest < 4 {
		t.Errorf("no tree was higher than %d", highest)
	}
}

func drawEdits(t *rapid.T) []Edit {
	seed := rapid.Uint64().Draw(t, "seed")
	n := rapid.SampledFrom([]int{0, 1, 3, 20, 200}).Draw(t, "edits")
	space := rapid.SampledFrom([]int{20, 300, 5000}).Draw(t, "keys")
	dels := rapid.SampledFrom([]int{0, 10, 50, 95}).Draw(t, "deletes")
	ranges := rapid.SampledFrom([]int{0, 0, 2, 20}).Draw(t, "ranges")
	rng := rand.New(rand.NewPCG(seed, 1))
	key := func() []byte {
		k := fmt.Appendf(nil, "%04d", rng.IntN(space))
		return append(k, bytes.Repeat([]byte{'x'}, rng.IntN(12))...)[:4+rng.IntN(len(k)-3)]
	}
	var edits []Edit
	for range n {
		switch p := rng.IntN(100); {
		case p < ranges:
			a, b := key(), key()
			if bytes.Compare(a, b) > 0 {
				a, b = b, a
			}
			if rng.IntN(20) == 0 {
				b = nil
			}
			edits = append(edits, Edit{Op: DeleteRange, Key: a, End: b})
		case p < dels:
			edits = append(edits, Edit{Op: Delete, Key: key()})
		default:
			edits = append(edits, Edit{Op: Put, Key: key(), Value: bytes.Repeat([]byte{byte(p)}, rng.IntN(30))})
		}
	}
	slices.SortStableFunc(edits, func(a, b Edit) int { return bytes.Compare(a.Key, b.Key) })
	return edits
}

func compare(t *rapid.T, s *Store, r Root, want map[string]string) {
	keys, values := contents(t, s, r, nil)
	if r.Entries != uint64(len(want)) || len(keys) != len(want) {
		t.Fatalf("%d entries, %d walked over, %d wanted", r.Entries, len(keys), len(want))
	}
	if !slices.IsSorted(keys) {
		t.Fatalf("the walk is out of order")
	}
	for i, k := range keys {
		if v, ok := want[k]; !ok || v != values[i] {
			t.Fatalf("%q is %q, wanted %q", k, values[i], v)
		}
	}
}

func compareGets(t *rapid.T, s *Store, r Root, want map[string]string) {
	sorted := slices.Sorted(maps.Keys(want))
	for i := range 100 {
		k := fmt.Sprintf("%04d", i*50)
		v, ok, err := s.Get(context.Background(), r, []byte(k), nil)
		if w, there := want[k]; err != nil || ok != there || string(v) != w {
			t.Fatalf("get %q: %q, %v, %v; wanted %q, %v", k, v, ok, err, w, there)
		}
		at, _ := slices.BinarySearch(sorted, k)
		if keys, _ := contents(t, s, r, []byte(k)); !slices.Equal(keys, sorted[at:]) {
			t.Fatalf("seek to %q walks over %d keys, wanted %d", k, len(keys), len(sorted)-at)
		}
	}
}

func key8(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }

// sequence yields n puts in order, every step-th number from first on.
func sequence(first, n, step int) func() (Edit, bool, error) {
	i := 0
	var key, value [8]byte
	return func() (Edit, bool, error) {
		if i == n {
			return Edit{}, false, nil
		}
		binary.BigEndian.PutUint64(key[:], uint64(first+i*step))
		binary.BigEndian.PutUint64(value[:], uint64(i))
		i++
		return Edit{Op: Put, Key: key[:], Value: value[:]}, true, nil
	}
}

func TestFoldSharesWhatIsUntouched(t *testing.T) {
	ctx := context.Background()
	m := &memNodes{}
	s := small(m, 2000)
	s.cache = newCache(0)
	r, err := s.Fold(ctx, Root{}, sequence(0, 60_000, 2))
	if err != nil || r.Height != 3 {
		t.Fatalf("%v, %v", r, err)
	}
	all, _ := m.count()
	if full := 60_000 * 20 / all; full < s.target*9/10 {
		t.Errorf("a bulk load fills nodes to %d bytes", full)
	}
	steps := []struct {
		name       string
		edits      []Edit
		put, get   int
		difference int
	}{
		{"nothing", nil, 0, 0, 0},
		{"absent deletes", []Edit{{Op: Delete, Key: key8(1)}, {Op: DeleteRange, Key: key8(60_001), End: key8(60_002)}}, 0, 8, 0},
		{"one put", []Edit{{Op: Put, Key: key8(1)}}, 3, 4, 1},
		{"the same value", []Edit{{Op: Put, Key: key8(0), Value: make([]byte, 8)}}, 0, 4, 0},
		{"a range over most", []Edit{{Op: DeleteRange, Key: key8(1000), End: key8(118_000)}}, 6, 12, -58_500},
		{"a put in a range over all", []Edit{{Op: DeleteRange}, {Op: Put, Key: key8(7)}}, 1, 0, -59_999},
		{"all", []Edit{{Op: DeleteRange}}, 0, 0, -60_000},
	}
	for _, step := range steps {
		n0, g0 := m.count()
		got, err := s.Fold(ctx, r, listed(step.edits))
		n1, g1 := m.count()
		if err != nil || int(got.Entries)-int(r.Entries) != step.difference {
			t.Errorf("%s: %d entries more, %v", step.name, int(got.Entries)-int(r.Entries), err)
		}
		if n1-n0 > step.put || g1-g0 > step.get {
			t.Errorf("%s: %d nodes written and %d read, wanted at most %d and %d", step.name, n1-n0, g1-g0, step.put, step.get)
		}
		if step.difference == 0 && !bytes.Equal(got.Ptr, r.Ptr) {
			t.Errorf("%s: another root", step.name)
		}
		audit(t, s, got)
	}
}

func TestFoldRefuses(t *testing.T) {
	s := New(&memNodes{}, 1<<20)
	big := make([]byte, MaxValue+1)
	for name, edits := range map[string][]Edit{
		"no key":       {{Op: Put}},
		"long key":     {{Op: Put, Key: big[:MaxKey+1]}},
		"long value":   {{Op: Put, Key: []byte("k"), Value: big}},
		"no operation": {{Key: []byte("k")}},
		"out of order": {{Op: Put, Key: []byte("k")}, {Op: Put, Key: []byte("a")}},
	} {
		if _, err := s.Fold(context.Background(), Root{}, listed(edits)); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	boom := errors.New("boom")
	_, err := s.Fold(context.Background(), Root{}, func() (Edit, bool, error) { return Edit{}, false, boom })
	if !errors.Is(err, boom) {
		t.Errorf("the error of next is %v", err)
	}
	max := []Edit{{Op: Put, Key: big[:MaxKey], Value: big[:MaxValue]}}
	if _, err := s.Fold(context.Background(), Root{}, listed(max)); err != nil {
		t.Error(err)
	}
}

// TestLoadOnce has many readers of a cold node and counts the loads.
func TestLoadOnce(t *testing.T) {
	ctx := context.Background()
	m := &memNodes{}
	r, err := New(m, 0).Fold(ctx, Root{}, sequence(0, 10, 1))
	if err != nil {
		t.Fatal(err)
	}
	s := New(m, 1<<20)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, ok, err := s.Get(ctx, r, key8(3), nil); !ok || err != nil {
				t.Error(ok, err)
			}
		})
	}
	wg.Wait()
	if _, gets := m.count(); gets != 1 {
		t.Errorf("%d loads", gets)
	}
}

func TestCacheIsBounded(t *testing.T) {
	ctx := context.Background()
	s := New(&memNodes{}, 300<<10)
	if _, err := s.Fold(ctx, Root{}, sequence(0, 100_000, 1)); err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for e := s.cache.recent.Front(); e != nil; e = e.Next() {
		sum += e.Value.(*node).cost()
	}
	if sum != s.cache.used || sum > 300<<10 || sum < 200<<10 || len(s.cache.byPtr) != s.cache.recent.Len() {
		t.Errorf("%d bytes used, %d counted", s.cache.used, sum)
	}
}

// TestForgedLevel has a tree whose child is its own parent's kind: the descent ends with an error.
func TestForgedLevel(t *testing.T) {
	m := &memNodes{}
	s := New(m, 1<<20)
	e := newEncoder(1, 2, 100)
	e.kid([]byte("a"), 1, append([]byte{0}, key8(0)...))
	e.kid([]byte("b"), 1, append([]byte{0}, key8(0)...))
	p, _ := m.Put(context.Background(), false, e.finish())
	r := Root{Ptr: p, Height: 2, Entries: 2}
	if _, _, err := s.Get(context.Background(), r, []byte("a"), nil); !errors.Is(err, ErrNode) {
		t.Errorf("get: %v", err)
	}
	if it := s.Seek(context.Background(), r, nil); it.Next() || !errors.Is(it.Err(), ErrNode) {
		t.Errorf("seek: %v", it.Err())
	}
	if _, err := s.Fold(context.Background(), r, listed([]Edit{{Op: Put, Key: []byte("c")}})); !errors.Is(err, ErrNode) {
		t.Errorf("fold: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	m := &memNodes{}
	s := small(m, 200)
	if _, err := s.Fold(context.Background(), Root{}, sequence(0, 100, 1)); err != nil {
		f.Fatal(err)
	}
	for _, b := range m.nodes {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := parse(nil, b)
		if err != nil {
			if !errors.Is(err, ErrNode) {
				t.Fatal(err)
			}
			return
		}
		for i := range n.n {
			if j, ok := n.search(n.key(i)); j != i || !ok {
				t.Fatalf("entry %d is found at %d", i, j)
			}
			_ = n.rest(i)
		}
		_ = n.entries()
		_ = n.route([]byte("k"))
	})
}
