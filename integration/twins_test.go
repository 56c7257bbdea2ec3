package integration

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTwins runs each script of testdata/twins in the mount and in a folder of
// ext4. They must print the same, and both must
// succeed: a script is a test that says nothing of what is right, for ext4 does.
func TestTwins(t *testing.T) {
	needMount(t)
	scripts, err := filepath.Glob("testdata/twins/*.sh")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	source, native := goSource(t), ext4Folder(t)
	w := newSolo(t, "")
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".sh"), func(t *testing.T) {
			runTwins(t, w, native, script, source)
		})
	}
	w.check("--data")
	w.unmount()
}

func runTwins(t *testing.T, w *world, native, script, source string) {
	text := string(mustRead(t, script))
	needMount(t, scriptNeeds(text, "# needs:")...)
	for _, program := range scriptNeeds(text, "# wants:") {
		if _, err := exec.LookPath(program); err != nil && !soak() {
			t.Skipf("%s is not installed; make soak installs it", program)
		}
	}
	path, err := filepath.Abs(script)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(script)
	native, mounted := filepath.Join(native, name), w.path(name)
	if err := errors.Join(os.Mkdir(native, 0o755), os.Mkdir(mounted, 0o755)); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(native)
	in := func(dir string) string {
		t.Helper()
		return runner{dir: dir, env: []string{"SRC=" + source}}.must(t, "sh", "-eu", path)
	}
	want := in(native)
	if got := in(mounted); got != want {
		t.Errorf("the same script, on ext4 (-) and in the mount (+):\n%s", difference(t, want, got))
	}
}

// scriptNeeds are the programs that a script names in one of its first lines:
// those that it "needs" are wherever `make test` runs, what it "wants" may not
// be.
func scriptNeeds(text, key string) []string {
	for line := range strings.Lines(text) {
		if programs, ok := strings.CutPrefix(line, key); ok {
			return strings.Fields(programs)
		}
	}
	return nil
}

// difference is what diff says of two texts.
func difference(t *testing.T, a, b string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"a": a, "b": b} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, _ := runner{dir: dir}.run("diff", "-u", "a", "b") // it fails, for they differ
	return out
}
