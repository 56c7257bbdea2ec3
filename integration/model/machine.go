package model

import (
	"fmt"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// Machine does the same to two filesystems. It is made for one run of a
// property; its methods are not safe for concurrent use.
type Machine struct {
	Test  FS
	Truth *Folder
	// DirLinks says that both count subdirectories in the links of a directory.
	DirLinks bool
	// FineClock says that the truth's times tell any two changes apart.
	FineClock bool
	// Without are operations that are not drawn.
	Without map[Op]bool

	files     []*handle
	maps      []*handle
	streams   []*stream
	last      int // the last number of an open file
	seed      uint64
	log       []string
	comparing bool                 // so that its calls are not shown
	inodes    map[string]*history  // what is known of each inode of the truth, by Gen
	numbers   map[uint64]string    // the Gen of each number of the filesystem under test
	unsynced  map[string]*unsynced // by Gen
}

// handle is one open file or mapping, open on both under one number.
type handle struct {
	n     int
	by    int
	flags int
	gen   string // of its inode
	off   int64  // of a mapping: where in the file it begins
	len   int64  // of a mapping
}

// What is open at a time, at most, and how many processes there are.
const (
	maxFiles   = 6
	maxMaps    = 2
	maxStreams = 2
	processes  = 3
)

// NewMachine compares test with truth.
func NewMachine(test FS, truth *Folder, dirLinks bool) *Machine {
	return &Machine{Test: test, Truth: truth, DirLinks: dirLinks, inodes: map[string]*history{}, numbers: map[uint64]string{}, unsynced: map[string]*unsynced{}}
}

// Actions are the operations, for rapid's Repeat.
func (m *Machine) Actions() map[string]func(*rapid.T) {
	actions := map[string]func(*rapid.T){}
	for _, theme := range []map[string]action{m.names(), m.attributes(), m.lists(), m.contents(), m.space(), m.mappings(), m.directories()} {
		for name, a := range theme {
			if m.can(a.needs) {
				actions[name] = a.do
			}
		}
	}
	return actions
}

// action is one operation, and what both filesystems need for it.
type action struct {
	needs Op
	do    func(*rapid.T)
}

func (m *Machine) can(op Op) bool {
	return m.Test.Can(op) && m.Truth.Can(op) && !m.Without[op]
}

// do does a call on both, fails if they do not agree, and returns what the
// truth says.
func (m *Machine) do(t *rapid.T, c *Call) *Result {
	test, truth := m.both(c)
	if !m.agree(c, test, truth) {
		m.fatal(t, "%s\n  gives  %s\n  truth  %s", c, show(test), show(truth))
	}
	if truth.Errno == 0 && (c.Op == Lstat || c.Op == Lookup || c.Op == Fstat) {
		m.compareStat(t, c, &test.Stat, &truth.Stat)
	}
	return truth
}

// both does a call on both and notes it.
func (m *Machine) both(c *Call) (test, truth *Result) {
	m.noteChange(c)
	truth = m.Truth.Do(c)
	test = m.Test.Do(c)
	m.noteDone(c, truth)
	if c.Op != Lstat && c.Op != Fstat && c.Op != Listdir && !m.comparing {
		m.Note("%s: %s", c, short(truth.Errno))
	}
	return test, truth
}

func short(no syscall.Errno) string {
	if no == 0 {
		return "ok"
	}
	return unix.ErrnoName(no)
}

// show is a result in one line, its bytes cut.
func show(r *Result) string {
	if r.Errno != 0 {
		return short(r.Errno)
	}
	return fmt.Sprintf("ok n=%d %d bytes [% x] %+v %v %q", r.N, len(r.Data), r.Data[:min(len(r.Data), 16)], r.Stat, r.Entries, r.Names)
}

// fatal ends the run and shows the operations that led there.
func (m *Machine) fatal(t *rapid.T, format string, args ...any) {
	t.Helper()
	t.Fatalf("%s\nafter:\n%s", fmt.Sprintf(format, args...), strings.Join(m.log, "\n"))
}

// Note adds a line to what is shown when the run fails.
func (m *Machine) Note(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf(format, args...))
}

// next is the number of a file that is about to be opened.
func (m *Machine) next() int {
	m.last++
	return m.last
}

// data is the seed of bytes that nothing else has.
func (m *Machine) data() uint64 {
	m.seed++
	return m.seed
}

// who draws a process.
func who(t *rapid.T) int { return rapid.IntRange(0, processes-1).Draw(t, "by") }

// look compares what both say of paths and of the directories they are in, and
// of whatever is open.
func (m *Machine) look(t *rapid.T, by int, paths ...string) {
	for _, p := range paths {
		m.do(t, &Call{Op: Lstat, By: by, Path: p})
		if p != "" {
			m.do(t, &Call{Op: Lstat, By: by, Path: parent(p)})
		}
	}
	m.lookOpen(t)
}

// lookOpen compares what both say of whatever is open.
func (m *Machine) lookOpen(t *rapid.T) {
	for _, h := range m.files {
		m.do(t, &Call{Op: Fstat, By: h.by, File: h.n})
	}
	m.followStreams(t)
}

func parent(p string) string {
	if dir := path.Dir(p); dir != "." {
		return dir
	}
	return ""
}

// CloseAll closes everything that is open.
func (m *Machine) CloseAll(t *rapid.T) {
	for len(m.maps) > 0 {
		m.unmapAt(t, 0)
	}
	for len(m.files) > 0 {
		m.closeAt(t, 0)
	}
	for len(m.streams) > 0 {
		m.closeStream(t, 0)
	}
}

// Forget ends all processes of both: what was open in the filesystem under test
// may have died with its daemon.
func (m *Machine) Forget() {
	for by := range processes {
		m.Truth.Do(&Call{Op: Exit, By: by})
		m.Test.Do(&Call{Op: Exit, By: by})
	}
	m.files, m.maps, m.streams = nil, nil, nil
}

// SyncAll syncs everything that is open.
func (m *Machine) SyncAll(t *rapid.T) {
	for i := range m.maps {
		m.msyncAt(t, i)
	}
	for _, h := range m.files {
		m.do(t, &Call{Op: Fsync, By: h.by, File: h.n})
	}
}

// exit ends a process without a word to it.
func (m *Machine) exit(t *rapid.T) {
	by := who(t)
	for i, h := range m.maps {
		if h.by == by {
			m.msyncAt(t, i) // what is only in a mapping arrives when the kernel likes
		}
	}
	m.do(t, &Call{Op: Exit, By: by})
	for _, h := range m.files {
		if h.by == by {
			m.safe(h)
		}
	}
	m.files = without(m.files, by)
	m.maps = without(m.maps, by)
	m.streams = streamsWithout(m.streams, by)
	m.lookOpen(t)
}

func without(list []*handle, by int) (rest []*handle) {
	for _, h := range list {
		if h.by != by {
			rest = append(rest, h)
		}
	}
	return rest
}
