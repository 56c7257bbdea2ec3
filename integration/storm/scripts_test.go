package storm

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Limits of what one actor has in its folder, so that a storm stays small.
const (
	mostNames = 48
	mostBytes = 24 << 20
)

// script is something that programs do: a few calls. It ends early when one of
// them fails.
type script struct {
	weight int
	run    func(a *actor)
}

var scripts = []script{
	{14, (*actor).writeSmall},
	{3, (*actor).writeBig},
	{8, (*actor).replace},
	{10, (*actor).appendSome},
	{8, (*actor).overwrite},
	{5, (*actor).cut},
	{6, (*actor).rename},
	{3, (*actor).exchange},
	{4, (*actor).link},
	{3, (*actor).symlink},
	{5, (*actor).unlink},
	{3, (*actor).mkdir},
	{2, (*actor).renameFolder},
	{4, (*actor).clone},
	{4, (*actor).storeMapped},
	{3, (*actor).unlinkedOpen},
	{8, (*actor).compare},
}

// work runs scripts until the context ends or a call fails.
func (a *actor) work(ctx context.Context) {
	sum := 0
	for _, s := range scripts {
		sum += s.weight
	}
	for ctx.Err() == nil && a.failed == nil {
		a.tidy()
		n := a.r.IntN(sum)
		for _, s := range scripts {
			if n -= s.weight; n < 0 {
				s.run(a)
				break
			}
		}
	}
}

// finish closes what is open, so that all that was done is acknowledged.
func (a *actor) finish() {
	for h := range a.handles {
		a.do(call{Op: "close", Handle: h})
	}
}

// tidy removes files while there are too many names or bytes.
func (a *actor) tidy() {
	for a.failed == nil {
		var bytes int64
		names := a.files()
		for _, name := range names {
			_, f := a.history.now().named(name)
			bytes += f.content.size
		}
		if len(a.history.now().names) <= mostNames && bytes <= mostBytes || len(names) == 0 {
			return
		}
		a.do(call{Op: "unlink", Name: a.pick(names)})
	}
}

// files lists the names of files, in order, for the choice must come from the
// seed alone.
func (a *actor) files() []string { return a.namesOf('f') }

