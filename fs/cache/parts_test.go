package cache

import (
	"errors"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"pgregory.net/rapid"

	"github.com/hammockfs/hammock/crypt"
)

func TestSpansModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 64
		var s spans
		var model [size]bool
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			from := rapid.IntRange(0, size).Draw(t, "from")
			to := rapid.IntRange(from, size).Draw(t, "to")
			add := rapid.Bool().Draw(t, "add")
			if add {
				s = s.add(from, to)
			} else {
				s = s.remove(from, to)
			}
			for i := from; i < to; i++ {
				model[i] = add
			}
			compareSpans(t, s, model[:])
		}
	})
}

func compareSpans(t *rapid.T, s spans, model []bool) {
	n := 0
	for i, have := range model {
		if have != s.covers(i, i+1) {
			t.Fatalf("byte %d: %v", i, s)
		}
		if have {
			n++
		}
		g, ok := s.gap(i, len(model))
		first := i
		for first < len(model) && model[first] {
			first++
		}
		if ok != (first < len(model)) || ok && (g.from != first || s.covers(g.to-1, g.to) || g.to < len(model) && !model[g.to]) {
			t.Fatalf("gap from %d is %v, %v in %v", i, g, ok, s)
		}
	}
	for i := 1; i < len(s); i++ {
		if s[i].from <= s[i-1].to {
			t.Fatalf("ranges touch: %v", s)
		}
	}
	if n != s.size() {
		t.Fatalf("%d bytes in %v", n, s)
	}
}

func TestNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, class, part := rapid.Uint64().Draw(t, "n"), rapid.Uint8Range(1, 3).Draw(t, "class"), rapid.Uint64().Draw(t, "part")
		n2, class2, part2, ok := parseName(stripeName(n, class, part))
		if !ok || n2 != n || class2 != class || part2 != part {
			t.Fatal(stripeName(n, class, part))
		}
	})
}

func FuzzParseMap(f *testing.F) {
	f.Add(appendMap(nil, 1000, spans{{0, 16}, {32, 1000}}))
	f.Add(appendMap(nil, 0, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		payload, have, err := parseMap(b)
		if err == nil && string(appendMap(nil, payload, have)) != string(b) {
			t.Error("a map with two encodings")
		}
	})
}

func FuzzParseName(f *testing.F) {
	f.Add("0000000000000001.data.p7")
	f.Fuzz(func(t *testing.T, name string) {
		if n, class, part, ok := parseName(name); ok && stripeName(n, class, part) != name {
			t.Error("a stripe with two names")
		}
	})
}

// faulty is a rig on a file system whose operations fail while it says so.
func faulty(t *testing.T, kind errorfs.OpKind) (*rig, *error) {
	fail := new(error)
	r := newRig(t, func(c *Config) {
		c.FS = errorfs.Wrap(c.FS, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == kind {
				return *fail
			}
			return nil
		}))
	})
	return r, fail
}

func TestDiskFull(t *testing.T) {
	r, fail := faulty(t, errorfs.OpFileWriteAt)
	before := r.put(ClassData, random(1, 1000))
	*fail = syscall.ENOSPC
	if _, err := r.Put(ctx, ClassData, random(2, 1000)); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	*fail = nil
	after := r.put(ClassData, random(2, 1000))
	r.want(before, random(1, 1000))
	r.want(after, random(2, 1000))
	_, err := r.CloseStripes(ctx, 0)
	r.check(err)
	*fail = syscall.ENOSPC
	if _, err := r.Put(ctx, ClassData, random(3, 1000)); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	*fail = nil
	if got, err := r.CloseStripes(ctx, 0); err != nil || len(got) != 0 {
		t.Errorf("a stripe without a chunk was closed: %x, %v", got, err)
	}
	if r.Usage().Stripes != 1 {
		t.Errorf("%+v", r.Usage())
	}
}

