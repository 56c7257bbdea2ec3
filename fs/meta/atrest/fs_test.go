package atrest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hammockfs/hammock/crypt"
)

func write(t *testing.T, fs vfs.FS, name string, content []byte) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := f.Write(content); n != len(content) || err != nil {
		t.Fatal(n, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name, vfs.SequentialReadsOption)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// engines are the file systems below on which everything has to hold.
func engines(t *testing.T, test func(t *testing.T, fs vfs.FS, dir string)) {
	t.Run("memory", func(t *testing.T) { test(t, vfs.NewMem(), "") })
	t.Run("disk", func(t *testing.T) { test(t, vfs.Default, t.TempDir()) })
}

func TestContentAndSizes(t *testing.T) {
	engines(t, func(t *testing.T, raw vfs.FS, dir string) {
		key := crypt.NewKey()
		fs := New(raw, &key, nil)
		for _, size := range []int{0, 1, 15, 16, 17, 47, 48, 49, 64<<10 - 1, 64 << 10, 64<<10 + 1, 300_000} {
			name := fs.PathJoin(dir, fmt.Sprint(size))
			content := bytes.Repeat([]byte("hammock "), size/8+1)[:size]
			given := bytes.Clone(content)
			write(t, fs, name, given)
			if !bytes.Equal(given, content) {
				t.Errorf("%d: the caller's bytes were changed", size)
			}
			if got := read(t, fs, name); !bytes.Equal(got, content) {
				t.Errorf("%d: other bytes come back", size)
			}
			below := read(t, raw, name)
			if len(below) != size+crypt.FileHeader || bytes.Contains(below, []byte("hammock")) {
				t.Errorf("%d: %d bytes below", size, len(below))
			}
			checkOffsets(t, fs, name, content)
		}
	})
}

func checkOffsets(t *testing.T, fs vfs.FS, name string, content []byte) {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a, errA := f.Stat()
	b, errB := fs.Stat(name)
	if errA != nil || errB != nil || a.Size() != int64(len(content)) || b.Size() != a.Size() {
		t.Errorf("sizes %d, %d of %d; %v, %v", a.Size(), b.Size(), len(content), errA, errB)
	}
	for range 20 {
		off := rand.IntN(len(content) + 2)
		p := make([]byte, rand.IntN(100))
		n, err := f.ReadAt(p, int64(off))
		want := content[min(off, len(content)):min(off+len(p), len(content))]
		if !bytes.Equal(p[:n], want) || n < len(p) && err != io.EOF {
			t.Errorf("read %d at %d of %d: %d, %v", len(p), off, len(content), n, err)
		}
	}
}

func TestReadWriteAndReuse(t *testing.T) {
	engines(t, func(t *testing.T, raw vfs.FS, dir string) {
		key := crypt.NewKey()
		fs := New(raw, &key, nil)
		a, b, c := fs.PathJoin(dir, "a"), fs.PathJoin(dir, "b"), fs.PathJoin(dir, "c")
		f, err := fs.OpenReadWrite(a, vfs.WriteCategoryUnspecified)
		must(t, err)
		_, err = f.Write([]byte("0123456789"))
		must(t, err)
		_, err = f.WriteAt([]byte("abc"), 4)
		must(t, err)
		must(t, errors.Join(f.Preallocate(0, 100), f.Preallocate(50, 100), f.Prefetch(0, 10), f.Close()))

		f, err = fs.OpenReadWrite(a, vfs.WriteCategoryUnspecified)
		must(t, err)
		head := make([]byte, 4)
		_, err = io.ReadFull(f, head)
		must(t, err)
		_, err = f.WriteAt([]byte("Z"), 12)
		must(t, errors.Join(err, f.Close()))
		if got := read(t, fs, a); string(head) != "0123" || string(got[:10]) != "0123abc789" || got[12] != 'Z' || len(got) != 13 {
			t.Errorf("%q, %q", head, got)
		}

		must(t, fs.Link(a, b))
		must(t, fs.Rename(a, c))
		if got := read(t, fs, b); !bytes.Equal(got, read(t, fs, c)) {
			t.Errorf("link and renamed file differ: %q", got)
		}
		must(t, fs.Remove(b))
		old := read(t, raw, c)
		f, err = fs.ReuseForWrite(c, a, vfs.WriteCategoryUnspecified)
		must(t, err)
		_, err = f.Write([]byte("new"))
		must(t, errors.Join(err, f.Sync(), f.Close()))
		if got := read(t, fs, a); string(got[:3]) != "new" || bytes.Contains(got, []byte("bc789")) {
			t.Errorf("a reused file reads as %q", got)
		}
		if bytes.Equal(old[:crypt.FileHeader], read(t, raw, a)[:crypt.FileHeader]) {
			t.Error("a reused file has its old header")
		}
		lock, err := fs.Lock(fs.PathJoin(dir, "LOCK"))
		must(t, err)
		must(t, lock.Close())
		if info, err := fs.Stat(fs.PathJoin(dir, "LOCK")); err != nil || info.Size() != 0 {
			t.Errorf("the lock file: %v, %v", info, err)
		}
		if vfs.Root(fs) != raw {
			t.Error("the file system below is not the root")
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestShortAndForeignFiles(t *testing.T) {
	raw, key := vfs.NewMem(), crypt.NewKey()
	fs := New(raw, &key, nil)
	write(t, raw, "short", make([]byte, 20))
	if got := read(t, fs, "short"); len(got) != 0 {
		t.Errorf("a file without a whole header reads as %d bytes", len(got))
	}
	f, err := fs.OpenReadWrite("short", vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = f.Write([]byte("now"))
	must(t, errors.Join(err, f.Close()))
	if got := read(t, fs, "short"); string(got) != "now" {
		t.Errorf("%q", got)
	}
	other := crypt.NewKey()
	if _, err := New(raw, &other, nil).Open("short"); !errors.Is(err, crypt.ErrFileHeader) {
		t.Errorf("with another key: %v", err)
	}
	write(t, raw, "foreign", make([]byte, 100))
	if _, err := fs.Open("foreign"); !errors.Is(err, crypt.ErrFileHeader) {
		t.Errorf("a file of zeros: %v", err)
	}
	if _, err := fs.Open("none"); !os.IsNotExist(err) && !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestBeforeSync(t *testing.T) {
	raw, key := vfs.NewCrashableMem(), crypt.NewKey()
	calls, boom := 0, errors.New("boom")
	var answer error
	fs := New(raw, &key, func() error { calls++; return answer })
	f, err := fs.Create("a", vfs.WriteCategoryUnspecified)
	must(t, err)
	dir, err := fs.OpenDir("")
	must(t, err)
	must(t, dir.Sync())
	if calls != 0 {
		t.Error("called for a directory")
	}
	_, err = f.Write([]byte("x"))
	must(t, err)
	answer = boom
	for i, err := range []error{f.Sync(), f.SyncData()} {
		if !errors.Is(err, boom) {
			t.Errorf("sync %d: %v", i, err)
		}
	}
	if info, err := raw.CrashClone(vfs.CrashCloneCfg{}).Stat("a"); calls != 2 || err != nil || info.Size() != 0 {
		t.Errorf("%d calls; after a crash the file is %v, %v", calls, info, err)
	}
	answer = nil
	must(t, errors.Join(f.SyncData(), f.Close(), dir.Close()))
}

const secret = "a secret that must not be found"

// TestPebble runs Pebble as the overlay does, without its own log, and looks for what it wrote in the raw files.
func TestPebble(t *testing.T) {
	raw, key := vfs.NewCrashableMem(), crypt.NewKey()
	var syncs atomic.Int64
	fs := New(raw, &key, func() error { syncs.Add(1); return nil })
	must(t, raw.MkdirAll("db", 0o700))
	root, err := raw.OpenDir("")
	must(t, err)
	must(t, errors.Join(root.Sync(), root.Close()))

	db := open(t, fs, "db")
	fill(t, db, 0, 50_000)
	must(t, db.Flush())
	fill(t, db, 50_000, 100_000)
	must(t, db.Flush())
	must(t, db.Compact(t.Context(), []byte("k"), []byte("l"), false))
	fill(t, db, 100_000, 100_100) // in memory only
	crashed := raw.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(1, 2))})
	must(t, db.Close())
	if syncs.Load() == 0 {
		t.Error("the hook was never called")
	}
	for name, below := range map[string]*vfs.MemFS{"closed": raw, "crashed": crashed} {
		fs := New(below, &key, nil)
		db := open(t, fs, "db")
		check(t, name, db, 100_000)
		must(t, db.Close())
		search(t, below)
	}
}

func open(t *testing.T, fs vfs.FS, dir string) *pebble.DB {
	t.Helper()
	db, err := pebble.Open(dir, &pebble.Options{FS: fs, DisableWAL: true, Logger: quiet{t}})
	must(t, err)
	return db
}

type quiet struct{ t *testing.T }

func (quiet) Infof(string, ...any)           {}
func (q quiet) Errorf(f string, args ...any) { q.t.Errorf(f, args...) }
func (q quiet) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }

func fill(t *testing.T, db *pebble.DB, from, to int) {
	t.Helper()
	b := db.NewBatch()
	for i := from; i < to; i++ {
		must(t, b.Set(fmt.Appendf(nil, "key %08d", i), fmt.Appendf(nil, "%s %d", secret, i), nil))
	}
	must(t, b.Commit(pebble.NoSync))
}

func check(t *testing.T, name string, db *pebble.DB, n int) {
	t.Helper()
	it, err := db.NewIter(nil)
	must(t, err)
	i := 0
	for ok := it.First(); ok && i < n; ok = it.Next() {
		if string(it.Key()) != fmt.Sprintf("key %08d", i) || string(it.Value()) != fmt.Sprintf("%s %d", secret, i) {
			t.Fatalf("%s: entry %d is %q, %q", name, i, it.Key(), it.Value())
		}
		i++
	}
	if i < n {
		t.Errorf("%s: %d entries of %d", name, i, n)
	}
	must(t, it.Close())
}

// search looks for plain text in every file of the database. Tables are compressed below the encryption, so it looks
// for names that Pebble writes as they are too.
func search(t *testing.T, raw vfs.FS) {
	t.Helper()
	names, err := raw.List("db")
	must(t, err)
	for _, name := range names {
		content := read(t, raw, raw.PathJoin("db", name))
		for _, word := range []string{secret, "key 0", "pebble", "rocksdb", "[Version]", "leveldb"} {
			if bytes.Contains(content, []byte(word)) {
				t.Errorf("%s holds %q in plain text", name, word)
			}
		}
	}
	if len(names) < 4 {
		t.Errorf("only %d files", len(names))
	}
}

func BenchmarkWrite(b *testing.B) {
	key := crypt.NewKey()
	fs := New(vfs.Default, &key, nil)
	f, err := fs.Create(filepath.Join(b.TempDir(), "f"), vfs.WriteCategoryUnspecified)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, 256<<10)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for i := range b.N {
		if i%256 == 0 {
			f.(*file).File.(io.Seeker).Seek(crypt.FileHeader, io.SeekStart)
		}
		if _, err := f.Write(p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadAt4K(b *testing.B) {
	key := crypt.NewKey()
	fs := New(vfs.NewMem(), &key, nil)
	f, _ := fs.Create("f", vfs.WriteCategoryUnspecified)
	f.Write(make([]byte, 1<<20))
	p := make([]byte, 4096)
	b.SetBytes(4096)
	b.ReportAllocs()
	for i := range b.N {
		if _, err := f.ReadAt(p, int64(i%200)*4096+7); err != nil {
			b.Fatal(err)
		}
	}
}
