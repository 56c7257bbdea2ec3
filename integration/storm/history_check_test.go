package storm

import (
	"maps"
	"math/rand/v2"
	"testing"
)

// recorded is an actor whose calls are noted without being made.
func recorded(calls ...call) *actor {
	a := &actor{history: newHistory(), handles: map[int]*handle{}, r: rand.New(rand.NewPCG(1, 1))}
	for _, c := range calls {
		a.note(&c, c.all(), "")
		if c.acks() {
			a.history.ack(a.target(&c))
		}
	}
	return a
}

// folder is what would be found after all calls.
func (a *actor) folder() *found {
	s := a.history.now()
	links := map[int]uint64{}
	for _, id := range s.names {
		links[id]++
	}
	var list []seen
	for name, id := range s.names {
		f := s.files[id]
		e := seen{Name: name, Kind: f.kind, Ino: uint64(id) + 100, Links: links[id], Target: f.target}
		if f.kind == 'f' {
			e.Data = f.content.bytes(0, f.content.size)
		}
		list = append(list, e)
	}
	return newFound(list)
}

var story = []call{
	{Op: "mkdir", Name: "d"},
	{Op: "open", Name: "d/a", Handle: 1},
	{Op: "write", Handle: 1, Data: []byte("first words")},
	{Op: "close", Handle: 1},
	{Op: "link", Name: "d/a", To: "b"},
	{Op: "symlink", Name: "l", To: "d/a"},
	{Op: "open", Name: "c", Handle: 2},
	{Op: "write", Handle: 2, Off: 40000, Data: []byte("far out")},
	{Op: "fsync", Handle: 2},
	{Op: "write", Handle: 2, Off: 0, Data: []byte("not acknowledged")},
	{Op: "rename", Name: "d", To: "e"},
}

// TestMatch proves that what may not be found is not taken for what may.
func TestMatch(t *testing.T) {
	rewrite := func(f *found, name string, change func(*content) *content) {
		ino := f.names[name].Ino
		f.contents[ino] = change(f.contents[ino])
	}
	for name, test := range map[string]struct {
		change func(f *found)
		fine   bool
	}{
		"all":            {func(*found) {}, true},
		"lost name":      {func(f *found) { delete(f.names, "b") }, false},
		"old name":       {func(f *found) { maps.Copy(f.names, map[string]seen{"d": f.names["e"]}) }, false},
		"wrong target":   {func(f *found) { l := f.names["l"]; l.Target = "x"; f.names["l"] = l }, false},
		"link cut":       {func(f *found) { b := f.names["b"]; b.Ino = 7; f.names["b"] = b; f.contents[7] = contentOf(nil) }, false},
		"count of links": {func(f *found) { b := f.names["b"]; b.Links = 3; f.names["b"] = b }, false},
		"closed byte":    {func(f *found) { rewrite(f, "b", func(c *content) *content { return c.write(3, []byte("X")) }) }, false},
		"closed and cut": {func(f *found) { rewrite(f, "b", func(c *content) *content { return c.resize(4) }) }, false},
		"synced zeros":   {func(f *found) { rewrite(f, "c", func(c *content) *content { return c.write(40000, make([]byte, 7)) }) }, false},
		"grown":          {func(f *found) { rewrite(f, "c", func(c *content) *content { return c.resize(50000) }) }, false},
		"unsynced gone":  {func(f *found) { rewrite(f, "c", func(c *content) *content { return c.write(0, make([]byte, 16)) }) }, true},
		"unsynced half":  {func(f *found) { rewrite(f, "c", func(c *content) *content { return c.write(8, make([]byte, 8)) }) }, true},
		"unsynced wrong": {func(f *found) { rewrite(f, "c", func(c *content) *content { return c.write(8, []byte{1}) }) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := recorded(story...)
			f := a.folder()
			test.change(f)
			n := a.history.last()
			if _, _, err := a.history.match(f, n, n, 0); (err == nil) != test.fine {
				t.Errorf("the comparison says: %v", err)
			}
		})
	}
}

// TestMatchOlder finds a folder at each moment of before, but not at one before
// what a sync covers.
func TestMatchOlder(t *testing.T) {
	for n := range len(story) + 1 {
		old, all := recorded(story[:n]...), recorded(story...)
		step, _, err := all.history.match(old.folder(), 0, all.history.last(), 0)
		if err != nil || step < n {
			t.Errorf("as after step %d: found at %d: %v", n, step, err)
		}
		all.history.covered(8)
		if _, _, err := all.history.match(old.folder(), all.history.synced, all.history.last(), 8); (err == nil) != (n >= 8) {
			t.Errorf("with a sync that covers step 8, one as after step %d: %v", n, err)
		}
	}
}

// TestContent compares versions of a file with plain bytes.
func TestContent(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	c, plain := new(content), []byte{}
	for range 300 {
		size := r.IntN(5 * blockSize)
		if r.IntN(2) == 0 {
			c = c.resize(int64(size))
			plain = append(plain, make([]byte, max(0, size-len(plain)))...)[:size]
		} else {
			b := (&actor{r: r}).random(r.IntN(2 * blockSize))
			c = c.write(int64(size), b)
			plain = append(plain, make([]byte, max(0, size+len(b)-len(plain)))...)
			copy(plain[size:], b)
		}
		if string(c.bytes(0, c.size)) != string(plain) || !contentOf(plain).equal(c) {
			t.Fatalf("%d bytes are not as they should be", len(plain))
		}
	}
}

// TestMatchUnreadable: nothing excuses a file that cannot be read.
func TestMatchUnreadable(t *testing.T) {
	for _, name := range []string{"b", "c"} {
		a := recorded(story...)
		a.history.covered(5)
		f, n := a.folder(), a.history.last()
		f.lost[f.names[name].Ino] = "an error"
		if _, _, err := a.history.match(f, n, n, 5); err == nil {
			t.Errorf("%s cannot be read, and nobody minds", name)
		}
	}
}
