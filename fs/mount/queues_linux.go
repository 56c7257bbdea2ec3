package mount

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/hammockfs/hammock/fs/mount/uring"
)

// queued is how requests come through io_uring: see package uring. The library
// mounts, answers INIT and notifies the kernel as ever; it serves what the queues
// bring by its ProtocolServer, and so what still comes through the device, for an
// interrupt must find the request that it is for.
type queued struct {
	queues  *uring.Queues
	must    bool         // the mount fails without
	before  map[int]bool // devices that were open before the mount
	restore func()       // undoes what the mount needed of the kernel
	device  int          // a descriptor of our own for the connection
}

// wantQueues returns nil if requests shall come through the device.
func wantQueues(o *Options, log *slog.Logger) (*queued, error) {
	if o.Uring == UringOff {
		return nil, nil
	}
	queues, err := uring.New(maxWrite)
	if err == nil {
		restore, notAllowed := uring.Allow()
		if notAllowed == nil {
			return &queued{queues: queues, must: o.Uring == UringOn, before: openDevices(), restore: restore}, nil
		}
		queues.Close()
		err = notAllowed
	}
	if o.Uring == UringOn {
		return nil, fmt.Errorf("the mount option uring=on cannot be had: %w", err)
	}
	log.Info("requests come through the device, which is slower than io_uring", "reason", err)
	return nil, nil
}

// asked is called when the mount stands and INIT has been answered, or it failed.
func (q *queued) asked(mounted bool) {
	if q == nil {
		return
	}
	q.restore()
	if !mounted {
		q.queues.Close()
	}
}

// capability is what is said to the kernel about it in INIT.
func (q *queued) capability() uint64 {
	if q == nil {
		return 0
	}
	return uring.Capability
}

// attached is called when INIT has been answered. It returns nil if the kernel did
// not offer queues; from one that did nothing comes until they are there.
func (q *queued) attached(server *fuse.Server) (*queued, error) {
	if q == nil {
		return nil, nil
	}
	if server.KernelSettings().Flags64()&uring.Capability == 0 {
		q.queues.Close()
		if q.must {
			return nil, errors.New("the mount option uring=on cannot be had: the kernel did not offer it")
		}
		return nil, nil
	}
	for fd := range openDevices() {
		if !q.before[fd] {
			device, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				q.queues.Close()
				return nil, fmt.Errorf("use the device: %w", err)
			}
			q.device = device
			return q, nil
		}
	}
	q.queues.Close()
	return nil, errors.New("the device of the mount was not found among the open files")
}

// openDevices are this process's descriptors of /dev/fuse. Where memory is kept
// from debuggers, /proc does not show them to their own process.
func openDevices() map[int]bool {
	const device, most = 10<<8 | 229, 1 << 16
	found := map[int]bool{}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		limit.Cur = most
	}
	for fd := range int(min(limit.Cur, most)) {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == device {
			found[fd] = true
		}
	}
	return found
}

// serveQueues answers requests until the mount is gone. It returns at once if the
// queues cannot be made: all comes through the device then.
func (s *Server) serveQueues() {
	defer unix.Close(s.queues.device)
	p := fuse.NewProtocolServer(s.front, s.options)
	initProtocol(p, s.fuse.KernelSettings())
	s.crowd.limit = uring.Entries() * 3 / 4
	err := s.queues.queues.Start(s.queues.device, func(in, out [][]byte) int {
		n, _ := p.HandleRequest(in, out)
		return n
	})
	if err != nil {
		s.crowd.limit = crowdLimit
		s.log.Warn("requests come without io_uring, more slowly", "reason", err)
		return
	}
	s.readDevice(p)
	if err := s.queues.queues.Wait(); err != nil {
		s.log.Error("a queue of requests ended early", "error", err)
	}
}

// initProtocol tells p what the kernel and the library agreed upon.
func initProtocol(p *fuse.ProtocolServer, settings *fuse.InitIn) {
	in := unsafe.Slice((*byte)(unsafe.Pointer(settings)), unsafe.Sizeof(*settings))
	p.HandleRequest([][]byte{in}, [][]byte{make([]byte, 4096)})
}

// readDevice serves what still comes through the device, until the connection has
// ended: forgotten inodes and interrupts, which do not wait for anything.
func (s *Server) readDevice(p *fuse.ProtocolServer) {
	var others sync.WaitGroup
	defer others.Wait()
	buf := make([]byte, maxWrite+4096) // the kernel insists on room for the largest request
	for {
		n, err := unix.Read(s.queues.device, buf)
		switch {
		case errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOENT):
			continue
		case errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ECONNABORTED):
			return
		case err != nil:
			s.log.Error("the device cannot be read", "error", os.NewSyscallError("read", err))
			return
		}
		in := buf[:n]
		switch binary.NativeEndian.Uint32(in[4:]) {
		case opForget, opBatchForget:
			p.HandleRequest([][]byte{in}, nil)
		case opInterrupt:
			in = slices.Clone(in)
			others.Go(func() { s.interrupt(p, in) })
		default:
			in = slices.Clone(in)
			others.Go(func() { s.answerDevice(p, in) })
		}
	}
}

// The requests that do not come through queues, by their numbers in the protocol.
const (
	opForget      = 2
	opInterrupt   = 36
	opBatchForget = 42
)

// answerDevice serves a request that came through the device.
func (s *Server) answerDevice(p *fuse.ProtocolServer, in []byte) {
	out := make([]byte, maxWrite+4096)
	if n, _ := p.HandleRequest([][]byte{in}, [][]byte{out}); n > 0 {
		_, _ = unix.Write(s.queues.device, out[:n]) // whoever asked may be gone
	}
}

// interrupt ends the wait of a request. That may just be on its way through its
// queue, and the kernel, which repeats an interrupt whose request is not known,
// knows only those that it gave through the device.
func (s *Server) interrupt(p *fuse.ProtocolServer, in []byte) {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for range 10 {
		out := make([]byte, 16)
		n, _ := p.HandleRequest([][]byte{in}, [][]byte{out})
		if n == 0 || fuse.Status(-int32(binary.NativeEndian.Uint32(out[4:]))) != fuse.EAGAIN {
			return
		}
		select {
		case <-again.C:
		case <-s.ctx.Done():
			return
		}
	}
}
