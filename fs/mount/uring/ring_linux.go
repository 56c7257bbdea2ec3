package uring

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From include/uapi/linux/io_uring.h.
const (
	opUringCmd  = 46
	enterEvents = 1 << 0 // IORING_ENTER_GETEVENTS

	setupSQE128       = 1 << 10 // a command has 80 bytes for the device
	setupSingleIssuer = 1 << 12 // one thread only
	setupDeferTaskrun = 1 << 13 // which does the kernel's part when it waits, not when it is interrupted

	offSQRing = 0
	offSQEs   = 0x10000000

	sqeBytes = 128
)

// setupParams is struct io_uring_params.
type setupParams struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFD uint32
	_                                                                      [3]uint32
	sq                                                                     struct {
		head, tail, ringMask, ringEntries, flags, dropped, array, _ uint32
		_                                                           uint64
	}
	cq struct {
		head, tail, ringMask, ringEntries, overflow, cqes, flags, _ uint32
		_                                                           uint64
	}
}

// command is a submission with room for the device's own words, the first 128
// bytes of struct io_uring_sqe.
type command struct {
	opcode, flags uint8
	_             uint16
	fd            int32
	op            uint32 // cmd_op
	_             uint32
	addr          uint64
	len           uint32
	_             uint32
	userData      uint64
	_             [8]byte
	fuse          commandFuse
	_             [sqeBytes - 48 - 24]byte
}

// completion is struct io_uring_cqe.
type completion struct {
	userData uint64
	res      int32
	flags    uint32
}

// ring is an io_uring that has one command at a time. It belongs to the thread
// that made it.
type ring struct {
	fd             int
	rings, sqes    []byte
	sqTail         *uint32
	cqHead, cqTail *uint32
	array          *uint32 // the submission at each place; there is one
	cqMask         uint32
	cqes           unsafe.Pointer
	cmd            *command // to be filled before it is submitted
}

func newRing() (*ring, error) {
	p := setupParams{flags: setupSQE128 | setupSingleIssuer | setupDeferTaskrun}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("make an io_uring: %w", errno)
	}
	r := &ring{fd: int(fd)}
	unix.CloseOnExec(r.fd)
	if err := r.mmap(&p); err != nil {
		r.close()
		return nil, fmt.Errorf("map an io_uring: %w", err)
	}
	return r, nil
}

// mmap maps what the kernel and we share. Since Linux 5.4 both rings are in one
// mapping.
func (r *ring) mmap(p *setupParams) (err error) {
	size := max(p.sq.array+p.sqEntries*4, p.cq.cqes+p.cqEntries*uint32(unsafe.Sizeof(completion{})))
	const how, shared = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	if r.rings, err = unix.Mmap(r.fd, offSQRing, int(size), how, shared); err != nil {
		return err
	}
	if r.sqes, err = unix.Mmap(r.fd, offSQEs, int(p.sqEntries*sqeBytes), how, shared); err != nil {
		return err
	}
	word := func(off uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.rings[off])) }
	r.sqTail, r.array = word(p.sq.tail), word(p.sq.array)
	r.cqHead, r.cqTail, r.cqMask = word(p.cq.head), word(p.cq.tail), *word(p.cq.ringMask)
	r.cqes = unsafe.Pointer(&r.rings[p.cq.cqes])
	r.cmd = (*command)(unsafe.Pointer(&r.sqes[0]))
	return nil
}

// submit gives the command to the kernel, and waits for its end if wait is true.
func (r *ring) submit(wait bool) error {
	*r.array = 0
	atomic.StoreUint32(r.sqTail, *r.sqTail+1)
	return r.enter(1, wait)
}

// wait waits for the end of a command that was submitted.
func (r *ring) wait() error {
	if r.ended() {
		return nil
	}
	return r.enter(0, true)
}

// enter gives todo commands to the kernel, and waits for an end if wait is true.
func (r *ring) enter(todo uintptr, wait bool) error {
	least := uintptr(0)
	if wait {
		least = 1
	}
	for {
		n, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), todo, least, enterEvents, 0, 0)
		switch {
		case errno == unix.EINTR: // a signal of the runtime; nothing was taken, for then its number would be said
		case errno != 0:
			return fmt.Errorf("enter an io_uring: %w", errno)
		default:
			todo -= min(n, todo)
		}
		if todo == 0 && (!wait || r.ended()) {
			return nil
		}
	}
}

// ended says whether a command has ended whose result was not taken.
func (r *ring) ended() bool { return *r.cqHead != atomic.LoadUint32(r.cqTail) }

// peek is the result of a command that has ended: an errno below zero.
func (r *ring) peek() int32 {
	return (*completion)(unsafe.Add(r.cqes, uintptr(*r.cqHead&r.cqMask)*unsafe.Sizeof(completion{}))).res
}

// result takes it.
func (r *ring) result() int32 {
	res := r.peek()
	atomic.StoreUint32(r.cqHead, *r.cqHead+1)
	return res
}

func (r *ring) close() {
	if r.sqes != nil {
		_ = unix.Munmap(r.sqes)
	}
	if r.rings != nil {
		_ = unix.Munmap(r.rings)
	}
	_ = unix.Close(r.fd)
}
