package tree

import (
	"bytes"
	"fmt"
	"slices"
)

// kid is a child of an inner node that is being built.
type kid struct {
	sep   []byte // above every key before it, not above any in it
	ptr   Pointer
	count uint64
	size  int // of its entry, by the link of now
	from  *origin
}

// origin is the old inner node that a kid came from unchanged. If all of a new node's kids came from one, and none of
// its is missing, then the old node serves again.
type origin struct {
	self kid
	n    int
}

// leafBuild holds the entries that the next leaf begins with.
type leafBuild struct {
	b    []byte // entries as they are in a node
	ends []int
}

func (l *leafBuild) add(key, value []byte) {
	l.b = append(l.b, byte(len(key)), byte(len(key)>>8))
	l.b = append(append(l.b, key...), value...)
	l.ends = append(l.ends, len(l.b))
}

func (l *leafBuild) start(i int) int {
	if i == 0 {
		return 0
	}
	return l.ends[i-1]
}

func (l *leafBuild) key(i int) []byte {
	e := l.b[l.start(i):l.ends[i]]
	return e[2 : 2+int(e[0])+int(e[1])<<8]
}

// drop forgets the first m entries.
func (l *leafBuild) drop(m int) {
	cut := l.start(m)
	l.b = l.b[:copy(l.b, l.b[cut:])]
	l.ends = l.ends[:copy(l.ends, l.ends[m:])]
	for i := range l.ends {
		l.ends[i] -= cut
	}
}

// innerBuild holds the children that the next inner node of a level begins with.
type innerBuild struct {
	kids  []kid
	size  int  // sum of the kids'
	whole bool // all kids came from one old node, in whose place a node of them may be left
}

// recount brings size and whole up to date after kids changed other than by a push.
func (in *innerBuild) recount() {
	in.size = 0
	in.whole = len(in.kids) > 0 && in.kids[0].from != nil
	for i := range in.kids {
		in.size += in.kids[i].size
		in.whole = in.whole && in.kids[i].from == in.kids[0].from
	}
}

func (f *fold) inner(level int) *innerBuild {
	for len(f.inners) < level {
		f.inners = append(f.inners, &innerBuild{})
	}
	return f.inners[level-1]
}

// pending returns how many entries wait at a level, and how many bytes a node of them would have.
func (f *fold) pending(level int) (n, size int) {
	if level == 0 {
		return len(f.leaf.ends), headSize + 2*len(f.leaf.ends) + len(f.leaf.b)
	}
	if level > len(f.inners) {
		return 0, headSize
	}
	in := f.inners[level-1]
	return len(in.kids), headSize + in.size
}

// above says whether anything waits above a level.
func (f *fold) above(level int) bool {
	for l := level + 1; l <= len(f.inners); l++ {
		if len(f.inners[l-1].kids) > 0 {
			return true
		}
	}
	return false
}

// least is how many entries a node of a level needs.
func least(level int) int {
	if level == 0 {
		return 1
	}
	return 2
}

// underfull says whether what waits at a level is too little for a node that is not the root.
func (f *fold) underfull(level int) bool {
	n, size := f.pending(level)
	return n > 0 && (size < f.s.target/4 || n < least(level))
}

// add appends an entry to the leaves.
func (f *fold) add(key, value []byte) error {
	f.leaf.add(key, value)
	return f.overflow(0)
}

// push appends a child to the inner nodes of a level.
func (f *fold) push(level int, k kid) error {
	k.size = f.kidSize(&k)
	in := f.inner(level)
	if o := in.oldNode(); o != nil && k.from != o && !f.underfull(level) {
		if err := f.flush(level); err != nil {
			return err
		}
	}
	in.whole = k.from != nil && (len(in.kids) == 0 || in.whole && k.from == in.kids[0].from)
	in.kids = append(in.kids, k)
	in.size += k.size
	if in.whole { // links may be longer than they were in the old node, so that this may be more than a node's worth
		return nil
	}
	return f.overflow(level)
}

func (f *fold) kidSize(k *kid) int { return 4 + len(k.sep) + countSize + len(f.s.nodes.Link(k.ptr)) }

// measure asks for the links again: they change with the place where their parent goes.
func (f *fold) measure(level int) {
	if level == 0 {
		return
	}
	in := f.inner(level)
	for i := range in.kids {
		in.kids[i].size = f.kidSize(&in.kids[i])
	}
	in.recount()
}

// overflow writes full nodes while what waits is more than a node and the least of another.
func (f *fold) overflow(level int) error {
	for {
		n, size := f.pending(level)
		if size <= f.s.target+f.s.target/4 || n < 2*least(level) {
			return nil
		}
		f.measure(level)
		if err := f.emit(level, f.cut(level, f.s.target)); err != nil {
			return err
		}
	}
}

