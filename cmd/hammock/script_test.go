//go:build linux

package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts in testdata/script drive the program as its users do: every
// process is real, and so are the mounts. Each script has a folder of its own,
// in which all its states lie; what still runs or is mounted there when it ends
// is ended.

func TestMain(m *testing.M) {
	if strings.HasSuffix(os.Args[0], ".test") {
		flag.Parse()
		if p := flag.Lookup("test.parallel"); p.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
			_ = p.Value.Set("4") // the scripts wait more than they compute
		}
	}
	testscript.Main(m, map[string]func(){"hammock": main, "outsider": outsider})
}

func TestScripts(t *testing.T) { runScripts(t, "testdata/script") }

// TestAlone runs the scripts that count shards: where several others run
// beside, slow puts are overtaken, and a shard may lie on two peers.
func TestAlone(t *testing.T) { runScripts(t, "testdata/alone") }

// scriptsLimit ends the programs of scripts that hang, before the whole test
// binary is ended and nothing is cleaned up.
const scriptsLimit = 8 * time.Minute

func runScripts(t *testing.T, dir string) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	testscript.Run(t, testscript.Params{
		Dir:         dir,
		Deadline:    time.Now().Add(scriptsLimit),
		WorkdirRoot: t.TempDir(), // which fails the test if something is still mounted there
		Setup:       setupScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await": await, "end": endProcess, "random": randomFile, "rot": rot, "forge": forge, "size": atMost,
		},
		Condition:           condition,
		RequireExplicitExec: true,
	})
}

// fuseMissing says why nothing can be mounted here; nil if it can.
func fuseMissing() error {
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	f.Close()
	if os.Geteuid() == 0 {
		return nil
	}
	_, err = exec.LookPath("fusermount3")
	return err
}

// TestFUSE fails where the scripts that mount would be passed over in silence.
func TestFUSE(t *testing.T) {
	err := fuseMissing()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("FUSE does not work here, so most of the program is not tested: %v", err)
	default:
		t.Skipf("no FUSE: %v", err)
	}
}

// TestNamespaces fails where the scripts that change users would be passed over
// in silence.
func TestNamespaces(t *testing.T) {
	if ok, _ := condition("namespace"); !ok && os.Getenv("CI") == "true" {
		t.Fatal("this needs root and mount namespaces")
	} else if !ok {
		t.Skip("not root, or no mount namespaces")
	}
}

func condition(name string) (bool, error) {
	switch name {
	case "fuse":
		return fuseMissing() == nil, nil
	case "namespace": // may make mount namespaces and change users
		return os.Geteuid() == 0 && exec.Command("unshare", "-m", "true").Run() == nil, nil
	}
	return false, fmt.Errorf("unknown condition %s", name)
}

func setupScript(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, "home")
	env.Setenv("HOME", home)
	env.Setenv("XDG_DATA_HOME", filepath.Join(home, "data"))
	env.Setenv("HAMMOCK_PASSPHRASE_FILE", "")
	env.Setenv("GORACE", "atexit_sleep_ms=0 halt_on_error=1") // a second at the end of each process adds up
	env.Defer(func() {
		cleanUp(env.WorkDir)
		if bad := complaints(env.WorkDir); bad != "" {
			env.T().Fatal(bad)
		}
	})
	return os.MkdirAll(home, 0o755)
}

// cleanUp ends what a script left: processes whose states lie in its folder, by
// the process IDs that they noted there, and mounts.
func cleanUp(work string) {
	_ = filepath.WalkDir(work, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fs.SkipDir // a mount
		}
		if d.Name() == "pid" && d.Type().IsRegular() {
			if pid, err := notedPID(path); err == nil {
				_ = kill(pid, syscall.SIGKILL)
			}
		}
		return nil
	})
	list, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(list)) {
		if words := strings.Fields(line); len(words) > 4 && strings.HasPrefix(words[4], work+"/") {
			_ = syscall.Unmount(words[4], syscall.MNT_FORCE) // what is asked of it fails
			_ = syscall.Unmount(words[4], syscall.MNT_DETACH)
			_ = exec.Command("fusermount3", "-u", "-z", words[4]).Run()
		}
	}
}

