package integration

import (
	"os"
	"path/filepath"
	"testing"
)

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
