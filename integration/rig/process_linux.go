package rig

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// PID is the node's process, if it runs: the number in a state could have gone
// to somebody else's process.
func (n *Node) PID() (int, bool) {
	b, err := os.ReadFile(filepath.Join(n.State, "pid"))
	if err != nil {
		return 0, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, false
	}
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return pid, err == nil && exe == n.Bin
}

// pidfd is -1 if the node does not run.
func (n *Node) pidfd() (int, error) {
	pid, ok := n.PID()
	if !ok {
		return -1, nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return -1, nil
	}
	if err != nil {
		return -1, fmt.Errorf("%s: open its process: %w", n.Name, err)
	}
	return fd, nil
}

// Signal sends a signal to the node's process; one that does not run is none to
// complain about.
func (n *Node) Signal(sig unix.Signal) (sent bool, err error) {
	fd, err := n.pidfd()
	if err != nil || fd < 0 {
		return false, err
	}
	defer unix.Close(fd)
	return n.send(fd, sig)
}

func (n *Node) send(fd int, sig unix.Signal) (bool, error) {
	err := unix.PidfdSendSignal(fd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: signal %d: %w", n.Name, sig, err)
	}
	return true, nil
}

// End sends a signal that ends the process and waits until it has; ended says
// whether there was one.
func (n *Node) End(sig unix.Signal, limit time.Duration) (ended bool, err error) {
	fd, err := n.pidfd()
	if err != nil || fd < 0 {
		return false, err
	}
	defer unix.Close(fd)
	if ended, err = n.send(fd, sig); err != nil || !ended {
		return ended, err
	}
	for late := time.Now().Add(limit); time.Now().Before(late); {
		k, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 500)
		if k > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return true, nil
		}
	}
	return true, fmt.Errorf("%s does not end within %v of signal %d: does it wait for its own mount?", n.Name, limit, sig)
}

// Kill ends the node's process without a word to it, and returns when it is
// gone.
func (n *Node) Kill() (killed bool, err error) { return n.End(unix.SIGKILL, 30*time.Second) }

// Detach takes a mount away that its daemon has left behind. What is asked of it
// fails first, so that nobody waits for an answer.
func (n *Node) Detach() {
	_ = unix.Unmount(n.Dir, unix.MNT_FORCE)
	for unix.Unmount(n.Dir, unix.MNT_DETACH) == nil {
	}
	if os.Getuid() != 0 {
		_ = exec.Command("fusermount3", "-u", "-z", "-q", n.Dir).Run() // fails where nothing is mounted
	}
}

// Peak is the most resident memory that the process ever had, in bytes, as the
// kernel has kept it; zero if it does not run.
func (n *Node) Peak() int64 {
	pid, ok := n.PID()
	if !ok {
		return 0
	}
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // it may just have ended
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	var kib int64
	fmt.Sscan(rest, &kib)
	return kib << 10
}

// Replace runs another program on the node's state, one that writes its pid
// there and says on a line of its own that it is ready. From then on it is the
// node, until it has ended: end then kills it if it runs, and waits for it.
func (n *Node) Replace(cmd *exec.Cmd, ready string) (end func(), err error) {
	log, err := os.OpenFile(filepath.Join(n.State, "log"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: start %s in its place: %w", n.Name, cmd.Path, err)
	}
	end = func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	}
	late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != ready {
		end()
		return nil, fmt.Errorf("%s: what was started in its place says %q: %w\n%s", n.Name, line, err, n.Log(2000))
	}
	if n.Bin, err = os.Readlink(fmt.Sprintf("/proc/%d/exe", cmd.Process.Pid)); err != nil {
		end()
		return nil, err
	}
	return end, nil
}