// complaints finds what a background process should never have to say.
func complaints(work string) (found string) {
	_ = filepath.WalkDir(work, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "log" && d.Type().IsRegular() {
			b, _ := os.ReadFile(path)
			for _, bad := range []string{"WARNING: DATA RACE", "panic", "goroutine profile"} {
				if at := bytes.Index(b, []byte(bad)); at >= 0 {
					found += fmt.Sprintf("%s:\n%s\n", path, b[at:min(len(b), at+8000)])
				}
			}
		}
		return nil
	})
	return found
}

func notedPID(path string) (int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// kill signals a process if it is one of this test's, and waits until it has
// ended unless the signal is a question.
func kill(pid int, sig syscall.Signal) error {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if errors.Is(err, fs.ErrPermission) { // without root's rights it does not show: its memory is closed
		var name []byte
		if name, err = os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); string(name) == "hammock\n" {
			exe = "testscript-main"
		}
	}
	if err != nil || !strings.Contains(exe, "testscript-main") {
		return fmt.Errorf("process %d is not this test's", pid)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		return err
	}
	return until(30*time.Second, func() error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if _, rest, ok := bytes.Cut(stat, []byte(") ")); err == nil && ok && rest[0] != 'Z' {
			return fmt.Errorf("process %d goes on", pid)
		}
		return nil
	})
}

// until tries f until it succeeds.
func until(limit time.Duration, f func() error) error {
	end := time.Now().Add(limit)
	for {
		err := f()
		if err == nil || time.Now().After(end) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// await runs a program until it succeeds, or fails after "!".
func await(ts *testscript.TestScript, neg bool, args []string) {
	err := until(time.Minute, func() error {
		err := ts.Exec(args[0], args[1:]...)
		if neg && err == nil {
			return errors.New("it goes on succeeding")
		}
		if neg {
			return nil
		}
		return err
	})
	ts.Check(err)
}

// endProcess sends the process of a state a signal and waits for its end:
// end kill|term STATE.
func endProcess(ts *testscript.TestScript, _ bool, args []string) {
	sig := map[string]syscall.Signal{"kill": syscall.SIGKILL, "term": syscall.SIGTERM, "int": syscall.SIGINT}[args[0]]
	pid, err := notedPID(ts.MkAbs(filepath.Join(args[1], "pid")))
	ts.Check(err)
	ts.Check(kill(pid, sig))
}

// randomFile writes bytes that do not compress: random FILE BYTES SEED.
func randomFile(ts *testscript.TestScript, _ bool, args []string) {
	size, err := parseSize(args[1])
	ts.Check(err)
	b := make([]byte, size)
	seed := [32]byte{}
	copy(seed[:], args[2])
	_, _ = rand.NewChaCha8(seed).Read(b)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o644))
}

// rot changes bytes in files: rot PATTERN.
func rot(ts *testscript.TestScript, _ bool, args []string) {
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	changed := 0
	for _, name := range files {
		b, err := os.ReadFile(name)
		ts.Check(err)
		for at := 1000; at < len(b); at += 4096 {
			b[at] ^= 0x55
			changed++
		}
		ts.Check(os.WriteFile(name, b, 0o600))
	}
	if changed == 0 {
		ts.Fatalf("%s keeps nothing that could rot", args[0])
	}
}

// atMost compares the size of a folder: size FOLDER at-least|at-most BYTES.
func atMost(ts *testscript.TestScript, _ bool, args []string) {
	var total int64
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	}))
	limit, err := parseSize(args[2])
	ts.Check(err)
	if args[1] == "at-most" && total > limit || args[1] == "at-least" && total < limit {
		ts.Fatalf("%s has %d bytes, wanted %s %d", args[0], total, args[1], limit)
	}
}
