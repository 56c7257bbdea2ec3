package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// goModule is a small module with a package, a test, a command and an embedded
// file.
var goModule = map[string]string{
	"go.mod":     "module example.org/small\n\ngo 1.26\n",
	"sum/sum.go": "// Package sum adds.\npackage sum\n\n// Of is the sum of numbers.\nfunc Of(numbers ...int) (n int) {\n\tfor _, m := range numbers {\n\t\tn += m\n\t}\n\treturn n\n}\n",
	"sum/sum_test.go": "package sum\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nfunc TestOf(t *testing.T) {\n\tif Of(1, 2, 3) != 6 {\n\t\tt.Fail()\n\t}\n" +
		"\tif err := os.WriteFile(t.TempDir()+\"/f\", nil, 0o600); err != nil {\n\t\tt.Fatal(err)\n\t}\n}\n",
	"cmd/add/main.go": "package main\n\nimport (\n\t_ \"embed\"\n\n\t\"example.org/small/sum\"\n)\n\n//go:embed note\nvar note string\n\nfunc main() {\n\tprint(note, sum.Of(40, 2))\n}\n",
	"cmd/add/note":    "the sum is ",
}

// runGo builds and tests a module with everything that the go command writes
// in the folder: cache, temporary files, results.
func runGo(t *testing.T, _ *world, dir string) {
	for name, text := range goModule {
		path := filepath.Join(dir, "small", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	module := filepath.Join(dir, "small")
	tools := runner{dir: module, env: goFolders(t, dir)}
	first := tools.must(t, "go", "build", "-x", "-o", "bin/add", "./cmd/add")
	if !strings.Contains(first, "/link") {
		t.Errorf("the first build linked nothing:\n%s", first)
	}
	if got := tools.must(t, "./bin/add"); got != "the sum is 42" {
		t.Errorf("the program that was built in the folder says %q", got)
	}
	if again := tools.must(t, "go", "build", "-x", "-o", "bin/add", "./cmd/add"); strings.Contains(again, "/compile -o") {
		t.Errorf("nothing had changed, and it was compiled again:\n%s", again)
	}
	tools.must(t, "go", "test", "-vet=off", "./...") // vet would look at the whole library first
	if out := tools.must(t, "go", "test", "-vet=off", "./..."); !strings.Contains(out, "(cached)") {
		t.Errorf("a test whose input had not changed ran again:\n%s", out)
	}
	tools.must(t, "go", "mod", "verify")
	tools.must(t, "gofmt", "-l", "-w", ".")
	tools.must(t, "go", "clean", "-cache", "-testcache")
}

// goFolders makes the folders of the go command below dir, and is its
// environment then.
func goFolders(t *testing.T, dir string) (env []string) {
	t.Helper()
	for _, name := range []string{"GOCACHE", "GOTMPDIR", "GOMODCACHE", "TMPDIR"} {
		path := filepath.Join(dir, strings.ToLower(name))
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		env = append(env, name+"="+path)
	}
	return append(env, "GOFLAGS=", "GOPROXY=off", "GOWORK=off")
}

// pollable leaves out a test that wants a file that cannot be polled: every file
// of a FUSE mount can.
const pollable = "-skip=^TestNonpollableDeadline$"

// runGoOS runs the standard library's own tests of files, which then are in the
// folder.
func runGoOS(t *testing.T, _ *world, dir string) {
	tools := runner{dir: goSource(t), env: []string{"TMPDIR=" + dir, "GOTMPDIR=" + dir, "GOFLAGS=", "GOWORK=off"}}
	tools.must(t, "go", "test", "-short", "-count", "1", "-vet=off", pollable, "os", "io/fs", "io/ioutil", "path/filepath")
}

// runGoStd copies the Go distribution into the folder and has it build its
// standard library and test some of it there.
func runGoStd(t *testing.T, _ *world, dir string) {
	root := filepath.Join(dir, "goroot")
	copyTree(t, filepath.Dir(goSource(t)), root)
	tools := runner{dir: filepath.Join(root, "src"), env: append(goFolders(t, dir), "GOROOT="+root, "GOTOOLCHAIN=local", "CGO_ENABLED=0"), limit: time.Hour}
	command := filepath.Join(root, "bin", "go")
	tools.must(t, command, "build", "std")
	tools.must(t, command, "vet", "os", "strings", "sort")
	tools.must(t, command, "test", "-short", pollable, "os", "io/fs", "path/filepath", "archive/...", "compress/...", "strings", "sort", "internal/poll", "syscall", "mime/multipart")
	tools.must(t, "git", "-C", dir, "init", "-q", root)
	tools.must(t, "git", "-C", root, "add", "src")
	tools.must(t, "git", "-C", root, "fsck", "--strict")
}
