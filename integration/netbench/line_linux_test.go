package netbench

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hammockfs/hammock/integration/rig"
)

const (
	lineDelay = 20 * time.Millisecond // each way
	lineRate  = 100e6 / 8             // bytes a second, each way
)

// A line is all that a node has of the network: everything that it sends, to
// whomever, goes through one way, and what it gets through the other. Bytes leave
// one after the other at the rate of the line, and arrive after its delay. It is
// made of connections that end here and go on from here, so that the kernel's slow
// start is no part of it, while the windows of what runs above are.
type line struct {
	up, down way
	ends     []net.Listener
	wg       sync.WaitGroup
	mu       sync.Mutex
	open     map[net.Conn]bool // guarded by mu; nil when the line is cut
}

type way struct {
	mu      sync.Mutex
	free    time.Time // when what is under way has left
	carried int64
}

// waiting is how long bytes may wait to leave before their sender has to.
const waiting = 20 * time.Millisecond

// send is when n bytes that come now have arrived, and when their sender may go on.
func (w *way) send(n int) (arrive, next time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); w.free.Before(now) {
		w.free = now
	}
	w.carried += int64(n)
	w.free = w.free.Add(time.Duration(float64(n) / lineRate * float64(time.Second)))
	return w.free.Add(lineDelay), w.free.Add(-waiting)
}

// parcel is what arrives at a time.
type parcel struct {
	b  []byte
	at time.Time
}

// total is how many bytes have gone this way.
func (w *way) total() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.carried
}

// carry moves bytes from one connection to another until either ends.
func (w *way) carry(to, from net.Conn) {
	queue := make(chan parcel, 1024)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer to.Close()
		for p := range queue {
			time.Sleep(time.Until(p.at))
			if _, err := to.Write(p.b); err != nil {
				from.Close()
			}
		}
	})
	for {
		b := make([]byte, 16<<10)
		n, err := from.Read(b)
		if n > 0 {
			at, next := w.send(n)
			queue <- parcel{b[:n], at}
			time.Sleep(time.Until(next))
		}
		if err != nil {
			break
		}
	}
	close(queue)
	wg.Wait()
}

// farAway gives a node a network of its own, from which it reaches the peers
// through a line only, under the addresses that they have.
func (s *swarm) farAway(n *rig.Node) *line {
	s.b.Helper()
	if rig.NeedMount(s.b, "ip", "nsenter"); os.Getuid() != 0 {
		rig.Missing(s.b, "networks of their own need root")
	}
	n.Space = fmt.Sprintf("hammock-%d-%s", os.Getpid(), n.Name)
	for _, args := range []string{"netns add " + n.Space, "-n " + n.Space + " link set lo up"} {
		out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
		if err != nil {
			s.b.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	l := &line{open: map[net.Conn]bool{}}
	s.b.Cleanup(func() {
		l.cut()
		_ = exec.Command("ip", "netns", "del", n.Space).Run()
	})
	for _, p := range s.peers {
		addr := fmt.Sprintf("127.0.0.1:%d", portOf(s.b, p))
		end, err := listenIn(n.Space, addr)
		ok(s.b, err)
		l.ends = append(l.ends, end)
		l.wg.Go(func() { l.serve(end, addr) })
	}
	return l
}

// portOf is where a node listens.
func portOf(b *testing.B, n *rig.Node) (port int) {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(n.State, "settings.json"))
	ok(b, err)
	set := struct{ Port *int }{&port}
	ok(b, json.Unmarshal(text, &set))
	if port == 0 {
		b.Fatalf("%s does not say where it listens", n.Name)
	}
	return port
}

// listenIn listens in another network namespace: a socket belongs to the one in
// which its thread was when it was made.
func listenIn(space, addr string) (l net.Listener, err error) {
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer own.Close()
	other, err := os.Open("/run/netns/" + space)
	if err != nil {
		return nil, err
	}
	defer other.Close()
	if err := unix.Setns(int(other.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	l, err = net.Listen("tcp", addr)
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); back != nil {
		return nil, errors.Join(err, back) // the thread stays locked, and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return l, err
}

func (l *line) serve(end net.Listener, addr string) {
	for {
		near, err := end.Accept()
		if err != nil {
			return
		}
		l.wg.Go(func() {
			defer near.Close()
			far, err := net.Dial("tcp", addr)
			if err != nil {
				return
			}
			defer far.Close()
			if !l.note(near, far) {
				return
			}
			var wg sync.WaitGroup
			wg.Go(func() { l.up.carry(far, near) })
			wg.Go(func() { l.down.carry(near, far) })
			wg.Wait()
			l.forget(near, far)
		})
	}
}

func (l *line) note(all ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		return false
	}
	for _, c := range all {
		l.open[c] = true
	}
	return true
}

func (l *line) forget(all ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range all {
		delete(l.open, c)
	}
}

// cut ends all that goes through the line.
func (l *line) cut() {
	for _, e := range l.ends {
		e.Close()
	}
	l.mu.Lock()
	for c := range l.open {
		c.Close()
	}
	l.open = nil
	l.mu.Unlock()
	l.wg.Wait()
}