// flush writes all that waits at a level: as one node, or as two of equal size rather than a full and a small one.
func (f *fold) flush(level int) error {
	for {
		f.measure(level)
		n, size := f.pending(level)
		switch {
		case n == 0:
			return nil
		case level > 0 && f.inners[level-1].oldNode() != nil:
		case size > 2*f.s.target && n >= 2*least(level):
			n = f.cut(level, f.s.target)
		case size > f.s.target && n >= 2*least(level):
			n = f.half(level, size)
		}
		if err := f.emit(level, n); err != nil {
			return err
		}
	}
}

// cut returns how many of the entries that wait make a node of up to limit bytes, such that enough are in and after it.
func (f *fold) cut(level, limit int) int {
	n, _ := f.pending(level)
	m, size := 0, headSize
	for ; m < n; m++ {
		if size += f.entrySize(level, m); size > limit {
			break
		}
	}
	return max(least(level), min(m, n-least(level)))
}

// half returns how many of the entries that wait, which make a node of size bytes, are nearest to its half.
func (f *fold) half(level, size int) int {
	n, _ := f.pending(level)
	m, sum := 0, headSize
	for ; m < n; m++ {
		e := f.entrySize(level, m)
		if sum+e/2 > size/2 {
			break
		}
		sum += e
	}
	return max(least(level), min(m, n-least(level)))
}

// entrySize is what entry i of those that wait takes in a node.
func (f *fold) entrySize(level, i int) int {
	if level == 0 {
		return 2 + f.leaf.ends[i] - f.leaf.start(i)
	}
	return f.inners[level-1].kids[i].size
}

// emit writes the first m entries of a level as a node and pushes it to the level above.
func (f *fold) emit(level, m int) error {
	if level == 0 {
		return f.emitLeaf(m)
	}
	return f.emitInner(level, m)
}

func (f *fold) emitLeaf(m int) error {
	l := &f.leaf
	e := newEncoder(0, m, headSize+2*m+l.ends[m-1])
	for i := range m {
		e.raw(l.b[l.start(i):l.ends[i]])
	}
	k := kid{sep: f.bound, count: uint64(m)}
	if m < len(l.ends) {
		f.bound = separator(l.key(m-1), l.key(m))
	}
	l.drop(m)
	return f.put(0, e.finish(), k)
}

func (f *fold) emitInner(level, m int) error {
	in := f.inners[level-1]
	kids := in.kids[:m]
	k := kid{sep: kids[0].sep}
	size := headSize
	for i := range kids {
		k.count += kids[i].count
		size += kids[i].size
	}
	o := in.oldNode()
	if m < len(in.kids) {
		o = nil
	}
	var b []byte
	if o == nil {
		var err error
		if b, err = f.encodeInner(level, kids, size); err != nil {
			return err
		}
	}
	in.kids = slices.Delete(in.kids, 0, m)
	in.recount()
	if o != nil {
		k.ptr, k.from = o.self.ptr, o.self.from
		return f.push(level+1, k)
	}
	return f.put(level, b, k)
}

// oldNode returns the old node that has exactly the kids that wait, if there is one.
func (in *innerBuild) oldNode() *origin {
	if !in.whole || in.kids[0].from.n != len(in.kids) {
		return nil
	}
	return in.kids[0].from
}

func (f *fold) encodeInner(level int, kids []kid, size int) ([]byte, error) {
	e := newEncoder(level, len(kids), size)
	for i := range kids {
		link := f.s.nodes.Link(kids[i].ptr)
		if len(link) == 0 || len(link) > MaxLink {
			return nil, fmt.Errorf("%w: a link of %d bytes", ErrLimit, len(link))
		}
		e.kid(kids[i].sep, kids[i].count, link)
	}
	return e.finish(), nil
}

// put writes a node and pushes it, as k, to the level above. The bytes pass the reader's check first: a mistake, here or
// in the order of old nodes, must not become a tree that cannot be read.
func (f *fold) put(level int, b []byte, k kid) error {
	n, err := parse(nil, b)
	if err != nil {
		return fmt.Errorf("build a node: %w", err)
	}
	if n.at, err = f.s.nodes.Put(f.ctx, level == 0, b); err != nil {
		return fmt.Errorf("put a tree node of level %d: %w", level, err)
	}
	f.s.cache.put(n)
	k.ptr = n.at
	return f.push(level+1, k)
}

// separator returns the shortest key that is above prev and not above key, which is above prev.
func separator(prev, key []byte) []byte {
	i := 0
	for i < len(prev) && prev[i] == key[i] {
		i++
	}
	return bytes.Clone(key[:i+1])
}
