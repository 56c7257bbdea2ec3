//go:build linux

package posix

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var execCases = []Case{
	{"exec/programs", true, execPrograms},
	{"exec/busy", false, execBusy},
	{"exec/truncated", false, execTruncated},
	{"exec/setid", true, execSetID},
}

// program copies a program of the system into the folder.
func (t *T) program(name, program string, mode uint32) {
	path, err := exec.LookPath(program)
	t.must(err)
	from, err := os.Open(path)
	t.must(err)
	defer from.Close()
	to, err := os.Create(name)
	t.must(err)
	_, err = io.Copy(to, from)
	t.must(err)
	t.must(to.Close())
	t.must(unix.Chmod(name, mode))
}

// exec runs a program and writes down how it began and ended.
func (t *T) exec(call string, cred *syscall.Credential, name string, args ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	var end *exec.ExitError
	switch {
	case errors.As(err, &end):
		t.note(call, "exit %d, %s", end.ExitCode(), brief(out))
	case err != nil:
		t.result(call, err)
	default:
		t.note(call, "%s", brief(out))
	}
}

func execPrograms(t *T) {
	t.program("echo", "echo", 0o755)
	t.exec("echo", nil, "./echo", "hello")
	t.file("script", "#!/bin/sh\necho script $1\n")
	t.exec("a script that may not run", nil, "./script")
	t.must(unix.Chmod("script", 0o755))
	t.exec("a script", nil, "./script", "x")
	t.must(os.WriteFile("self", []byte("#!"+"./echo"+" with\n"), 0o755))
	t.exec("a script of a program here", nil, "./self")
	t.must(os.WriteFile("none", []byte("#!/does/not/exist\n"), 0o755))
	t.exec("a script of no program", nil, "./none")
	t.must(os.WriteFile("text", []byte("just text\n"), 0o755))
	t.exec("a text", nil, "./text")
	t.must(os.WriteFile("empty", nil, 0o755))
	t.exec("an empty file", nil, "./empty")
	t.dir("d")
	t.exec("a directory", nil, "./d")
	t.must(os.Symlink("echo", "s"))
	t.exec("a link", nil, "./s", "by link")
	t.must(unix.Chmod("echo", 0o600))
	t.exec("without x", nil, "./echo", "x")
	t.must(unix.Chmod("echo", 0o711))
	t.exec("without r, by another", &syscall.Credential{Uid: 1001, Gid: 1001}, "./echo", "x")
	t.must(unix.Chmod("echo", 0o700))
	t.exec("root's, by another", &syscall.Credential{Uid: 1001, Gid: 1001}, "./echo", "x")
	t.must(unix.Chmod("echo", 0o001))
	t.exec("x for others only, by root", nil, "./echo", "x")
	t.must(unix.Chmod("echo", 0o755))
	h := t.opened("echo", unix.O_RDONLY, 0)
	t.unlink("echo")
	t.exec("what has no name, by its handle", nil, fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), h.fd), "still")
}

// execBusy writes to running programs and runs what is being written.
func execBusy(t *T) {
	t.program("sleep", "sleep", 0o755)
	cmd := exec.Command("./sleep", "60")
	t.must(cmd.Start())
	stop := func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	t.later(stop)
	t.open("sleep", unix.O_WRONLY, 0)
	t.open("sleep", unix.O_RDWR, 0)
	t.open("sleep", unix.O_WRONLY|unix.O_TRUNC, 0)
	t.truncate("sleep", 0)
	t.open("sleep", unix.O_RDONLY, 0)
	t.chmod("sleep", 0o700)
	t.link("sleep", "other")
	t.open("other", unix.O_WRONLY, 0)
	t.rename("sleep", "moved")
	t.open("moved", unix.O_WRONLY, 0)
	t.unlink("other")
	t.file("new", "x")
	t.rename("new", "moved")
	t.note("the program meanwhile", "runs: %v", cmd.Process.Signal(syscall.Signal(0)) == nil && running(cmd.Process.Pid))
	stop()
	t.open("moved", unix.O_WRONLY, 0)
	t.program("true", "true", 0o755)
	w := t.opened("true", unix.O_WRONLY|unix.O_APPEND, 0)
	t.exec("what is open for writing", nil, "./true")
	t.close(w)
	t.exec("when it is closed", nil, "./true")
	t.open("true", unix.O_RDWR, 0)
}

// execTruncated truncates a running program through a handle that only reads.
func execTruncated(t *T) {
	t.program("sleep", "sleep", 0o755)
	cmd := exec.Command("./sleep", "60")
	t.must(cmd.Start())
	t.later(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if fd, err := unix.Open("sleep", unix.O_RDONLY|unix.O_TRUNC|unix.O_CLOEXEC, 0); err == nil {
		t.fds = append(t.fds, fd) // it did not survive the loss of its text, so nobody runs it
	}
	var st unix.Stat_t
	t.must(unix.Stat("sleep", &st))
	t.note("the program on disk", "empty: %v", st.Size == 0)
}

// running says whether a process of ours has not ended.
func running(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, ok := strings.Cut(string(b), ") ")
	return err == nil && ok && state[0] != 'Z'
}

// execSetID runs programs as their owner.
func execSetID(t *T) {
	t.program("id", "id", 0o755)
	other := &syscall.Credential{Uid: 1001, Gid: 1001}
	for _, mode := range []uint32{0o755, 0o4755, 0o2755, 0o6755, 0o2745} {
		t.must(unix.Chown("id", 1234, 2345))
		t.must(unix.Chmod("id", mode))
		t.exec(fmt.Sprintf("%o: id -u", mode), other, "./id", "-u")
		t.exec(fmt.Sprintf("%o: id -g", mode), other, "./id", "-g")
	}
	t.must(unix.Chmod("id", 0o6755))
	t.must(unix.Mkdir("nosuid", 0o755))
	t.mountHere("nosuid", unix.MS_NOSUID)
	t.exec("6755 where set-ID is off: id -u", other, "nosuid/id", "-u")
}
