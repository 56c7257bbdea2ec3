package mount

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func testFiles(t *testing.T, dir string) {
	for _, n := range []int{0, 1, 4095, 4096, 65537, 3 << 20} {
		p := make([]byte, n)
		_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(p)
		name := filepath.Join(dir, fmt.Sprint(n))
		must(t, os.WriteFile(name, p, 0o644))
		wantContent(t, name, p)
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		must(t, err)
		_, err = f.WriteAt([]byte("in the middle"), int64(n/2))
		must(t, err)
		p = append(p[:n/2:n/2], append([]byte("in the middle"), p[min(n, n/2+13):]...)...)
		must(t, f.Sync())
		must(t, f.Truncate(int64(len(p)-1)))
		must(t, f.Close())
		wantContent(t, name, p[:len(p)-1])
		must(t, os.WriteFile(name, []byte("short"), 0o644))
		wantContent(t, name, []byte("short"))
	}
}

func wantContent(t *testing.T, name string, p []byte) {
	t.Helper()
	got, err := os.ReadFile(name)
	if err != nil || !bytes.Equal(got, p) {
		t.Fatalf("%s: %d bytes, want %d, %v", name, len(got), len(p), err)
	}
	if info, err := os.Stat(name); err != nil || info.Size() != int64(len(p)) {
		t.Fatalf("%s: size %d, want %d, %v", name, info.Size(), len(p), err)
	}
}

func testNames(t *testing.T, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	must(t, os.WriteFile(a, []byte("A"), 0o644))
	must(t, os.WriteFile(b, []byte("B"), 0o644))
	must(t, os.Rename(a, b))
	wantContent(t, b, []byte("A"))
	_, err := os.Stat(a)
	wantErrno(t, "the old name", err, syscall.ENOENT)
	sub := filepath.Join(dir, "sub")
	must(t, os.Mkdir(sub, 0o755))
	must(t, os.Rename(b, filepath.Join(sub, "c")))
	wantErrno(t, "rmdir of a full directory", syscall.Rmdir(sub), syscall.ENOTEMPTY)
	must(t, os.Remove(filepath.Join(sub, "c")))
	must(t, os.Remove(sub))
	long := strings.Repeat("n", 255)
	must(t, os.WriteFile(filepath.Join(dir, long), nil, 0o644))
	wantErrno(t, "a name of 256 bytes", os.WriteFile(filepath.Join(dir, long+"n"), nil, 0o644), syscall.ENAMETOOLONG)
	odd := filepath.Join(dir, "odd \xff\n\t'\"\\ name")
	must(t, os.WriteFile(odd, []byte("odd"), 0o644))
	wantContent(t, odd, []byte("odd"))
}

func testAttributes(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	must(t, os.WriteFile(name, make([]byte, 1000), 0o644))
	must(t, syscall.Chmod(name, 0o4711))
	when := time.Unix(-5, 123456789)
	must(t, os.Chtimes(name, when.Add(time.Hour), when))
	info, err := os.Stat(name)
	must(t, err)
	st := info.Sys().(*syscall.Stat_t)
	if !info.ModTime().Equal(when) || st.Mode&0o7777 != 0o4711 || st.Atim.Nano() != when.Add(time.Hour).UnixNano() || st.Nlink != 1 {
		t.Errorf("%+v", st)
	}
	if os.Geteuid() == 0 {
		must(t, os.Chown(name, 12, 34))
		must(t, syscall.Stat(name, st))
		if st.Uid != 12 || st.Gid != 34 || st.Mode&0o4000 != 0 {
			t.Errorf("after chown: owner %d:%d, mode %o", st.Uid, st.Gid, st.Mode)
		}
	}
	var fst syscall.Statfs_t
	must(t, syscall.Statfs(dir, &fst))
	if fst.Namelen != 255 || fst.Blocks == 0 || fst.Bavail == 0 {
		t.Errorf("%+v", fst)
	}
}

