package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// runner says how a program is run. The zero value runs it here, as the test's own
// user, and for no longer than commandLimit.
type runner struct {
	dir   string
	env   []string // beside those that every program gets
	uid   uint32   // another user, if not zero; needs root
	limit time.Duration
}

// environment makes programs speak one language, and git know nobody.
var environment = []string{"LC_ALL=C", "TZ=UTC", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
	"GIT_AUTHOR_NAME=nobody", "GIT_AUTHOR_EMAIL=nobody@localhost", "GIT_COMMITTER_NAME=nobody", "GIT_COMMITTER_EMAIL=nobody@localhost"}

// graceful is how long a program that is killed may take to end.
const graceful = 20 * time.Second

// run runs a program to its end and returns what it printed. Whatever it
// started and left behind when it failed is killed with it. A program that does
// not even end then waits for a daemon that does not answer, so those are
// killed, too: that ends its wait.
func (r runner) run(name string, args ...string) (string, error) {
	if r.limit == 0 {
		r.limit = commandLimit
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = r.dir, append(append(os.Environ(), environment...), r.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if r.uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: r.uid, Gid: r.uid}
	}
	group := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel, cmd.WaitDelay = group, graceful
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	stuck := time.AfterFunc(r.limit+graceful, killMounts)
	defer stuck.Stop()
	if err := cmd.Start(); err != nil {
		return "", err
	}
	err := cmd.Wait()
	if err != nil {
		_ = group() // it may be empty
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("not within %v: %w", r.limit, err)
	}
	return out.String(), err
}

// must is run for what has to succeed.
func (r runner) must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := r.run(name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// program runs a program in a folder; it has to succeed.
func program(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	return runner{dir: dir}.must(t, name, args...)
}

// mounting are the nodes whose folders programs may be waiting for.
var mounting sync.Map

// killMounts kills all daemons with a mount, so that nobody waits for them.
func killMounts() {
	mounting.Range(func(n, _ any) bool {
		n.(*node).t.Error("its daemon was killed, because a program did not end")
		n.(*node).killMount()
		return true
	})
}
