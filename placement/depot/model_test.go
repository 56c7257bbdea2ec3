package depot

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hammockfs/hammock/crypt"
	"pgregory.net/rapid"
)

// modelClaim is what the model knows of a hold: deleted at a time of the clock, or standing.
type modelClaim struct {
	generation uint64
	deleted    bool
	at         int64
}

// model is a depot as a map.
type model map[hold]modelClaim

func (m model) any(o crypt.OwnerKey, id crypt.ID) (known, stands bool) {
	for h, c := range m {
		if h.owner == o && h.id == id {
			known, stands = true, stands || !c.deleted
		}
	}
	return known, stands
}

// machine drives a depot and the model with the same calls.
type machine struct {
	fs    *vfs.MemFS
	clock *clock
	d     *Depot
	m     model
	steps int
}

func (s *machine) config() Config {
	cfg := small(s.fs, s.clock)
	cfg.SegmentSize = 8 << 10
	return cfg
}

// contents are what the shards of the model hold.
var contents = func() (all [10][]byte) {
	for n := range all {
		all[n] = shard(uint64(n), 400*n+1)
	}
	return all
}()

// names are their IDs.
var names = func() (all [10]crypt.ID) {
	for n := range all {
		all[n] = crypt.Sum(contents[n])
	}
	return all
}()

// draw picks one of a few holds, generations and contents, so that they meet.
func (s *machine) draw(t *rapid.T) (h hold, generation uint64, data []byte) {
	n := rapid.IntRange(0, 9).Draw(t, "shard")
	data = contents[n]
	h = hold{owner(rapid.ByteRange(1, 3).Draw(t, "owner")), names[n], rapid.Uint64Range(0, 2).Draw(t, "stripe")}
	return h, rapid.Uint64Range(1, 3).Draw(t, "generation"), data
}

func (s *machine) Put(t *rapid.T) {
	h, generation, data := s.draw(t)
	err := store(s.d, announce(h.owner, data, h.stripe, generation), data)
	was, ok := s.m[h]
	if ok && was.deleted && generation < was.generation {
		if !errors.Is(err, ErrStale) {
			t.Fatalf("put: %v, want ErrStale", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	s.m[h] = modelClaim{generation: max(generation, was.generation)}
}

func (s *machine) Delete(t *rapid.T) {
	h, generation, _ := s.draw(t)
	err := s.d.Delete(ctx, h.owner, h.id, h.stripe, generation)
	was, ok := s.m[h]
	var want error
	switch {
	case !ok:
		want = ErrNotFound
	case generation < was.generation:
		want = ErrStale
	case was.deleted:
		s.m[h] = modelClaim{generation, true, was.at}
	default:
		s.m[h] = modelClaim{generation, true, s.clock.ns.Load()}
	}
	if !errors.Is(err, want) {
		t.Fatalf("delete: %v, want %v", err, want)
	}
}

func (s *machine) Tidy(t *rapid.T) {
	s.clock.Advance(TrashTime / 3)
	if err := s.d.Tidy(ctx); err != nil {
		t.Fatal(err)
	}
	for h, c := range s.m {
		if c.deleted && c.at+int64(TrashTime) <= s.clock.ns.Load() {
			delete(s.m, h)
		}
	}
}

func (s *machine) Restart(t *rapid.T) {
	if err := s.d.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.d, err = Open(s.config()); err != nil {
		t.Fatal(err)
	}
}

// Check compares everything that can be asked; shards are read in turn.
func (s *machine) Check(t *rapid.T) {
	s.steps++
	var used, trash int64
	shards := map[crypt.ID]bool{}
	for n := range 10 {
		data := contents[n]
		id := names[n]
		for o := range byte(3) {
			known, stands := s.m.any(owner(o+1), id)
			if _, ok, err := s.d.Has(ctx, owner(o+1), id); err != nil || ok != stands {
				t.Fatalf("has: %v, %v, want %v", ok, err, stands)
			}
			if n == s.steps%10 {
				err := verify(s.d, owner(o+1), data)
				if known && err != nil || !known && !errors.Is(err, ErrNotFound) {
					t.Fatalf("known %v: %v", known, err)
				}
			}
			shards[id] = shards[id] || known
		}
		for h, c := range s.m {
			switch {
			case h.id != id:
			case c.deleted:
				trash += charge(int64(len(data)))
			default:
				used += charge(int64(len(data)))
			}
		}
	}
	count := 0
	for _, known := range shards {
		if known {
			count++
		}
	}
	if u := s.d.Usage(); u.Used != used || u.Trash != trash || u.Shards != count || u.Reserved != 0 {
		t.Fatalf("%+v, want %s", u, fmt.Sprint(used, trash, count))
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &machine{fs: vfs.NewMem(), clock: &clock{}, m: model{}}
		var err error
		if s.d, err = Open(s.config()); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.d.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"": s.Check, "put": s.Put, "put again": s.Put, "delete": s.Delete, "tidy": s.Tidy, "restart": s.Restart,
		})
	})
}