func testXattrs(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	must(t, os.WriteFile(name, nil, 0o644))
	must(t, syscall.Setxattr(name, "user.colour", []byte("green"), 0))
	buf := make([]byte, 100)
	n, err := syscall.Getxattr(name, "user.colour", buf)
	if err != nil || string(buf[:n]) != "green" {
		t.Errorf("%q %v", buf[:max(n, 0)], err)
	}
	if n, err = syscall.Getxattr(name, "user.colour", nil); n != 5 || err != nil {
		t.Errorf("length %d, %v", n, err)
	}
	_, err = syscall.Getxattr(name, "user.colour", buf[:2])
	wantErrno(t, "too little room", err, syscall.ERANGE)
	if n, err = syscall.Listxattr(name, buf); err != nil || string(buf[:n]) != "user.colour\x00" {
		t.Errorf("%q %v", buf[:max(n, 0)], err)
	}
	must(t, syscall.Removexattr(name, "user.colour"))
	_, err = syscall.Getxattr(name, "user.colour", buf)
	wantErrno(t, "a removed attribute", err, syscall.ENODATA)
	wantErrno(t, "a name of the system's", syscall.Setxattr(name, "system.other", nil, 0), syscall.EOPNOTSUPP)
	wantErrno(t, "no name at all", syscall.Setxattr(name, "user.", nil, 0), syscall.EINVAL)
}

func testListing(t *testing.T, dir string) {
	var want []string
	for i := range 700 {
		name := fmt.Sprintf("file %d", i)
		want = append(want, name)
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o644))
	}
	slices.Sort(want)
	for range 3 {
		entries, err := os.ReadDir(dir)
		must(t, err)
		var got []string
		for _, e := range entries {
			if info, err := e.Info(); err != nil || !info.Mode().IsRegular() {
				t.Error(e, err)
			}
			got = append(got, e.Name())
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%d names of %d", len(got), len(want))
		}
	}
	out, err := exec.Command("ls", "-ai", dir).Output()
	if err != nil || strings.Count(string(out), "\n") != 702 {
		t.Error(err, strings.Count(string(out), "\n"))
	}
	must(t, os.RemoveAll(dir)) // lists and removes by turns
	must(t, os.Mkdir(dir, 0o755))
}

func testUmask(t *testing.T, dir string) {
	old := syscall.Umask(0o027)
	defer syscall.Umask(old)
	must(t, os.WriteFile(filepath.Join(dir, "f"), nil, 0o666))
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0o777))
	must(t, syscall.Mkfifo(filepath.Join(dir, "p"), 0o666))
	for name, want := range map[string]uint32{"f": 0o640, "d": 0o750, "p": 0o640} {
		var st syscall.Stat_t
		must(t, syscall.Stat(filepath.Join(dir, name), &st))
		if st.Mode&0o777 != want {
			t.Errorf("%s: %o", name, st.Mode&0o777)
		}
	}
}

