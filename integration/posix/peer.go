//go:build linux

package posix

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peer is a process of its own that takes and gives locks as it is told.
type peer struct {
	t       *T
	name    string
	cmd     *exec.Cmd
	in      io.WriteCloser
	replies chan string
	tid     int
}

// peerLimit is how long a peer may take for anything.
const peerLimit = 15 * time.Second

// peer starts one; it ends with the case.
func (t *T) peer(name string) *peer {
	p := &peer{t: t, name: name, cmd: exec.Command("/proc/self/exe"), replies: make(chan string, 16)}
	p.cmd.Env = append(os.Environ(), EnvDo+"="+doPeer)
	p.cmd.Stderr = os.Stderr
	var err error
	p.in, err = p.cmd.StdinPipe()
	t.must(err)
	out, err := p.cmd.StdoutPipe()
	t.must(err)
	t.must(p.cmd.Start())
	t.later(p.kill)
	go func() {
		defer close(p.replies)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.replies <- lines.Text()
		}
	}()
	_, err = fmt.Sscan(p.reply(), &p.tid)
	t.must(err)
	return p
}

func (p *peer) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func (p *peer) reply() string {
	late := time.NewTimer(peerLimit)
	defer late.Stop()
	select {
	case r, ok := <-p.replies:
		if !ok {
			return "it has ended"
		}
		return r
	case <-late.C:
		return "no answer"
	}
}

// begin has the peer make a call that may wait.
func (p *peer) begin(call string) {
	_, err := fmt.Fprintln(p.in, call)
	p.t.must(err)
}

// do has the peer make a call and writes down what came of it.
func (p *peer) do(call string) {
	p.begin(call)
	p.t.note(p.name+": "+call, "%s", p.reply())
}

// ends writes down how a call ended that waited.
func (p *peer) ends(call string) { p.t.note(p.name+": "+call+" ends", "%s", p.reply()) }

// waits writes down whether somebody waits for a lock of a file.
func (t *T) waits(name string) {
	var st unix.Stat_t
	t.must(unix.Stat(name, &st))
	inode := fmt.Sprintf(":%d ", st.Ino)
	for end := time.Now().Add(peerLimit); time.Now().Before(end); time.Sleep(time.Millisecond) {
		b, err := os.ReadFile("/proc/locks")
		t.must(err)
		for line := range strings.Lines(string(b)) {
			if strings.Contains(line, "->") && strings.Contains(line, inode) {
				t.note("somebody waits for "+name, "true")
				return
			}
		}
	}
	t.note("somebody waits for "+name, "false")
}

// interrupt sends the peer a signal that it handles.
func (p *peer) interrupt() {
	p.t.must(unix.Tgkill(p.cmd.Process.Pid, p.tid, unix.SIGUSR1))
}

// bePeer is what the peer does: it reads calls, one a line, and answers each
// with an errno or a result. All are made by one thread, whose number it says
// first.
func bePeer() error {
	runtime.LockOSThread()
	got := make(chan os.Signal, 1)
	signal.Notify(got, unix.SIGUSR1)
	if err := interruptible(unix.SIGUSR1); err != nil {
		return err
	}
	fmt.Println(unix.Gettid())
	files := map[string]int{}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(obey(files, strings.Fields(lines.Text())))
	}
	return nil
}

// interruptible has a signal end the system calls that it interrupts; the
// runtime asks the kernel to begin them again.
func interruptible(sig syscall.Signal) error {
	var act [4]uint64 // handler, flags, restorer, mask
	if _, _, no := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), 0, uintptr(unsafe.Pointer(&act)), 8, 0, 0); no != 0 {
		return fmt.Errorf("ask for the action of a signal: %w", no)
	}
	const restart = 0x10000000
	act[1] &^= restart
	if _, _, no := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&act)), 0, 8, 0, 0); no != 0 {
		return fmt.Errorf("change the action of a signal: %w", no)
	}
	return nil
}

// obey makes one call.
func obey(files map[string]int, words []string) string {
	arg := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	fd, open := files[arg(1)]
	if !open {
		fd = -1
	}
	switch words[0] {
	case "open", "openr": // HANDLE NAME
		flags := map[string]int{"open": unix.O_RDWR, "openr": unix.O_RDONLY}[words[0]]
		fd, err := unix.Open(arg(2), flags|unix.O_CLOEXEC, 0)
		files[arg(1)] = fd
		return outcome(err)
	case "close":
		delete(files, arg(1))
		return outcome(unix.Close(fd))
	case "flock": // HANDLE sh|ex|un [nb]
		how := map[string]int{"sh": unix.LOCK_SH, "ex": unix.LOCK_EX, "un": unix.LOCK_UN}[arg(2)]
		if arg(3) == "nb" {
			how |= unix.LOCK_NB
		}
		return outcome(unix.Flock(fd, how))
	case "posix", "ofd": // HANDLE set|wait|get r|w|u START LENGTH
		return record(words[0] == "ofd", fd, arg(2), arg(3), arg(4)+" "+arg(5))
	}
	return "unknown call"
}

// record is fcntl(2) with a record lock.
func record(ofd bool, fd int, do, kind, where string) string {
	lock := unix.Flock_t{Type: map[string]int16{"r": unix.F_RDLCK, "w": unix.F_WRLCK, "u": unix.F_UNLCK}[kind]}
	if _, err := fmt.Sscan(where, &lock.Start, &lock.Len); err != nil {
		return err.Error()
	}
	cmd := map[string]int{"set": unix.F_SETLK, "wait": unix.F_SETLKW, "get": unix.F_GETLK}[do]
	if ofd {
		cmd = map[string]int{"set": unix.F_OFD_SETLK, "wait": unix.F_OFD_SETLKW, "get": unix.F_OFD_GETLK}[do]
	}
	err := unix.FcntlFlock(uintptr(fd), cmd, &lock)
	if err != nil || do != "get" {
		return outcome(err)
	}
	if lock.Type == unix.F_UNLCK {
		return "free"
	}
	return fmt.Sprintf("held %s %d+%d, by a process: %v", map[int16]string{unix.F_RDLCK: "r", unix.F_WRLCK: "w"}[lock.Type], lock.Start, lock.Len, lock.Pid > 0)
}
