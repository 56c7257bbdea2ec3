package meta

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta/tree"
)

// source is one level in a merge: a generation or the tree.
type source struct {
	it   *pebble.Iterator
	tr   *tree.Iter
	key  []byte
	ok   bool
	hide func(rk []byte) bool // what this level hides in those below; nil: nothing
}

func (s *source) first() {
	if s.it != nil {
		s.ok = s.it.First()
		s.load()
		return
	}
	s.next()
}

func (s *source) next() {
	if s.it != nil {
		s.ok = s.it.Next()
	} else {
		s.ok = s.tr.Next()
	}
	s.load()
}

func (s *source) load() {
	switch {
	case !s.ok:
		s.key = nil
	case s.it != nil:
		s.key = s.it.Key()[spacePrefix:]
	default:
		s.key = s.tr.Key()
	}
}

func (s *source) close() error {
	if s.it != nil {
		return errors.Join(s.it.Error(), s.it.Close())
	}
	return s.tr.Err()
}

// errStop ends a scan early and is not an error.
var errStop = errors.New("stop")

// scan calls fn for each record of the merged view in [from, to), as of one moment. one is the inode that the range lies
// in, or 0 for a range over many. The slices are valid during the call.
func (d *DB) scan(ctx context.Context, space byte, from, to []byte, one uint64, fn func(rk, v []byte) error) error {
	sources, err := d.open(ctx, space, from, to, one)
	if err == nil {
		err = d.merge(ctx, sources, to, func(s *source) error {
			v, ok, err := d.valueOf(ctx, s)
			if err != nil || !ok {
				return err
			}
			return fn(s.key, v)
		})
	}
	for i := range sources {
		err = errors.Join(err, sources[i].close())
	}
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// open opens iterators on all levels. If the levels changed meanwhile it begins again; once open they stay as they are.
func (d *DB) open(ctx context.Context, space byte, from, to []byte, one uint64) ([]source, error) {
	for {
		lv := d.levels.Load()
		if lv.pending {
			return nil, ErrNotReady
		}
		sources, err := d.openAt(ctx, lv, space, from, to, one)
		if err != nil || d.levels.Load() == lv {
			return sources, err
		}
		for i := range sources {
			_ = sources[i].close()
		}
	}
}

func (d *DB) openAt(ctx context.Context, lv *levels, space byte, from, to []byte, one uint64) (list []source, err error) {
	for _, g := range lv.overlays() {
		s, err := d.openGeneration(ctx, g, space, from, to, one)
		if err != nil {
			return list, err
		}
		list = append(list, s)
	}
	root, store := lv.names, d.names
	if space == spaceTable {
		root, store = lv.table, d.table
	}
	if root.Height > 0 {
		list = append(list, source{tr: store.Seek(ctx, root, from)})
	}
	return list, nil
}

func (d *DB) openGeneration(ctx context.Context, g *generation, space byte, from, to []byte, one uint64) (source, error) {
	g.mu.RLock() // the iterator and the marks are of one moment
	defer g.mu.RUnlock()
	prefix := appendSpace(nil, space, g.num)
	upper := keyEnd(prefix)
	if to != nil {
		upper = append(prefix[:spacePrefix:spacePrefix], to...)
	}
	it, err := d.pebble.NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound: append(prefix[:spacePrefix:spacePrefix], from...), UpperBound: upper,
	})
	if err != nil {
		return source{}, fmt.Errorf("read overlay: %w", err)
	}
	s := source{it: it}
	if space != spaceNames || len(g.marks) == 0 {
		return s, nil
	}
	if one != 0 {
		if m, ok := g.marks[one]; ok {
			s.hide = m.hides
		}
		return s, nil
	}
	marks := make(map[uint64]mark, len(g.marks))
	for ino, m := range g.marks {
		marks[ino] = m
	}
	s.hide = func(rk []byte) bool { m, ok := marks[keyIno(rk)]; return ok && m.hides(rk) }
	return s, nil
}

// merge calls visit with the source of each key that no level above hides; it may hold a deletion.
func (d *DB) merge(ctx context.Context, sources []source, to []byte, visit func(*source) error) error {
	for i := range sources {
		sources[i].first()
	}
	for n := 0; ; n++ {
		if n%1024 == 1023 && ctx.Err() != nil {
			return ctx.Err()
		}
		top := smallest(sources)
		if top < 0 || (to != nil && bytes.Compare(sources[top].key, to) >= 0) {
			return nil
		}
		if !hidden(sources, top) {
			if err := visit(&sources[top]); err != nil {
				return err
			}
		}
		for i := len(sources) - 1; i > top; i-- { // top last: its key is what the others are compared with
			if sources[i].ok && bytes.Equal(sources[i].key, sources[top].key) {
				sources[i].next()
			}
		}
		sources[top].next()
	}
}

// smallest returns the source with the smallest key, the highest level if several have it; -1 at the end.
func smallest(sources []source) int {
	top := -1
	for i := range sources {
		if sources[i].ok && (top < 0 || bytes.Compare(sources[i].key, sources[top].key) < 0) {
			top = i
		}
	}
	return top
}

// hidden says whether a level above hides the record at sources[top].
func hidden(sources []source, top int) bool {
	for i := range top {
		if sources[i].hide != nil && sources[i].hide(sources[top].key) {
			return true
		}
	}
	return false
}

