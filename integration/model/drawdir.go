package model

import (
	"slices"

	"pgregory.net/rapid"
)

// directories are the operations on directories that are open.
func (m *Machine) directories() map[string]action {
	return map[string]action{
		"readdir": {ReadDir, m.readdir}, "crowd": {Crowd, m.crowd}, "thin": {Thin, m.thin}, "opendir": {Opendir, m.opendir},
		"getdents": {Getdents, m.getdents}, "getdents again": {Getdents, m.getdents}, "seekdir": {Seekdir, m.seekdir},
		"closedir": {Closedir, m.closedir}, "fsyncdir": {Fsyncdir, m.fsyncdir},
	}
}

// stream is a directory that is open, on both under one number, and how far it
// has been read. The two list in orders of their own, so what each has given is
// held against the rules and not against the other.
type stream struct {
	n, by int
	// stays has the names that were there all the time, since the stream was at
	// its beginning; seldom those that were there at some time.
	stays, seldom map[string]bool
	given         [2][]Entry // what test and truth have given so far
	gone          bool       // the directory has been removed
}

func (m *Machine) readdir(t *rapid.T) {
	m.do(t, &Call{Op: ReadDir, By: who(t), Path: m.dirPath(t)})
}

// crowd makes many files in a directory.
func (m *Machine) crowd(t *rapid.T) { m.many(t, Crowd) }

// thin removes some of them.
func (m *Machine) thin(t *rapid.T) { m.many(t, Thin) }

func (m *Machine) many(t *rapid.T, op Op) {
	first := rapid.Int64Range(0, 150).Draw(t, "first")
	m.change(t, &Call{Op: op, By: who(t), Path: m.dirPath(t), Off: first, Len: rapid.Int64Range(1, 150).Draw(t, "how many")})
}

func (m *Machine) opendir(t *rapid.T) {
	if len(m.streams) >= maxStreams {
		m.closeStream(t, 0)
	}
	c := &Call{Op: Opendir, By: who(t), Path: m.dirPath(t), File: m.next()}
	if m.do(t, c).Errno != 0 {
		return
	}
	s := &stream{n: c.File, by: c.By}
	m.streams = append(m.streams, s)
	m.rewind(t, s)
}

// rewind notes what is there when a stream begins.
func (m *Machine) rewind(t *rapid.T, s *stream) {
	s.given = [2][]Entry{}
	s.stays, s.seldom = map[string]bool{}, map[string]bool{}
	r := m.do(t, &Call{Op: Listdir, By: s.by, File: s.n})
	s.gone = r.Errno != 0
	for _, e := range r.Entries {
		s.stays[e.Name], s.seldom[e.Name] = true, true
	}
}

// followStreams notes for every open stream what has come and gone.
func (m *Machine) followStreams(t *rapid.T) {
	for _, s := range m.streams {
		r := m.do(t, &Call{Op: Listdir, By: s.by, File: s.n})
		s.gone = s.gone || r.Errno != 0
		there := map[string]bool{}
		for _, e := range r.Entries {
			there[e.Name], s.seldom[e.Name] = true, true
		}
		for name := range s.stays {
			if !there[name] {
				delete(s.stays, name)
			}
		}
	}
}

// stream draws an open directory; nil if none is, and one is opened instead.
func (m *Machine) stream(t *rapid.T) *stream {
	if len(m.streams) == 0 {
		m.opendir(t)
		return nil
	}
	return m.streams[rapid.IntRange(0, len(m.streams)-1).Draw(t, "stream")]
}

func (m *Machine) getdents(t *rapid.T) {
	s := m.stream(t)
	if s == nil {
		return
	}
	room := rapid.SampledFrom([]int64{300, 1000, 4000, 32 << 10}).Draw(t, "room")
	c := &Call{Op: Getdents, By: s.by, File: s.n, Len: room}
	test, truth := m.both(c)
	if test.Errno != truth.Errno {
		m.fatal(t, "%s: %s, the truth is %s", c, short(test.Errno), short(truth.Errno))
	}
	for i, r := range []*Result{test, truth} {
		if r.Errno == 0 {
			m.give(t, c, s, i, r.Entries)
		}
	}
}

// give holds what a stream gives against the rules: what was there all the time
// comes once, what never was there does not come, and nothing of what stayed
// is missing in the end.
func (m *Machine) give(t *rapid.T, c *Call, s *stream, i int, entries []Entry) {
	side := []string{"it", "the truth"}[i]
	if len(entries) == 0 && !s.gone {
		for name := range s.stays {
			if !slices.ContainsFunc(s.given[i], func(e Entry) bool { return e.Name == name }) {
				m.fatal(t, "%s: %s ends without %q, which was there all the time; it gave %v", c, side, name, s.given[i])
			}
		}
	}
	for _, e := range entries {
		switch again := slices.ContainsFunc(s.given[i], func(g Entry) bool { return g.Name == e.Name }); {
		case e.Name == "." || e.Name == "..":
			continue
		case !s.seldom[e.Name]:
			m.fatal(t, "%s: %s gives %q, which never was there", c, side, e.Name)
		case again && s.stays[e.Name]:
			m.fatal(t, "%s: %s gives %q twice; it gave %v", c, side, e.Name, s.given[i])
		}
		s.given[i] = append(s.given[i], e)
	}
}

// seekdir goes back to the beginning, or to where a stream was after an entry
// that it gave.
func (m *Machine) seekdir(t *rapid.T) {
	s := m.stream(t)
	if s == nil {
		return
	}
	if rapid.Bool().Draw(t, "rewind") {
		m.do(t, &Call{Op: Seekdir, By: s.by, File: s.n})
		m.rewind(t, s)
		return
	}
	part := rapid.Float64Range(0, 1).Draw(t, "part")
	for i, fs := range []FS{m.Test, m.Truth} {
		n := int(part * float64(len(s.given[i])))
		if n == 0 {
			continue
		}
		s.given[i] = s.given[i][:n]
		c := &Call{Op: Seekdir, By: s.by, File: s.n, Off: s.given[i][n-1].Cookie}
		m.Note("%s", c)
		if r := fs.Do(c); r.Errno != 0 {
			m.fatal(t, "%s: %s", c, short(r.Errno))
		}
	}
}

func (m *Machine) fsyncdir(t *rapid.T) {
	if s := m.stream(t); s != nil {
		m.do(t, &Call{Op: Fsyncdir, By: s.by, File: s.n})
	}
}

func (m *Machine) closedir(t *rapid.T) {
	if len(m.streams) > 0 {
		m.closeStream(t, rapid.IntRange(0, len(m.streams)-1).Draw(t, "stream"))
	}
}

func (m *Machine) closeStream(t *rapid.T, i int) {
	s := m.streams[i]
	m.streams = append(m.streams[:i], m.streams[i+1:]...)
	m.do(t, &Call{Op: Closedir, By: s.by, File: s.n})
}

func streamsWithout(list []*stream, by int) (rest []*stream) {
	for _, s := range list {
		if s.by != by {
			rest = append(rest, s)
		}
	}
	return rest
}