func testMmap(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	must(t, os.WriteFile(name, make([]byte, 10_000), 0o644))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	m, err := syscall.Mmap(int(f.Fd()), 0, 10_000, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	must(t, err)
	must(t, f.Close())
	copy(m[5000:], "through a mapping") // after close(2)
	must(t, syscall.Munmap(m))
	got, err := os.ReadFile(name)
	if err != nil || string(got[5000:5017]) != "through a mapping" || len(got) != 10_000 {
		t.Errorf("%q %v", got[5000:5017], err)
	}
}

func testUnlinked(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	must(t, err)
	defer f.Close()
	must(t, os.Remove(name))
	_, err = f.WriteString("still here")
	must(t, err)
	must(t, f.Sync())
	got := make([]byte, 10)
	if _, err := f.ReadAt(got, 0); err != nil || string(got) != "still here" {
		t.Errorf("%q %v", got, err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != 10 || info.Sys().(*syscall.Stat_t).Nlink != 0 {
		t.Error(info, err)
	}
}

func testAppend(t *testing.T, dir string) {
	name := filepath.Join(dir, "log")
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			for range 50 {
				if _, err := f.WriteString("one line\n"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	got, err := os.ReadFile(name)
	if err != nil || string(got) != strings.Repeat("one line\n", 200) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func testSparse(t *testing.T, dir string) {
	f, err := os.Create(filepath.Join(dir, "f"))
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte("far away"), 1<<40)
	must(t, err)
	must(t, f.Sync())
	info, err := f.Stat()
	if err != nil || info.Size() != 1<<40+8 || info.Sys().(*syscall.Stat_t).Blocks > 1000 {
		t.Errorf("%+v %v", info.Sys(), err)
	}
	got := make([]byte, 16)
	if _, err := f.ReadAt(got, 1<<40-8); err != nil || string(got) != "\x00\x00\x00\x00\x00\x00\x00\x00far away" {
		t.Errorf("%q %v", got, err)
	}
}

func testErrors(t *testing.T, dir string) {
	file, sub := filepath.Join(dir, "file"), filepath.Join(dir, "sub")
	must(t, os.WriteFile(file, nil, 0o644))
	must(t, os.Mkdir(sub, 0o755))
	_, err := os.Open(filepath.Join(dir, "nowhere"))
	wantErrno(t, "open of nothing", err, syscall.ENOENT)
	_, err = os.OpenFile(file, os.O_CREATE|os.O_EXCL, 0o644)
	wantErrno(t, "O_EXCL", err, syscall.EEXIST)
	wantErrno(t, "mkdir over a file", os.Mkdir(file, 0o755), syscall.EEXIST)
	_, err = os.Stat(filepath.Join(file, "x"))
	wantErrno(t, "a file as a directory", err, syscall.ENOTDIR)
	wantErrno(t, "unlink of a directory", syscall.Unlink(sub), syscall.EISDIR)
	wantErrno(t, "rmdir of a file", syscall.Rmdir(file), syscall.ENOTDIR)
	wantErrno(t, "rename into itself", syscall.Rename(sub, filepath.Join(sub, "x")), syscall.EINVAL)
	wantErrno(t, "file over directory", syscall.Rename(file, sub), syscall.EISDIR)
	wantErrno(t, "directory over file", syscall.Rename(sub, file), syscall.ENOTDIR)
	_, err = os.OpenFile(sub, os.O_WRONLY, 0)
	wantErrno(t, "write to a directory", err, syscall.EISDIR)
}

func testLinks(t *testing.T, dir string) {
	a, b, s := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "s")
	must(t, os.WriteFile(a, []byte("one file"), 0o644))
	must(t, os.Link(a, b))
	must(t, os.Symlink("b", s))
	wantContent(t, s, []byte("one file"))
	var sa, sb syscall.Stat_t
	must(t, syscall.Stat(a, &sa))
	must(t, syscall.Stat(b, &sb))
	if sa.Ino != sb.Ino || sa.Nlink != 2 {
		t.Errorf("inodes %d and %d, %d links", sa.Ino, sb.Ino, sa.Nlink)
	}
	must(t, os.Remove(a))
	if to, err := os.Readlink(s); err != nil || to != "b" {
		t.Error(to, err)
	}
	must(t, syscall.Stat(b, &sb))
	if sb.Nlink != 1 {
		t.Errorf("%d links", sb.Nlink)
	}
}

func testConcurrent(t *testing.T, dir string) {
	var workers sync.WaitGroup
	for w := range 8 {
		workers.Go(func() {
			for i := range 30 {
				name := filepath.Join(dir, fmt.Sprintf("%d-%d", w, i%7))
				text := bytes.Repeat([]byte{byte(w), byte(i)}, 1+i*3000)
				if err := os.WriteFile(name, text, 0o644); err != nil {
					t.Error(err)
				}
				if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, text) {
					t.Error("wrong content", err)
				}
				if i%3 == 0 {
					if err := os.Rename(name, name+"x"); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	workers.Wait()
}

// testPrograms lets programs at it that people use.
func testPrograms(t *testing.T, dir string) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	src := filepath.Join(strings.TrimSpace(string(root)), "src", "encoding") // some tree of files
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	run("cp", "-a", src, dir+"/copy")
	run("diff", "-r", src, dir+"/copy")
	run("tar", "-cf", dir+"/copy.tar", "-C", dir, "copy")
	run("mkdir", dir+"/again")
	run("tar", "-xf", dir+"/copy.tar", "-C", dir+"/again")
	run("diff", "-r", src, dir+"/again/copy")
	run("rm", "-r", dir+"/again", dir+"/copy")
	if _, err := exec.LookPath("git"); err == nil {
		run("git", "init", "-q", dir+"/repo")
		must(t, os.WriteFile(dir+"/repo/a", []byte("a\n"), 0o644))
		run("git", "-C", dir+"/repo", "add", ".")
		run("git", "-C", dir+"/repo", "-c", "user.name=n", "-c", "user.email=e", "commit", "-q", "-m", "m")
		run("git", "-C", dir+"/repo", "fsck")
	}
}
