package integration

import (
	"os"
	"testing"
)

// A family is one kind of program at work in the folder.
type family struct {
	name  string
	needs []string
	run   func(t *testing.T, w *world, dir string)
}

// fromPeers are the families whose files are read again from peers.
var fromPeers = []family{
	{"git", []string{"git"}, runGit},
	{"tar", []string{"tar", "setfattr", "setfacl"}, runTar},
	{"mmap", nil, runMmap},
	{"rsync", []string{"rsync", "setfattr", "setfacl"}, runRsync},
}

// alone are the families for which the mount by itself is enough.
var alone = []family{
	{"cp", []string{"setfattr", "setfacl"}, runCp},
	{"sqlite-delete", []string{"sqlite3"}, func(t *testing.T, _ *world, dir string) { runSQLite(t, dir, "delete") }},
	{"sqlite-wal", []string{"sqlite3"}, func(t *testing.T, _ *world, dir string) { runSQLite(t, dir, "wal") }},
	{"fio", []string{"fio"}, runFio},
	{"fio-engines", []string{"fio"}, runFioEngines},
	{"stress", []string{"stress-ng"}, runStress},
	{"go", []string{"go"}, runGo},
}

// heavy are those that only `make soak` runs.
var heavy = []family{
	{"postgres", nil, runPostgres},
	{"chromium", []string{"chromium"}, runBrowser},
	{"go-os", []string{"go"}, runGoOS},
	{"go-std", []string{"go", "git"}, runGoStd},
	{"stress-class", []string{"stress-ng"}, runStressClass},
}

// TestPrograms has real programs work in the folder, each in a folder of its
// own, and after all of them the volume is proved whole.
func TestPrograms(t *testing.T) {
	needMount(t)
	w := newWorld(t, 3, "2+1")
	runFamilies(t, w, fromPeers)
	w.must("sync")
	w.check("--data")
	w.unmount()
}

// TestProgramsAlone is TestPrograms for those that need no peers.
func TestProgramsAlone(t *testing.T) {
	needMount(t)
	w := newSolo(t, "")
	runFamilies(t, w, alone)
	w.check("--data")
	w.unmount()
}

// TestProgramsSoak runs the heavy ones. A database server does not run as root,
// so other users are let in.
func TestProgramsSoak(t *testing.T) {
	if !soak() {
		t.Skip("only with HAMMOCK_SOAK")
	}
	needMount(t)
	options := ""
	if os.Getuid() == 0 {
		options = "allow_other"
	}
	w := newSolo(t, options)
	runFamilies(t, w, heavy)
	w.check("--data")
	w.unmount()
}

func runFamilies(t *testing.T, w *world, families []family) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			needMount(t, f.needs...)
			dir := w.path(f.name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			f.run(t, w, dir)
		})
	}
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
