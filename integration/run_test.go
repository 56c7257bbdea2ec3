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

	"github.com/hammockfs/hammock/integration/rig"
)

// runner says how a program is run. The zero value runs it here, as the test's own
// user, and for no longer than rig.Limit.
type runner struct {
	dir   string
	env   []string // beside those that every program gets
	uid   uint32   // another user, if not zero; needs root
	limit time.Duration
}

// environment makes programs speak one language, and git know nobody.
var environment = []string{"LC_ALL=C", "TZ=UTC", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
	"GIT_AUTHOR_NAME=nobody", "GIT_AUTHOR_EMAIL=nobody@localhost", "GIT_COMMITTER_NAME=nobody", "GIT_COMMITTER_EMAIL=nobody@localhost"}

// run runs a program to its end and returns what it printed.
func (r runner) run(name string, args ...string) (string, error) {
	p, err := r.begin(name, args...)
	if err != nil {
		return "", err
	}
	err = p.wait()
	return p.out.String(), err
}

// running is a program that was begun and goes on.
type running struct {
	*exec.Cmd
	out    bytes.Buffer // not to be looked at before it has ended
	limit  time.Duration
	ctx    context.Context
	cancel context.CancelFunc
}

func (r runner) begin(name string, args ...string) (*running, error) {
	p := &running{limit: r.limit}
	if p.limit == 0 {
		p.limit = rig.Limit
	}
	p.ctx, p.cancel = context.WithTimeout(context.Background(), p.limit)
	p.Cmd = exec.CommandContext(p.ctx, name, args...)
	p.Dir, p.Env = r.dir, append(append(os.Environ(), environment...), r.env...)
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if r.uid != 0 {
		p.SysProcAttr.Credential = &syscall.Credential{Uid: r.uid, Gid: r.uid}
	}
	p.Cancel, p.WaitDelay = p.killGroup, rig.Graceful
	p.Stdout, p.Stderr = &p.out, &p.out
	if err := p.Start(); err != nil {
		p.cancel()
		return nil, err
	}
	return p, nil
}

func (p *running) killGroup() error { return syscall.Kill(-p.Process.Pid, syscall.SIGKILL) }

// wait waits for its end. Whatever it started and left behind when it failed is
// killed with it. A program that does not even end then waits for a daemon that
// does not answer, so those are killed, too: that ends its wait.
func (p *running) wait() error {
	defer p.cancel()
	end, _ := p.ctx.Deadline()
	stuck := time.AfterFunc(time.Until(end)+rig.Graceful, killMounts)
	defer stuck.Stop()
	err := p.Wait()
	if err != nil {
		_ = p.killGroup() // it may be empty
	}
	if p.ctx.Err() != nil {
		err = fmt.Errorf("not within %v: %w", p.limit, err)
	}
	return err
}

// start begins a program that is ended by end or kill, and by the test's end.
func (r runner) start(t *testing.T, name string, args ...string) *running {
	t.Helper()
	p, err := r.begin(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// end asks the program to end, and has it succeed.
func (p *running) end(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := p.wait(); err != nil {
		t.Errorf("%s: %v\n%s", p.Path, err, p.out.String())
	}
}

// kill ends the program, and what it started, without a word.
func (p *running) kill() {
	if p.ProcessState == nil {
		_ = p.killGroup()
		stuck := time.AfterFunc(rig.Graceful, killMounts)
		defer stuck.Stop()
		_ = p.wait() // it was killed
	}
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