func TestFailedSyncIsRemembered(t *testing.T) {
	r, fail := faulty(t, errorfs.OpFileSyncData)
	ref := r.put(ClassData, random(1, 1000))
	*fail = syscall.EIO
	if err := r.Sync(ctx); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	*fail = nil
	if err := r.Sync(ctx, ref.Stripe); !errors.Is(err, syscall.EIO) {
		t.Errorf("forgotten: %v", err)
	}
	other := r.put(ClassData, random(2, 1000))
	if other.Stripe == ref.Stripe {
		t.Error("more chunks go into a stripe that cannot be synced")
	}
	if err := r.Sync(ctx, other.Stripe); err != nil {
		t.Error(err)
	}
	r.Unpin(ref.Stripe) // it is placed elsewhere: nothing is lost
	r.check(r.Sync(ctx))
}

func TestSyncIsFreeWhenDone(t *testing.T) {
	syncs := 0
	r := newRig(t, func(c *Config) {
		c.FS = errorfs.Wrap(c.FS, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpFileSyncData {
				syncs++
			}
			return nil
		}))
	})
	var refs []crypt.Ref
	for i := range 5 {
		refs = append(refs, r.put(ClassData, random(uint64(i), 1000)))
	}
	syncs = 0
	for range 5 {
		r.check(r.Sync(ctx))
		for _, ref := range refs {
			r.check(r.Sync(ctx, ref.Stripe))
		}
	}
	if syncs != 1 {
		t.Errorf("%d syncs", syncs)
	}
}

// machine compares a cache with a map of what was put into it.
type machine struct {
	*rig
	refs  []crypt.Ref
	texts [][]byte
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		describe := rapid.Bool().Draw(rt, "describe")
		m := &machine{rig: newRig(t, func(c *Config) {
			c.Limit = 3 << 20
			c.Target = func(uint8) int { return 200_000 }
			c.Files = 4
		})}
		if describe {
			m.cfg.Describe = m.stores.describe
			m.reopen()
		}
		rt.Repeat(map[string]func(*rapid.T){
			"put":    m.drawPut,
			"read":   m.drawRead,
			"place":  func(*rapid.T) { m.place() },
			"drop":   func(*rapid.T) { m.drop() },
			"sync":   func(t *rapid.T) { m.check(m.Sync(ctx)) },
			"tick":   func(*rapid.T) { m.Tick(ctx) },
			"reopen": func(*rapid.T) { m.reopen() },
			"ahead":  func(*rapid.T) { m.Prefetch(m.refs) },
			"":       m.books,
		})
	})
}

func (m *machine) drawPut(t *rapid.T) {
	seed, n := rapid.Uint64Range(0, 20).Draw(t, "seed"), rapid.IntRange(1, 150_000).Draw(t, "n")
	p := random(seed, n)
	ref, err := m.Put(ctx, rapid.Uint8Range(1, 3).Draw(t, "class"), p)
	if errors.Is(err, ErrFull) {
		if u := m.Usage(); u.Pinned+int64(n) < 2<<20 {
			t.Fatalf("full with %+v", u)
		}
		return
	}
	m.check(err)
	m.refs, m.texts = append(m.refs, ref), append(m.texts, p)
}

func (m *machine) drawRead(t *rapid.T) {
	if len(m.refs) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.refs)-1).Draw(t, "chunk")
	off := rapid.IntRange(0, len(m.texts[i])).Draw(t, "off")
	n := rapid.IntRange(0, len(m.texts[i])-off).Draw(t, "n")
	m.readAt(m.refs[i], m.texts[i], off, n)
}

// books checks that the sums are right.
func (m *machine) books(t *rapid.T) {
	m.Cache.mu.Lock()
	defer m.Cache.mu.Unlock()
	var used int64
	for n, s := range m.stripes {
		used += int64(s.size)
		if n != s.number || s.gone.Load() || s.writers != 0 {
			t.Fatalf("stripe %x", n)
		}
	}
	if used != m.used {
		t.Fatalf("%d bytes used, the books say %d", used, m.used)
	}
}
