package integration

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestMainJob runs mainjob.sh: real input, two dead peers, a lost machine, a
// bare one. Its figures are in the test's output.
func TestMainJob(t *testing.T) {
	needMount(t, "bash", "rsync", "git", "ip", "unshare", "sha256sum", "awk")
	needRoot(t)
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "mainjob.sh")
	src := goSource(t)
	cmd.Env = append(os.Environ(), "HAMMOCK="+hammock(t), "TMPDIR="+t.TempDir(),
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	if os.Getenv("MAINJOB_SRC") == "" {
		cmd.Env = append(cmd.Env, "MAINJOB_SRC="+full(src, filepath.Join(src, "net")))
	}
	if os.Getenv("MAINJOB_MIB") == "" {
		cmd.Env = append(cmd.Env, "MAINJOB_MIB="+full("1024", "32"))
	}
	// The script ends what it has started when it is asked to, and when the
	// program for which it waits has ended.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		for lines := bufio.NewScanner(r); lines.Scan(); {
			t.Log(lines.Text())
		}
		_, _ = io.Copy(io.Discard, r) // a line too long to be printed
	}()
	err := cmd.Run()
	w.Close()
	<-printed
	if err != nil {
		t.Fatalf("mainjob.sh: %v", err)
	}
}
