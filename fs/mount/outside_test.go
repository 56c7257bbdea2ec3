package mount

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// outsideLimit ends a program that hangs, before the whole test binary is.
const outsideLimit = 4 * time.Minute

// outside is a program that a test starts: in a process group of its own, which
// ends with ctx, however the program is. Its folder must not be in a mount of
// this process: the child asks for it between fork and exec, when this process
// may not be able to answer.
func outside(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// shell has sh do something to files of a mount, $D being its folder, because
// the process that serves a mount must not touch it: if it dies meanwhile, it
// waits for itself and cannot even be killed.
func shell(t testing.TB, dir, script string, more ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), outsideLimit)
	defer cancel()
	cmd := outside(ctx, "sh", "-ec", script)
	cmd.Env = append(append(os.Environ(), "D="+dir), more...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// reap waits for the end of a program that has been killed. One that cannot die
// because it waits for its own mount is set free, and the test fails.
func reap(t *testing.T, cmd *exec.Cmd, dir string) {
	t.Helper()
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	select {
	case <-ended:
		return
	case <-time.After(30 * time.Second):
		t.Error("a killed daemon does not end: it waits for itself")
	}
	_ = syscall.Unmount(dir, syscall.MNT_FORCE) // fails all that is asked of it
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("nor when its mount is taken away")
	}
}
