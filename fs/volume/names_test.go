package volume

import (
	"fmt"
	"testing"
)

// checkNames compares the names kept in memory with the records.
func (w *world) checkNames(t testing.TB) {
	t.Helper()
	w.v.names.mu.Lock()
	defer w.v.names.mu.Unlock()
	n := 0
	for dir, list := range w.v.names.dirs {
		n += 1 + len(list)
		recorded := map[string]uint64{}
		for after := uint64(0); ; {
			entries, err := w.db.ReadDir(ctx, dir, after, 128)
			must(t, err)
			if len(entries) == 0 {
				break
			}
			for _, e := range entries {
				recorded[e.Name], after = e.Ino, e.Cookie
			}
		}
		for name, ino := range recorded {
			if list[name] != ino {
				t.Errorf("directory %d: %q is inode %d, %d in memory", dir, name, ino, list[name])
			}
		}
		if len(list) != len(recorded) {
			t.Errorf("directory %d has %d names, %d in memory", dir, len(recorded), len(list))
		}
	}
	if n != w.v.names.n {
		t.Errorf("%d names are kept, %d counted", n, w.v.names.n)
	}
}

// TestNamesInMemory moves names about, and wants the same of directories whose
// names are in memory as of the same ones after a restart.
func TestNamesInMemory(t *testing.T) {
	w := start(t)
	for round := range 2 {
		a, b := w.mkdir(t, Root, fmt.Sprint("a", round)), w.mkdir(t, Root, fmt.Sprint("b", round))
		if round == 1 {
			w.reopen(t) // nothing is known any more
		}
		for i := range 5 {
			release(t, w.create(t, a, fmt.Sprint(i)))
		}
		in, err := w.v.Lookup(ctx, a, "0")
		must(t, err)
		_, err = w.v.Link(ctx, in.Ino, b, "0")
		must(t, err)
		must(t, w.v.Rename(ctx, a, "1", b, "1", 0))
		must(t, w.v.Rename(ctx, a, "2", b, "1", 0))
		must(t, w.v.Rename(ctx, a, "3", b, "0", RenameExchange))
		must(t, w.v.Whiteout(ctx, Caller{}, a, "3", b, "3", 0))
		must(t, w.v.Unlink(ctx, a, "4"))
		wantErr(t, "one more", w.v.Rename(ctx, a, "4", b, "4", 0), ErrNotExist)
		got := fmt.Sprint(w.names(t, a), w.names(t, b))
		if want := "[0 3] [0 1 3]"; got != want {
			t.Errorf("round %d: %s, want %s", round, got, want)
		}
		w.checkNames(t)
		wantErr(t, "not empty", w.v.Rmdir(ctx, Root, fmt.Sprint("a", round)), ErrNotEmpty)
		for _, name := range []string{"0", "3"} {
			must(t, w.v.Unlink(ctx, a, name))
			_, err := w.v.Lookup(ctx, a, name)
			wantErr(t, name, err, ErrNotExist)
		}
		must(t, w.v.Rmdir(ctx, Root, fmt.Sprint("a", round)))
	}
}

// TestNamesAreBounded fills directories with more names than are kept.
func TestNamesAreBounded(t *testing.T) {
	var k names
	for dir := range uint64(9) {
		k.begin(dir)
		for i := range keptNames / 8 {
			k.put(dir, fmt.Sprint(i), uint64(i+1))
		}
		if k.n > keptNames {
			t.Fatal(k.n)
		}
	}
	known := 0
	for dir := range uint64(9) {
		if _, ok := k.find(dir, "1"); ok {
			known++
		}
		k.end(dir)
	}
	if known < 7 || k.n != 0 {
		t.Errorf("%d of 9 directories were known; %d names are left", known, k.n)
	}
}
