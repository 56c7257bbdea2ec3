package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Limit ends a command that hangs, before the whole test binary is.
const Limit = 4 * time.Minute

// Graceful is how long a program that is killed may take to end.
const Graceful = 20 * time.Second

// Node is one node: a state folder, and the process that runs on it.
type Node struct {
	Name  string
	Bin   string
	State string
	Dir   string // where it is mounted; empty if it only serves
	Space string // the network namespace that it lives in; empty for the test's own
}

// Grouped gives a command a process group of its own, which its context ends as
// a whole.
func Grouped(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = Graceful
	return cmd
}

// In is a program in this node's network.
func (n *Node) In(ctx context.Context, name string, args ...string) *exec.Cmd {
	if n.Space != "" {
		name, args = "nsenter", append([]string{"--net=/run/netns/" + n.Space, name}, args...)
	}
	return Grouped(exec.CommandContext(ctx, name, args...))
}

// Command is a hammock command on this node's state, in its network.
func (n *Node) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := n.In(ctx, n.Bin, append(args, "--state", n.State)...)
	cmd.Env = append(os.Environ(), "HAMMOCK_PASSPHRASE_FILE=")
	return cmd
}

// Run runs a command to its end and returns what it wrote.
func (n *Node) Run(args ...string) (stdout string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	cmd := n.Command(ctx, args...)
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: hammock %s: %w: %s", n.Name, strings.Join(args, " "), err, diag.String()+out.String())
	}
	return out.String(), nil
}

// Set changes one of the node's settings; it must not run.
func (n *Node) Set(key string, value any) error {
	path := filepath.Join(n.State, "settings.json")
	var set map[string]any
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &set)
	}
	if err == nil {
		set[key] = value
		b, err = json.Marshal(set)
	}
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("%s: set %s: %w", n.Name, key, err)
	}
	return nil
}

// Alone keeps a node off all networks but the loopback one and what it is told
// to listen at, as `hammock demo` does.
func (n *Node) Alone() error { return n.Set("loopback", true) }

// Log is the end of what the node has written down.
func (n *Node) Log(most int) string {
	b, err := os.ReadFile(filepath.Join(n.State, "log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-most):])
}

// Words are the 24 words that `hammock init` has printed.
func Words(printed string) (string, error) {
	var all []string
	for line := range strings.Lines(printed) {
		if words := strings.Fields(line); strings.HasPrefix(line, "    ") && len(words) == 6 {
			all = append(all, words...)
		}
	}
	if len(all) != 24 {
		return "", fmt.Errorf("init printed %d words, not 24:\n%s", len(all), printed)
	}
	return strings.Join(all, " "), nil
}

// Gone says whether an error is what a program gets from a mount whose daemon
// was killed.
func Gone(err error) bool {
	for _, e := range []error{syscall.ENOTCONN, syscall.ECONNABORTED, syscall.ECANCELED, syscall.EIO, syscall.EINTR, os.ErrClosed} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
