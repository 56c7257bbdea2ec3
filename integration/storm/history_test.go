package storm

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// file is one inode in one state of a history.
type file struct {
	kind    byte     // 'f' a file, 'd' a folder, 'l' a symbolic link
	content *content // of a file
	target  string   // of a link
	acked   int      // the step whose return acknowledged all bytes of before
}

// state is a folder at one moment: names, relative to it, and what they name.
// States share what did not change.
type state struct {
	names map[string]int
	files map[int]*file
}

func newState() *state { return &state{names: map[string]int{}, files: map[int]*file{}} }

func (s *state) named(name string) (int, *file) {
	id, ok := s.names[name]
	if !ok {
		return 0, nil
	}
	return id, s.files[id]
}

// renamed is a state with other names.
func (s *state) renamed(change func(names map[string]int)) *state {
	names := maps.Clone(s.names)
	change(names)
	return &state{names: names, files: s.files}
}

// with is a state in which one file is another version.
func (s *state) with(id int, f *file) *state {
	files := maps.Clone(s.files)
	files[id] = f
	return &state{names: s.names, files: files}
}

// history is what one process did in its folder: the state after each step.
type history struct {
	first  int      // the number of states[0]
	states []*state // at least one
	calls  []string // what led to each
	synced int      // the step that the last sync covers
	nextID int
}

func newHistory() *history {
	return &history{states: []*state{newState()}, calls: []string{"nothing"}}
}

func (h *history) last() int          { return h.first + len(h.states) - 1 }
func (h *history) now() *state        { return h.states[len(h.states)-1] }
func (h *history) state(n int) *state { return h.states[n-h.first] }

func (h *history) newID() int { h.nextID++; return h.nextID }

// add notes a step that led to a state.
func (h *history) add(what string, s *state) {
	h.states, h.calls = append(h.states, s), append(h.calls, what)
}

// ack notes that the bytes of a file are acknowledged with the last step.
func (h *history) ack(id int) {
	s := h.now()
	f, ok := s.files[id]
	if !ok {
		return
	}
	acked := *f
	acked.acked = h.last()
	h.states[len(h.states)-1] = s.with(id, &acked)
}

// covered notes that a sync that was begun after a step has returned.
func (h *history) covered(step int) {
	h.synced = step
	if n := step - h.first; n > 0 {
		h.states, h.calls, h.first = slices.Clone(h.states[n:]), slices.Clone(h.calls[n:]), step
	}
}

// adopt notes what was found after a fault: the names of a state that was
// possible, and the bytes that its files turned out to have. That all is kept
// for good from here on is the promise.
func (h *history) adopt(what string, possible int, found map[int]*content) {
	s := h.state(possible)
	files := map[int]*file{}
	for _, id := range s.names {
		f := *s.files[id]
		if f.kind == 'f' {
			f.content = found[id]
		}
		f.acked = h.last() + 1
		files[id] = &f
	}
	h.add(what, &state{names: s.names, files: files})
}

// restart forgets all but the newest state: it is on peers.
func (h *history) restart() { h.covered(h.last()) }

// versions are those that a file's content may be made of, if the folder is as
// at step n: from its last acknowledgement, but not from before a floor, to
// step n and the one that may have been under way.
func (h *history) versions(id, n, floor int) (list []*content) {
	from := max(h.state(n).files[id].acked, floor, h.first)
	for i := from; i <= min(n+1, h.last()); i++ {
		f, ok := h.state(i).files[id]
		if !ok || f.content == nil {
			continue
		}
		if k := len(list); k == 0 || list[k-1] != f.content {
			list = append(list, f.content)
		}
	}
	return list
}

// tail prints the last steps, those that concern a name first.
func (h *history) tail(name string, most int) string {
	var b strings.Builder
	shown := 0
	for i := len(h.calls) - 1; i >= 0 && shown < most; i-- {
		if name == "" || strings.Contains(h.calls[i], name) {
			fmt.Fprintf(&b, "    %d: %s\n", h.first+i, h.calls[i])
			shown++
		}
	}
	return b.String()
}