func (a *actor) namesOf(kind byte) (list []string) {
	s := a.history.now()
	for name, id := range s.names {
		if s.files[id].kind == kind {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

func (a *actor) pick(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[a.r.IntN(len(names))]
}

// fresh is a name that never was, in some folder.
func (a *actor) fresh(kind string) string {
	a.made++
	return path.Join(a.pick(append(a.namesOf('d'), "")), fmt.Sprintf("%s%d", kind, a.made))
}

// random is content: like no other, or such that compresses, or with zeros.
func (a *actor) random(n int) []byte {
	b := make([]byte, n)
	kind := a.r.IntN(4)
	for i := 0; i < n; i += 8 {
		v := a.r.Uint64()
		switch kind {
		case 0:
			v &= 0x0f0f
		case 1:
			if i>>12&1 == 1 {
				v = 0
			}
		}
		for j := i; j < min(i+8, n); j++ {
			b[j] = byte(v)
			v >>= 8
		}
	}
	return b
}

// length is a size as they are: mostly small.
func (a *actor) length() int {
	switch a.r.IntN(8) {
	case 0:
		return a.r.IntN(400 << 10)
	case 1, 2:
		return a.r.IntN(40 << 10)
	}
	return a.r.IntN(5 << 10)
}

func (a *actor) open(name string, flags int) int {
	a.next++
	if !a.do(call{Op: "open", Name: name, Flags: flags, Handle: a.next}) {
		return 0
	}
	return a.next
}

func (a *actor) writeSmall() {
	name := a.fresh("small")
	if names := a.files(); len(names) > 0 && a.r.IntN(4) == 0 {
		name = a.pick(names) // emptied and written again
	}
	h := a.open(name, syscall.O_CREAT|syscall.O_TRUNC|syscall.O_WRONLY)
	a.do(call{Op: "write", Handle: h, Data: a.random(a.length())})
	if a.r.IntN(4) == 0 {
		a.do(call{Op: "fsync", Handle: h})
	}
	a.do(call{Op: "close", Handle: h})
}

func (a *actor) writeBig() {
	h := a.open(a.fresh("big"), syscall.O_CREAT|syscall.O_WRONLY)
	size := int64(1<<20 + a.r.IntN(6<<20))
	var off int64
	for off < size && a.failed == nil {
		b := a.random(32<<10 + a.r.IntN(900<<10))
		a.do(call{Op: "write", Handle: h, Off: off, Data: b})
		off += int64(len(b))
		if a.r.IntN(12) == 0 {
			a.do(call{Op: "fdatasync", Handle: h})
		}
	}
	a.do(call{Op: "close", Handle: h})
}

// replace is how editors save: a new file, synced, renamed over the old one.
func (a *actor) replace() {
	old := a.pick(a.files())
	if old == "" {
		return
	}
	tmp := a.fresh("tmp") // not a name made from the old one: a kill may have left that behind
	h := a.open(tmp, syscall.O_CREAT|syscall.O_EXCL|syscall.O_WRONLY)
	a.do(call{Op: "write", Handle: h, Data: a.random(a.length())})
	if a.r.IntN(2) == 0 {
		a.do(call{Op: "fsync", Handle: h})
	}
	a.do(call{Op: "close", Handle: h})
	a.do(call{Op: "rename", Name: tmp, To: old})
}

// appendSome appends to a log that stays open for a while.
func (a *actor) appendSome() {
	h := 0
	for n, open := range a.handles {
		if open.append {
			h = n
		}
	}
	if h == 0 {
		name := a.pick(slices.DeleteFunc(a.files(), func(n string) bool { return !strings.Contains(n, "log") }))
		if name == "" || a.r.IntN(3) == 0 {
			name = a.fresh("log")
		}
		h = a.open(name, syscall.O_CREAT|syscall.O_APPEND|syscall.O_WRONLY)
	}
	for range 1 + a.r.IntN(6) {
		a.do(call{Op: "append", Handle: h, Data: a.random(1 + a.r.IntN(3000))})
		if a.r.IntN(3) == 0 {
			a.do(call{Op: "fdatasync", Handle: h})
		}
	}
	if a.r.IntN(6) == 0 {
		a.do(call{Op: "close", Handle: h})
	}
}

func (a *actor) overwrite() {
	name := a.pick(a.files())
	if name == "" {
		return
	}
	_, f := a.history.now().named(name)
	h := a.open(name, syscall.O_RDWR)
	for range 1 + a.r.IntN(4) {
		off := a.r.Int64N(f.content.size + 5000)
		a.do(call{Op: "write", Handle: h, Off: off, Data: a.random(1 + a.r.IntN(9000))})
	}
	if a.r.IntN(3) == 0 {
		a.do(call{Op: "fsync", Handle: h})
	}
	a.do(call{Op: "close", Handle: h})
}

func (a *actor) cut() {
	name := a.pick(a.files())
	if name == "" {
		return
	}
	_, f := a.history.now().named(name)
	size := a.r.Int64N(f.content.size + 3000)
	if a.r.IntN(2) == 0 {
		a.do(call{Op: "truncate", Name: name, Len: size})
		return
	}
	h := a.open(name, syscall.O_RDWR)
	a.do(call{Op: "ftruncate", Handle: h, Len: size})
	a.do(call{Op: "write", Handle: h, Off: size / 2, Data: a.random(1 + a.r.IntN(2000))})
	a.do(call{Op: "close", Handle: h})
}

// unlinkedOpen writes to a file whose last name is gone.
func (a *actor) unlinkedOpen() {
	name := a.fresh("gone")
	h := a.open(name, syscall.O_CREAT|syscall.O_RDWR)
	a.do(call{Op: "write", Handle: h, Data: a.random(a.length())})
	a.do(call{Op: "unlink", Name: name})
	a.do(call{Op: "write", Handle: h, Off: 100, Data: a.random(a.length())})
	a.do(call{Op: "close", Handle: h})
}

func (a *actor) clone() {
	from := a.pick(a.files())
	if from == "" {
		return
	}
	_, f := a.history.now().named(from)
	src := a.open(from, syscall.O_RDONLY)
	dst := a.open(a.fresh("clone"), syscall.O_CREAT|syscall.O_RDWR)
	if n := f.content.size; n > 0 {
		a.do(call{Op: "copyrange", Source: src, Handle: dst, Len: n})
		a.do(call{Op: "write", Handle: dst, Off: a.r.Int64N(n), Data: a.random(500)})
	}
	a.do(call{Op: "close", Handle: dst})
	a.do(call{Op: "close", Handle: src})
}

func (a *actor) storeMapped() {
	name := a.pick(a.files())
	if name == "" {
		return
	}
	_, f := a.history.now().named(name)
	n := f.content.size
	if n == 0 {
		return
	}
	off := a.r.Int64N(n)
	a.do(call{Op: "store", Name: name, Off: off, Data: a.random(int(min(n-off, 20000)))})
}

// compare reads a file: it must be what it is, at any time.
func (a *actor) compare() {
	name := a.pick(a.files())
	if name == "" || a.failed != nil {
		return
	}
	got, err := a.ask(&call{Op: "read", Name: name})
	if err == nil {
		err = got.err()
	}
	if err != nil {
		a.failed = fmt.Errorf("read %s: %w", name, err)
		return
	}
	_, f := a.history.now().named(name)
	if err := fits(contentOf(got.Data), []*content{f.content}); err != nil {
		a.failed = fmt.Errorf("%w: %s: %w\n%s", errWrong, name, err, a.history.tail(name, 12))
	}
}
