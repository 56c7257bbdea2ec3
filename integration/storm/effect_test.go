package storm

import (
	"maps"
	"strings"
	"syscall"
)

// acks says whether the return of a call acknowledges all bytes of its file.
func (c *call) acks() bool {
	switch c.Op {
	case "close", "fsync", "fdatasync", "truncate", "store":
		return true
	}
	return false
}

// syncs says whether a call is an fsync.
func (c *call) syncs() bool { return c.Op == "fsync" || c.Op == "fdatasync" || c.Op == "store" }

// all is how much a call is meant to write.
func (c *call) all() int64 {
	if c.Op == "copyrange" {
		return c.Len
	}
	return int64(len(c.Data))
}

// target is the file that a call is about.
func (a *actor) target(c *call) int {
	if h, ok := a.handles[c.Handle]; ok && c.Name == "" {
		return h.id
	}
	id, _ := a.history.now().named(c.Name)
	return id
}

// note adds the state after a call that wrote so many bytes. A call that failed
// is noted with a mark: it may have done its work, or not.
func (a *actor) note(c *call, n int64, mark string) {
	h, what := a.history, c.String()+mark
	if hd, ok := a.handles[c.Handle]; ok && c.Name == "" {
		what = c.Op + " (" + hd.name + ")" + strings.TrimPrefix(c.String(), c.Op) + mark
	}
	now := h.now()
	id := a.target(c)
	f := now.files[id]
	content := func(v *content) {
		changed := *f
		changed.content = v
		now = now.with(id, &changed)
	}
	switch c.Op {
	case "open":
		now = a.opened(c, now)
	case "write", "store":
		content(f.content.write(c.Off, c.Data[:n]))
	case "append":
		content(f.content.write(f.content.size, c.Data[:n]))
	case "ftruncate", "truncate":
		content(f.content.resize(c.Len))
	case "copyrange":
		from := now.files[a.handles[c.Source].id].content
		content(f.content.write(c.Off, from.bytes(c.From, n)))
	case "mkdir":
		now = made(h, now, c.Name, &file{kind: 'd'})
	case "symlink":
		now = made(h, now, c.Name, &file{kind: 'l', target: c.To})
	case "rmdir", "unlink":
		now = now.renamed(func(names map[string]int) { delete(names, c.Name) })
	case "link":
		now = now.renamed(func(names map[string]int) { names[c.To] = id })
	case "rename":
		now = now.renamed(func(names map[string]int) { move(names, c.Name, c.To) })
	case "exchange":
		now = now.renamed(func(names map[string]int) {
			move(names, c.Name, "\x00")
			move(names, c.To, c.Name)
			move(names, "\x00", c.To)
		})
	}
	h.add(what, now)
}

// opened is the state after an open, which may make or empty the file.
func (a *actor) opened(c *call, now *state) *state {
	id, f := now.named(c.Name)
	switch {
	case f == nil:
		id = a.history.newID()
		f = &file{kind: 'f', content: new(content)}
		now = now.with(id, f).renamed(func(names map[string]int) { names[c.Name] = id })
	case c.Flags&syscall.O_TRUNC != 0 && f.content.size > 0:
		emptied := *f
		emptied.content = new(content)
		now = now.with(id, &emptied)
	}
	a.handles[c.Handle] = &handle{id: id, name: c.Name, append: c.Flags&syscall.O_APPEND != 0}
	return now
}

func made(h *history, now *state, name string, f *file) *state {
	id := h.newID()
	return now.with(id, f).renamed(func(names map[string]int) { names[name] = id })
}

// move renames a name and, if it is a folder, all below it. What the new name
// named before is replaced.
func move(names map[string]int, from, to string) {
	if id, ok := names[from]; ok {
		delete(names, from)
		names[to] = id
	}
	below := map[string]int{}
	for name, id := range names {
		if rest, ok := strings.CutPrefix(name, from+"/"); ok {
			delete(names, name)
			below[to+"/"+rest] = id
		}
	}
	maps.Copy(names, below)
}
