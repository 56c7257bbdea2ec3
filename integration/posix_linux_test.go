package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hammockfs/hammock/integration/model"
	"github.com/hammockfs/hammock/integration/posix"
)

// TestPosix runs the cases of package posix in a folder of ext4 and in a
// mounted one, and compares; and go-fuse's own tests in the mounted one. What
// all of them leave behind must then be the same, to the nanosecond, after a
// remount and after a kill of the daemon.
func TestPosix(t *testing.T) {
	needMount(t)
	needRoot(t) // most of the cases that are about permissions need more than one user
	w := newSolo(t, posixOptions)
	t.Run("cases", func(t *testing.T) { comparePosix(t, w.path("cases")) })
	t.Run("go-fuse", func(t *testing.T) { conform(t, w.path("go-fuse")) })
	before := lookPosix(t, w.path())
	w.unmount()
	w.mountAgain()
	sameLook(t, "after a remount", before, lookPosix(t, w.path()))
	w.killMount()
	w.mountAgain()
	sameLook(t, "after a kill", before, lookPosix(t, w.path()))
	w.unmount()
	w.check("--data")
}

func comparePosix(t *testing.T, mounted string) {
	if err := os.Mkdir(mounted, 0o755); err != nil {
		t.Fatal(err)
	}
	truth, test := runPosix(t, ext4Folder(t)), runPosix(t, mounted)
	for _, fault := range posix.Compare(truth, test, posix.Differences) {
		t.Error(fault)
	}
	steps := 0
	for _, tr := range truth {
		steps += len(tr.Steps)
	}
	t.Logf("%d cases, %d steps", len(truth), steps)
}

// posixOptions lets other users, set-ID programs and devices in, as on a disk.
const posixOptions = "allow_other,suid,dev"

// posixLimit is for one run of all cases.
const posixLimit = 3 * time.Minute

// posixProcess runs this program as package posix wants it, in a namespace of
// mounts of its own if root does it, and returns what it wrote. A process that
// hangs is ended with all that it has started.
func posixProcess(t *testing.T, do, dir string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), posixLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), posix.EnvDo+"="+do, posix.EnvDir+"="+dir, "GODEBUG=asyncpreemptoff=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
	}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	if err := cmd.Run(); err != nil {
		d := diag.String()
		t.Fatalf("%s in %s: %v\n%s", do, dir, errors.Join(err, ctx.Err()), d[max(0, len(d)-8000):])
	}
	return out.Bytes()
}

func runPosix(t *testing.T, dir string) (list []posix.Transcript) {
	t.Helper()
	start := time.Now()
	out := json.NewDecoder(bytes.NewReader(posixProcess(t, posix.DoCases, dir)))
	for {
		var tr posix.Transcript
		if err := out.Decode(&tr); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, tr)
	}
	t.Logf("%s: %v", dir, time.Since(start).Round(time.Millisecond))
	if path := os.Getenv("HAMMOCK_POSIX_KEEP"); path != "" {
		keepTranscript(t, filepath.Join(path, strings.ReplaceAll(strings.Trim(dir, "/"), "/", "_")), list)
	}
	return list
}

// keepTranscript writes a transcript to a file, for who writes new cases.
func keepTranscript(t *testing.T, path string, list []posix.Transcript) {
	var text strings.Builder
	for _, tr := range list {
		for _, s := range tr.Steps {
			fmt.Fprintf(&text, "%s: %s: %s\n", tr.Case, s.Call, s.Result)
		}
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		t.Error(err)
	}
}

func lookPosix(t *testing.T, dir string) []string {
	t.Helper()
	return strings.Split(string(posixProcess(t, posix.DoLook, dir)), "\n")
}

func sameLook(t *testing.T, when string, before, now []string) {
	t.Helper()
	if len(before) != len(now) {
		t.Errorf("%s: %d names, before %d", when, len(now), len(before))
		return
	}
	for i := range before {
		if before[i] != now[i] {
			t.Errorf("%s:\n     %s\nwas  %s", when, now[i], before[i])
		}
	}
}

// ext4Folder is an empty folder of ext4.
func ext4Folder(t *testing.T) string {
	t.Helper()
	native, err := model.OpenNative(t.TempDir())
	if err != nil {
		missing(t, "there is no ext4 to compare with: %v", err)
	}
	t.Cleanup(func() {
		if err := native.Close(); err != nil {
			t.Error(err)
		}
	})
	folder := filepath.Join(native.Dir, "folder")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}