// valueOf returns the value of the record that a source is at; ok is false for a deletion.
func (d *DB) valueOf(ctx context.Context, s *source) (v []byte, ok bool, err error) {
	if s.it != nil {
		return d.openValue(s.it.Key(), s.it.Value())
	}
	if len(s.key) == 8 { // a stripe: never out of line
		return s.tr.Value(), true, nil
	}
	v, err = d.inline(ctx, append([]byte(nil), s.tr.Value()...), 0)
	if err != nil {
		return nil, false, fmt.Errorf("inode %d: %w", keyIno(s.key), err)
	}
	return v, true, nil
}

// scanKind scans the records of one kind of one inode.
func (d *DB) scanKind(ctx context.Context, ino uint64, k Kind, fn func(rk, v []byte) error) error {
	from := appendPrefix(nil, ino, k)
	return d.scan(ctx, spaceNames, from, appendPrefix(nil, ino, k+1), ino, fn)
}

// ReadDir returns about n entries with cookies above after, in cookie order. Entries of one cookie are never split, so it
// may return a few more than n. None: the end.
func (d *DB) ReadDir(ctx context.Context, dir, after uint64, n int) ([]Dirent, error) {
	if after >= 1<<63-1 || n <= 0 {
		return nil, nil
	}
	from := appendNumbered(nil, dir, KindDirent, after+1)
	to := appendPrefix(nil, dir, KindDirent+1)
	list := make([]Dirent, 0, min(n, 256))
	err := d.scan(ctx, spaceNames, from, to, dir, func(rk, v []byte) error {
		cookie := keyNumber(rk)
		if len(list) >= n && list[len(list)-1].Cookie != cookie {
			return errStop
		}
		e, err := parseDirent(string(rk[prefixLen+8:]), cookie, v)
		list = append(list, e)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read directory %d: %w", dir, err)
	}
	return list, nil
}

// IsEmpty says whether a directory has no entries.
func (d *DB) IsEmpty(ctx context.Context, dir uint64) (bool, error) {
	empty := true
	err := d.scanKind(ctx, dir, KindDirent, func(_, _ []byte) error {
		empty = false
		return errStop
	})
	return empty && err == nil, err
}

// Pages returns the numbers of the pages that an inode has, ascending.
func (d *DB) Pages(ctx context.Context, ino uint64) ([]uint64, error) {
	var pages []uint64
	err := d.scanKind(ctx, ino, KindPage, func(rk, _ []byte) error {
		pages = append(pages, keyNumber(rk))
		return nil
	})
	return pages, err
}

// Windows returns the numbers of the windows that an inode has, ascending.
func (d *DB) Windows(ctx context.Context, ino uint64) ([]uint64, error) {
	var windows []uint64
	err := d.scanKind(ctx, ino, KindWindow, func(rk, _ []byte) error {
		windows = append(windows, keyNumber(rk))
		return nil
	})
	return windows, err
}

// NextWindow returns the number of the first window at or behind from that an inode has; false if there is none.
func (d *DB) NextWindow(ctx context.Context, ino, from uint64) (next uint64, ok bool, err error) {
	key := appendNumbered(nil, ino, KindWindow, from)
	err = d.scan(ctx, spaceNames, key, appendPrefix(nil, ino, KindWindow+1), ino, func(rk, _ []byte) error {
		next, ok = keyNumber(rk), true
		return errStop
	})
	return next, ok, err
}

// Xattrs returns the names of an inode's extended attributes, sorted.
func (d *DB) Xattrs(ctx context.Context, ino uint64) ([]string, error) {
	var names []string
	err := d.scanKind(ctx, ino, KindXattr, func(rk, _ []byte) error {
		names = append(names, string(rk[prefixLen:]))
		return nil
	})
	return names, err
}

// Orphans returns the inodes that had no name but were open somewhere.
func (d *DB) Orphans(ctx context.Context) ([]uint64, error) {
	var inos []uint64
	err := d.scanKind(ctx, 0, KindOrphan, func(rk, _ []byte) error {
		inos = append(inos, keyNumber(rk))
		return nil
	})
	return inos, err
}

// inline returns v, whose bytes from n on are a tree value, with the value itself there.
func (d *DB) inline(ctx context.Context, v []byte, n int) ([]byte, error) {
	if len(v) == n {
		return nil, fmt.Errorf("%w: empty tree value", ErrFormat)
	}
	if v[n] == treeInline {
		return append(v[:n], v[n+1:]...), nil
	}
	r, rest, err := crypt.ParseRef(v[n+1:])
	if err != nil || v[n] != treeOutside || len(rest) != 0 || r.Len > MaxRecord {
		return nil, fmt.Errorf("%w: tree value", ErrFormat)
	}
	if v, err = d.getChunk(ctx, &r, v[:n]); err != nil {
		return nil, fmt.Errorf("fetch a value out of line: %w", err)
	}
	return v, nil
}

// The first byte of a value in the namespace tree.
const (
	treeInline  = 1
	treeOutside = 2 // a ref follows, of a metadata chunk that is the value
)

// maxInline is the longest value that a tree node holds itself.
const maxInline = 2<<10 - 1
