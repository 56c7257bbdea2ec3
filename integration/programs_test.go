package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPrograms has real programs work in the folder, each in a folder of its
// own, and after all of them the volume is proved whole.
func TestPrograms(t *testing.T) {
	needMount(t)
	w := newWorld(t, 3, "2+1")
	for _, p := range []struct {
		name  string
		needs []string
		run   func(t *testing.T, w *world, dir string)
	}{
		{"git", []string{"git"}, runGit},
		{"sqlite-delete", []string{"sqlite3"}, func(t *testing.T, _ *world, dir string) { runSQLite(t, dir, "delete") }},
		{"sqlite-wal", []string{"sqlite3"}, func(t *testing.T, _ *world, dir string) { runSQLite(t, dir, "wal") }},
		{"tar", []string{"tar"}, runTar},
		{"fio", []string{"fio"}, func(t *testing.T, _ *world, dir string) { runFio(t, dir) }},
		{"mmap", nil, runMmap},
		{"rsync", []string{"rsync"}, runRsync},
	} {
		t.Run(p.name, func(t *testing.T) {
			needMount(t, p.needs...)
			dir := w.path(p.name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			p.run(t, w, dir)
		})
	}
	w.must("sync")
	w.check("--data")
	w.unmount()
}

// elsewhere syncs, and forgets everything that peers have, so that what is read
// next comes from them.
func (w *world) elsewhere() {
	w.t.Helper()
	w.must("sync")
	w.must("cache", "drop")
	if os.Getuid() == 0 {
		if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3\n"), 0); err != nil {
			w.t.Log(err)
		}
	}
}

// runGit makes a repository, branches, merges, packs and clones it.
func runGit(t *testing.T, w *world, dir string) {
	repo := filepath.Join(dir, "repo")
	git := func(args ...string) string { t.Helper(); return program(t, repo, "git", args...) }
	program(t, dir, "git", "init", "-q", "-b", "main", repo)
	copyTree(t, filepath.Join(goSource(t), "strconv"), filepath.Join(repo, "strconv"))
	git("add", "-A")
	git("commit", "-q", "-m", "first")
	git("checkout", "-q", "-b", "other")
	git("mv", "strconv", "moved")
	git("commit", "-q", "-m", "moved")
	git("checkout", "-q", "main")
	if err := os.WriteFile(filepath.Join(repo, "new"), []byte("new\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	git("add", "-A")
	git("commit", "-q", "-m", "new")
	git("merge", "-q", "-m", "merge", "other")
	git("gc", "-q", "--aggressive")
	git("fsck", "--strict", "--full")
	if out := git("status", "--porcelain"); out != "" {
		t.Errorf("git status:\n%s", out)
	}
	w.elsewhere()
	program(t, dir, "git", "clone", "-q", repo, filepath.Join(dir, "clone"))
	program(t, filepath.Join(dir, "clone"), "git", "fsck", "--strict", "--full")
}

// copyTree copies a folder with cp -a.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	program(t, ".", "cp", "-a", from, to)
}

// runSQLite fills a database in a journal mode with two writers at once.
func runSQLite(t *testing.T, dir, mode string) {
	file := filepath.Join(dir, "db")
	sql := func(text string) string {
		t.Helper()
		return strings.TrimSpace(program(t, dir, "sqlite3", "-bail", "-cmd", ".timeout 60000", file, text))
	}
	if got := sql("pragma journal_mode=" + mode); got != mode {
		t.Fatalf("the journal mode is %q, not %q", got, mode)
	}
	sql("create table t(id integer primary key, who text, v blob); create index i on t(who, id)")
	const writers, rows = 2, 40
	t.Run("writers", func(t *testing.T) {
		for i := range writers {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				var b strings.Builder
				for range rows {
					fmt.Fprintf(&b, "begin immediate; insert into t(who, v) values('w%d', randomblob(3000)); commit;\n", i)
				}
				program(t, dir, "sqlite3", "-bail", "-cmd", ".timeout 60000", file, b.String())
			})
		}
	})
	sql("begin; insert into t(who, v) select 'bulk', randomblob(200) from generate_series(1, 20000); commit")
	sql("begin; delete from t; rollback")
	sql("delete from t where who = 'bulk' and id % 2; vacuum")
	if got := sql("pragma integrity_check"); got != "ok" {
		t.Errorf("integrity_check: %s", got)
	}
	if got, want := sql("select count(*) from t where who like 'w%'"), fmt.Sprint(writers*rows); got != want {
		t.Errorf("%s rows of the writers, not %s", got, want)
	}
}

