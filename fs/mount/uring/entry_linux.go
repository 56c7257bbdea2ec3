package uring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From include/uapi/linux/fuse.h.
const (
	cmdRegister       = 1 // FUSE_IO_URING_CMD_REGISTER
	cmdCommitAndFetch = 2 // FUSE_IO_URING_CMD_COMMIT_AND_FETCH

	inHeaderBytes  = 40 // struct fuse_in_header; its first word is the length of all
	outHeaderBytes = 16 // struct fuse_out_header: length, error, unique
)

// header is struct fuse_uring_req_header.
type header struct {
	inOut    [128]byte // fuse_in_header; in the answer fuse_out_header
	op       [128]byte // the operation's own fields
	flags    uint64
	commitID uint64
	payload  uint32 // bytes in the payload, of a request or of an answer
	_        uint32
	_        uint64
}

// commandFuse is struct fuse_uring_cmd_req.
type commandFuse struct {
	flags    uint64
	commitID uint64
	queue    uint16
	_        [6]byte
}

// entry is room for one request at a time.
type entry struct {
	device, queue int
	bound         bool // its thread, to the queue's processor
	ring          *ring
	memory        []byte // of header and payload; not Go's, so that what no request has used takes no memory
	header        *header
	payload       []byte
	in            [3][]byte
	out           [2][]byte
}

// newEntry makes an entry for the calling thread, which is the only one that
// may use it.
func newEntry(queue, payload int) (*entry, error) {
	page := unix.Getpagesize()
	memory, err := unix.Mmap(-1, 0, page+payload, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("map memory for requests: %w", err)
	}
	e := &entry{queue: queue, memory: memory, header: (*header)(unsafe.Pointer(&memory[0])), payload: memory[page:]}
	if e.ring, err = newRing(); err != nil {
		_ = unix.Munmap(memory)
		return nil, err
	}
	return e, nil
}

// register tells the kernel of the entry. Requests may come from then on.
func (e *entry) register(device int) error {
	e.device = device
	iov := [2]unix.Iovec{{Base: &e.memory[0]}, {Base: &e.payload[0]}}
	iov[0].SetLen(int(unsafe.Sizeof(header{})))
	iov[1].SetLen(len(e.payload))
	e.prepare(cmdRegister)
	e.ring.cmd.addr, e.ring.cmd.len = uint64(uintptr(unsafe.Pointer(&iov))), uint32(len(iov))
	if err := e.ring.submit(false); err != nil {
		return err
	}
	if e.ring.ended() && e.ring.peek() < 0 {
		return fmt.Errorf("register with the kernel: %w", unix.Errno(-e.ring.result()))
	}
	return nil
}

func (e *entry) prepare(op uint32) {
	*e.ring.cmd = command{opcode: opUringCmd, fd: int32(e.device), op: op}
	e.ring.cmd.fuse.queue = uint16(e.queue)
}

// serve answers requests until the connection has ended.
func (e *entry) serve(h Handler) error {
	for err := e.ring.wait(); ; err = e.ring.submit(true) {
		if err != nil {
			return err
		}
		switch errno := unix.Errno(-e.ring.result()); {
		case errno == 0:
		case errors.Is(errno, unix.ENOTCONN) || errors.Is(errno, unix.ECONNABORTED):
			return nil
		default:
			return fmt.Errorf("take a request of queue %d: %w", e.queue, errno)
		}
		e.answer(h)
		e.bind(e.header.payload < large)
		e.prepare(cmdCommitAndFetch)
		e.ring.cmd.fuse.commitID = e.header.commitID
	}
}

// large is from how many bytes on an answer is likely to be one of many that the
// kernel reads ahead. It asks for all of them from one processor, and nobody waits for
// the next wakeup: so they are better copied by all processors that are idle.
const large = 64 << 10

// bind has the thread run on the queue's processor only, or wherever there is
// room. A processor that is off, or not for us, asks for nothing.
func (e *entry) bind(bound bool) {
	if e.bound == bound {
		return
	}
	e.bound = bound
	set := everywhere
	if bound {
		set = unix.CPUSet{}
		set.Set(e.queue)
	}
	_ = unix.SchedSetaffinity(0, &set)
}

// everywhere are all processors; the kernel takes away those that are not for us.
var everywhere = func() (set unix.CPUSet) {
	for i := range set {
		set[i] = ^set[i]
	}
	return set
}()

// answer has the request that lies in the entry served, and puts the answer in its
// place.
func (e *entry) answer(h Handler) {
	hd := e.header
	unique := binary.NativeEndian.Uint64(hd.inOut[8:])
	n := 0
	if op := int(binary.NativeEndian.Uint32(hd.inOut[:])) - inHeaderBytes - int(hd.payload); op >= 0 && op <= len(hd.op) {
		e.in = [3][]byte{hd.inOut[:inHeaderBytes], hd.op[:op], e.payload[:hd.payload]}
		e.out = [2][]byte{hd.inOut[:outHeaderBytes], e.payload}
		n = h(e.in[:], e.out[:])
	}
	if n < outHeaderBytes { // it may not be left without an answer
		n = outHeaderBytes
		binary.NativeEndian.PutUint32(hd.inOut[0:], outHeaderBytes)
		binary.NativeEndian.PutUint32(hd.inOut[4:], ^uint32(unix.EIO)+1)
		binary.NativeEndian.PutUint64(hd.inOut[8:], unique)
	}
	hd.payload = uint32(n - outHeaderBytes)
}

func (e *entry) close() {
	e.ring.close()
	_ = unix.Munmap(e.memory)
}
