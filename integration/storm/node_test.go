package storm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// commandLimit ends a command that hangs.
const commandLimit = 3 * time.Minute

// node is one node: a state folder and the process that runs on it.
type node struct {
	name   string
	bin    string
	state  string
	dir    string // where it is mounted; empty if it only serves
	space  string // the network namespace that it lives in; empty for the test's own
	listen string // empty if it may choose
}

// command is a hammock command on this node's state, in its network.
func (n *node) command(ctx context.Context, args ...string) *exec.Cmd {
	args = append(args, "--state", n.state)
	name := n.bin
	if n.space != "" {
		name, args = "nsenter", append([]string{"--net=/run/netns/" + n.space, n.bin}, args...)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "HAMMOCK_PASSPHRASE_FILE=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// run runs a command and returns what it wrote.
func (n *node) run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	cmd := n.command(ctx, args...)
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: hammock %s: %w: %s%s", n.name, strings.Join(args, " "), err, diag.String(), out.String())
	}
	return out.String(), nil
}

// start starts the node: one that has a folder mounts it, any other serves.
func (n *node) start(more ...string) error {
	args := []string{"serve", "--give", "20G"}
	if n.dir != "" {
		args = []string{"mount", n.dir}
	}
	if n.listen != "" {
		args = append(args, "--listen", n.listen)
	}
	_, err := n.run(append(args, more...)...)
	return err
}

// alone keeps a node off all networks but the loopback one and what it is told
// to listen at.
func (n *node) alone() error {
	path := filepath.Join(n.state, "settings.json")
	var set map[string]any
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &set)
	}
	if err != nil {
		return err
	}
	set["loopback"] = true
	if b, err = json.Marshal(set); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// pid is the node's process, if it runs: the number in a state could have gone
// to somebody else's process.
func (n *node) pid() (int, bool) {
	b, err := os.ReadFile(filepath.Join(n.state, "pid"))
	if err != nil {
		return 0, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, false
	}
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return pid, err == nil && exe == n.bin
}

// signal sends a signal to the node's process; one that does not run is none to
// complain about.
func (n *node) signal(sig unix.Signal) (sent bool, err error) {
	fd, err := n.pidfd()
	if err != nil || fd < 0 {
		return false, err
	}
	defer unix.Close(fd)
	return send(fd, sig)
}

func send(fd int, sig unix.Signal) (bool, error) {
	err := unix.PidfdSendSignal(fd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return false, nil
	}
	return err == nil, err
}

// pidfd is -1 if the node does not run.
func (n *node) pidfd() (int, error) {
	pid, ok := n.pid()
	if !ok {
		return -1, nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return -1, nil
	}
	return fd, err
}

// end sends a signal that ends the process and waits until it has; killed says
// whether there was one.
func (n *node) end(sig unix.Signal, limit time.Duration) (killed bool, err error) {
	fd, err := n.pidfd()
	if err != nil || fd < 0 {
		return false, err
	}
	defer unix.Close(fd)
	if killed, err = send(fd, sig); err != nil || !killed {
		return killed, err
	}
	for late := time.Now().Add(limit); time.Now().Before(late); {
		k, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 500)
		if k > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return true, nil
		}
	}
	return true, fmt.Errorf("%s does not end within %v of signal %d", n.name, limit, sig)
}

func (n *node) kill() (bool, error) { return n.end(unix.SIGKILL, 30*time.Second) }

// detach takes away a mount whose daemon is dead. What is asked of it fails
// first, so that nobody waits for an answer.
func (n *node) detach() {
	_ = unix.Unmount(n.dir, unix.MNT_FORCE)
	for unix.Unmount(n.dir, unix.MNT_DETACH) == nil {
	}
	if os.Getuid() != 0 {
		_ = exec.Command("fusermount3", "-u", "-z", "-q", n.dir).Run() // fails where nothing is mounted
	}
}

// log is the end of what the node has written down.
func (n *node) log(most int) string {
	b, err := os.ReadFile(filepath.Join(n.state, "log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-most):])
}

// peak is the most resident memory that the process ever had, in bytes; zero if
// it does not run.
func (n *node) peak() int64 {
	pid, ok := n.pid()
	if !ok {
		return 0
	}
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	var kib int64
	fmt.Sscan(rest, &kib)
	return kib << 10
}

// status is the part of `hammock status --json` that a storm looks at.
type status struct {
	Addresses []string `json:"addresses"`
	Peers     []struct {
		Name      string `json:"name"`
		Connected bool   `json:"connected"`
		Gives     int64  `json:"gives"`
	} `json:"peers"`
	Volume *struct {
		LocalBytes int64       `json:"local_only_bytes"`
		Queued     int         `json:"uploads_queued"`
		Stripes    map[int]int `json:"stripes_by_spare"`
		Lost       int         `json:"stripes_unreadable_now"`
	} `json:"volume"`
}

func (n *node) status() (*status, error) {
	out, err := n.run("status", "--json")
	if err != nil {
		return nil, err
	}
	var s status
	return &s, json.Unmarshal([]byte(out), &s)
}

// await asks for the status until it is as wanted. What changes it is in other
// processes, so there is nothing to wait on but time.
func (n *node) await(what string, limit time.Duration, wanted func(*status) bool) error {
	for late := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		s, err := n.status()
		if err != nil {
			return err
		}
		if wanted(s) {
			return nil
		}
		if time.Now().After(late) {
			text, _ := n.run("status")
			return fmt.Errorf("not within %v: %s\n%s", limit, what, text)
		}
	}
}