// runTar unpacks an archive of a tree with links, odd names and modes, and
// compares it with what lies in the folder then.
func runTar(t *testing.T, w *world, dir string) {
	tree := filepath.Join(t.TempDir(), "tree")
	copyTree(t, filepath.Join(goSource(t), "encoding"), tree)
	program(t, tree, "sh", "-c", `ln -s json/encode.go link; ln json/encode.go hard; mkfifo fifo; mkdir -m 01777 sticky; : > empty
		printf x > "$(printf 'new\nline')"; printf x > '-name with  spaces'; truncate -s 10M sparse; printf end >> sparse; chmod 4711 empty
		touch -d '1969-12-31 23:59:58.123456789 UTC' empty`)
	archive := filepath.Join(t.TempDir(), "tree.tar")
	program(t, tree, "tar", "-S", "-cf", archive, ".")
	program(t, dir, "tar", "-S", "-xpf", archive)
	program(t, dir, "tar", "-S", "-df", archive)
	w.elsewhere()
	program(t, dir, "tar", "-S", "-df", archive)
	again := filepath.Join(dir, "again.tar")
	program(t, dir, "sh", "-c", `tar --exclude=./again.tar -S -cf again.tar .`)
	program(t, tree, "tar", "-S", "-df", again)
}

// runFio has fio write at random, in several sizes, with checksums in every
// block, and verify them.
func runFio(t *testing.T, dir string) {
	common := []string{"--directory=" + dir, "--ioengine=psync", "--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--verify_state_save=0", "--output-format=terse"}
	for _, job := range [][]string{
		{"--name=small", "--rw=randwrite", "--bs=512-20k", "--bs_unaligned=1", "--size=8M", "--fsync=64"},
		{"--name=blocks", "--rw=randwrite", "--bs=4k", "--size=16M", "--numjobs=2", "--fdatasync=128"},
		{"--name=large", "--rw=write", "--bs=1M", "--size=48M", "--end_fsync=1"},
		{"--name=mixed", "--rw=randrw", "--bs=16k", "--size=16M"},
	} {
		program(t, dir, "fio", append(common, job...)...)
	}
}

// runMmap changes a file through a shared mapping, beside reads and writes.
func runMmap(t *testing.T, w *world, dir string) {
	path := filepath.Join(dir, "mapped")
	const size = 4<<20 + 123
	want := make([]byte, size)
	if _, err := stream(size, 0).Read(want); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(want); err != nil {
		t.Fatal(err)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Munmap(m); err != nil {
			t.Error(err)
		}
	}()
	if !bytes.Equal(m, want) {
		t.Error("the mapping does not show what was written")
	}
	for off := 0; off < size; off += 70001 {
		n := copy(m[off:], "through the mapping")
		copy(want[off:off+n], "through the mapping")
	}
	if err := unix.Msync(m, unix.MS_SYNC); err != nil {
		t.Fatal(err)
	}
	copy(want[1000:], "by a write")
	if _, err := f.WriteAt([]byte("by a write"), 1000); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m, want) {
		t.Error("the mapping does not show a later write")
	}
	if got := mustRead(t, path); !bytes.Equal(got, want) {
		t.Error("the file is not what was written through the mapping")
	}
	w.elsewhere()
	forget(t, path)
	if got := mustRead(t, path); !bytes.Equal(got, want) {
		t.Error("read from peers, the file is not what was written through the mapping")
	}
}

// runRsync keeps a copy up to date in place.
func runRsync(t *testing.T, w *world, dir string) {
	tree := filepath.Join(t.TempDir(), "tree")
	copyTree(t, filepath.Join(goSource(t), "compress"), tree)
	large := filepath.Join(tree, "large")
	writeStream(t, large, stream(24<<20, 0))
	update := func() string {
		t.Helper()
		return program(t, dir, "rsync", "-aHAX", "--inplace", "--no-whole-file", "--delete", "--itemize-changes", tree+"/", dir+"/")
	}
	update()
	writeStream(t, large, stream(24<<20, 3))
	for _, path := range []string{"flate", "testdata"} {
		if err := os.RemoveAll(filepath.Join(tree, path)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(tree, "gzip"), filepath.Join(tree, "renamed")); err != nil {
		t.Fatal(err)
	}
	update()
	w.elsewhere()
	if out := program(t, dir, "rsync", "-aHAX", "--checksum", "--delete", "--itemize-changes", "--dry-run", tree+"/", dir+"/"); out != "" {
		t.Errorf("after an update, rsync would still change:\n%s", out)
	}
}
