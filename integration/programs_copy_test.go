package integration

import (
	"os"
	"path/filepath"
	"testing"
)

// copyTree copies a folder with cp -a.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	program(t, ".", "cp", "-a", from, to)
}

// oddTree makes a tree that is hard to copy: links, odd names and modes, holes,
// old times, and what root may have besides.
func oddTree(t *testing.T, source string) string {
	t.Helper()
	tree := filepath.Join(ext4Folder(t), "tree")
	copyTree(t, filepath.Join(goSource(t), source), tree)
	program(t, tree, "sh", "-euc", `
		f=$(find . -name '*.go' | sort | head -n 1); ln -s "$f" link; ln "$f" hard; mkfifo fifo; mkdir -m 01777 sticky; : >empty
		printf x >"$(printf 'new\nline')"; printf x >'-name with  spaces'; printf x >"$(printf 'bytes\377\001')"
		truncate -s 10M sparse; printf end >>sparse; printf middle | dd of=sparse bs=1 seek=5000000 conv=notrunc status=none
		chmod 4711 empty; touch -d '1969-12-31 23:59:58.123456789 UTC' empty; mkdir -m 2750 group
		setfattr -n user.empty empty; setfattr -n user.note -v "some text" "$f"; setfattr -n user.folder -v 1 sticky
		setfacl -m u:daemon:rwx,g:daemon:r,m::rx empty; setfacl -m d:u:daemon:rwx,d:g::r-x group; setfacl -m u:daemon:- "$f"
		if [ "$(id -u)" = 0 ]; then
			mknod null c 1 3; chown 12345:54321 hard; setfattr -n trusted.t -v 2 empty; chown -h 5:6 link
		fi
		find . -newermt 2020-01-01 -exec touch -h -d '2007-08-09 10:11:12.131415161' {} +`)
	return tree
}

// runTar unpacks an archive of an odd tree, compares it with what lies in the
// folder then, and packs that again.
func runTar(t *testing.T, w *world, dir string) {
	tree := oddTree(t, "encoding")
	archive := filepath.Join(t.TempDir(), "tree.tar")
	program(t, tree, "tar", "-S", "--acls", "--xattrs", "--xattrs-include=*", "-cf", archive, ".")
	out := filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	program(t, out, "tar", "-S", "--acls", "--xattrs", "--xattrs-include=*", "-xpf", archive)
	sameTrees(t, tree, out)
	w.elsewhere()
	sameTrees(t, tree, out)
	again := filepath.Join(dir, "again.tar")
	program(t, out, "tar", "-S", "--acls", "--xattrs", "--xattrs-include=*", "-cf", again, ".")
	program(t, tree, "tar", "-S", "-df", again)
}

// runCp copies an odd tree in, within, and out again.
func runCp(t *testing.T, _ *world, dir string) {
	tree := oddTree(t, "text")
	in, within, out := filepath.Join(dir, "in"), filepath.Join(dir, "within"), filepath.Join(ext4Folder(t), "out")
	copyTree(t, tree, in)
	copyTree(t, in, within)
	copyTree(t, within, out)
	for _, copied := range []string{in, within, out} {
		sameTrees(t, tree, copied)
	}
}

// runRsync keeps a copy up to date in place, beside a native one that gets the
// same updates. The times are old ones: to rsync what it has just made is as new
// as something of the same second.
func runRsync(t *testing.T, w *world, dir string) {
	tree, twin := oddTree(t, "compress"), ext4Folder(t)
	large := filepath.Join(tree, "large")
	writeStream(t, large, stream(24<<20, 0))
	program(t, tree, "touch", "-d", "2008-01-01 00:00:00.5", ".")
	update := func(flags ...string) {
		t.Helper()
		for _, to := range []string{twin, dir} {
			program(t, dir, "rsync", append(flags, "-aHAX", "--delete", tree+"/", to+"/")...)
		}
		sameTrees(t, tree, dir)
		sameTrees(t, twin, dir)
	}
	update("--sparse")
	writeStream(t, large, stream(24<<20, 3))
	for _, path := range []string{"flate", "testdata"} {
		if err := os.RemoveAll(filepath.Join(tree, path)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(tree, "gzip"), filepath.Join(tree, "renamed")); err != nil {
		t.Fatal(err)
	}
	program(t, tree, "touch", "-d", "2008-01-01 00:00:01.5", ".")
	update("--inplace", "--no-whole-file")
	program(t, tree, "sh", "-c", `seq 1 100000 >>large`)
	update("--append-verify")
	program(t, tree, "sh", "-c", `seq 1 1000 >sparse; ln large again; rm -r sticky; touch -d '2008-01-01 00:00:02.5' .`)
	update("--delay-updates", "--fuzzy")
	w.elsewhere()
	if out := program(t, dir, "rsync", "-aHAX", "--checksum", "--delete", "--itemize-changes", "--dry-run", tree+"/", dir+"/"); out != "" {
		t.Errorf("after an update, rsync would still change:\n%s", out)
	}
}
