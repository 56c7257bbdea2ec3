package uring

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// unavailable ends a test where the kernel gives no io_uring, which ours does.
func unavailable(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// alone runs do on a thread of its own, as a ring needs it.
func alone(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		do()
	}()
	<-done
}

// TestUnused ends queues that no kernel has heard of.
func TestUnused(t *testing.T) {
	q, err := New(1 << 20)
	if err != nil {
		unavailable(t, err)
	}
	q.Close()
	if err := q.Wait(); err != nil {
		t.Error(err)
	}
}

// TestNoConnection starts queues of a device that is no connection: all of them end.
func TestNoConnection(t *testing.T) {
	q, err := New(1 << 20)
	if err != nil {
		unavailable(t, err)
	}
	if err := q.Start(-1, func(in, out [][]byte) int { return 0 }); !errors.Is(err, unix.EBADF) {
		t.Error(err)
	}
	if err := q.Wait(); err != nil {
		t.Error(err)
	}
}

// TestCommands gives the kernel commands that it cannot do, more often than the
// ring has places, and has each one's own answer.
func TestCommands(t *testing.T) {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	var missing error
	alone(func() {
		r, err := newRing()
		if err != nil {
			missing = err
			return
		}
		defer r.close()
		for i := range 100 {
			c := command{opcode: opUringCmd, fd: int32(null), op: cmdRegister}
			want := int32(0) // the null device takes any command
			if i%3 == 0 {
				c.fd, want = -1, -int32(unix.EBADF)
			}
			*r.cmd = c
			if err := r.submit(i%2 == 0); err != nil {
				t.Error(err)
				return
			}
			if err := r.wait(); err != nil || r.peek() != want || r.result() != want || r.ended() {
				t.Errorf("command %d: %v, want %d", i, err, want)
				return
			}
		}
	})
	if missing != nil {
		unavailable(t, missing)
	}
}

// TestAnswers looks at what an entry makes of requests and of what their handler
// says, without a kernel.
func TestAnswers(t *testing.T) {
	const unique, payload = 77, 4096
	for _, c := range []struct {
		name            string
		length, payload uint32
		says            int // bytes of the handler's answer
		op              int // bytes of the operation's fields; -1: the handler is not called
		errno           int32
		answered        uint32
	}{
		{name: "no fields, no bytes", length: 40, says: 16},
		{name: "fields", length: 40 + 88, says: 16 + 10, op: 88, answered: 10},
		{name: "bytes", length: 40 + 5, payload: 5, says: 16 + payload, answered: payload},
		{name: "both", length: 40 + 40 + 100, payload: 100, says: 24, op: 40, answered: 8},
		{name: "no answer", length: 40, says: 0, errno: -int32(unix.EIO)},
		{name: "half a header", length: 40, says: 15, errno: -int32(unix.EIO)},
		{name: "shorter than its header", length: 39, op: -1, errno: -int32(unix.EIO)},
		{name: "shorter than its bytes", length: 45, payload: 6, op: -1, errno: -int32(unix.EIO)},
		{name: "longer than its fields may be", length: 40 + 129, op: -1, errno: -int32(unix.EIO)},
	} {
		e := &entry{header: &header{payload: c.payload}, payload: make([]byte, payload)}
		binary.NativeEndian.PutUint32(e.header.inOut[0:], c.length)
		binary.NativeEndian.PutUint64(e.header.inOut[8:], unique)
		called := false
		e.answer(func(in, out [][]byte) int {
			called = true
			if len(in[0]) != inHeaderBytes || len(in[1]) != c.op || len(in[2]) != int(c.payload) || len(out[0])+len(out[1]) != outHeaderBytes+payload {
				t.Errorf("%s: %d + %d + %d bytes, room for %d", c.name, len(in[0]), len(in[1]), len(in[2]), len(out[0])+len(out[1]))
			}
			binary.NativeEndian.PutUint32(out[0][4:], 0)
			return c.says
		})
		errno := int32(binary.NativeEndian.Uint32(e.header.inOut[4:]))
		if called != (c.op >= 0) || errno != c.errno || e.header.payload != c.answered || binary.NativeEndian.Uint64(e.header.inOut[8:]) != unique {
			t.Errorf("%s: called %v, errno %d, %d bytes", c.name, called, errno, e.header.payload)
		}
	}
}

// TestLayout holds that what the kernel reads lies where it reads it.
func TestLayout(t *testing.T) {
	e := &entry{device: 5, queue: 3, ring: &ring{cmd: new(command)}}
	e.prepare(cmdCommitAndFetch)
	e.ring.cmd.fuse.commitID = 9
	b := (*[sqeBytes]byte)(unsafe.Pointer(e.ring.cmd))
	for _, f := range []struct{ off, size, want int }{
		{0, 1, opUringCmd}, {4, 4, 5}, {8, 4, cmdCommitAndFetch}, {48, 8, 0}, {56, 8, 9}, {64, 2, 3},
	} {
		got := 0
		for i := range f.size {
			got |= int(b[f.off+i]) << (8 * i)
		}
		if got != f.want {
			t.Errorf("the %d bytes at %d are %d, want %d", f.size, f.off, got, f.want)
		}
	}
}
