package integration

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// capture collects what crosses the loopback network: the payloads of TCP and
// UDP, a stream for each direction between two ports, so that what was cut into
// packets can be found.
type capture struct {
	t       *testing.T
	fd      int
	stop    chan struct{}
	done    sync.WaitGroup
	streams map[[4]byte][]byte // by source and destination port
	bytes   int
}

// startCapture begins to listen; what it takes needs root.
func startCapture(t *testing.T) *capture {
	t.Helper()
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	const protocol = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8 // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, protocol&0xffff)
	if err != nil {
		missing(t, "the wire cannot be captured: %v", err)
	}
	tv := unix.NsecToTimeval(int64(100 * time.Millisecond))
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 256<<20),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol & 0xffff, Ifindex: lo.Index}))
	if err != nil {
		t.Fatalf("capture the wire: %v", err)
	}
	c := &capture{t: t, fd: fd, stop: make(chan struct{}), streams: map[[4]byte][]byte{}}
	c.done.Add(1)
	go func() { defer c.done.Done(); c.run() }()
	return c
}

// run takes packets until finish; what is in the socket then, it takes still.
func (c *capture) run() {
	buf := make([]byte, 128<<10)
	for {
		n, from, err := unix.Recvfrom(c.fd, buf, 0)
		switch {
		case err == nil:
			if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype != unix.PACKET_OUTGOING { // lo shows each twice
				c.take(buf[:n])
			}
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			select {
			case <-c.stop:
				return
			default:
			}
		default:
			c.t.Errorf("capture the wire: %v", err)
			return
		}
	}
}

// take adds an IP packet's payload to its stream.
func (c *capture) take(p []byte) {
	if len(p) < 20 {
		return
	}
	proto, head := p[9], int(p[0]&15)*4
	if p[0]>>4 == 6 {
		if proto, head = p[6], 40; len(p) < head {
			return
		}
	}
	if len(p) < head+8 {
		return
	}
	p = p[head:]
	ports := [4]byte(p[:4])
	switch {
	case proto == unix.IPPROTO_UDP:
		p = p[8:]
	case proto == unix.IPPROTO_TCP && len(p) >= 20 && len(p) >= int(p[12]>>4)*4:
		p = p[int(p[12]>>4)*4:]
	default:
		return
	}
	c.streams[ports] = append(c.streams[ports], p...)
	c.bytes += len(p)
}

// finish ends the capture and says whether all of it was caught.
func (c *capture) finish() (complete bool) {
	c.t.Helper()
	close(c.stop)
	c.done.Wait()
	stats, err := unix.GetsockoptTpacketStats(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err := errors.Join(err, unix.Close(c.fd)); err != nil {
		c.t.Fatalf("capture the wire: %v", err)
	}
	return stats.Drops == 0
}

// between is what went from one port to another.
func (c *capture) between(from, to int) []byte {
	var ports [4]byte
	binary.BigEndian.PutUint16(ports[:2], uint16(from))
	binary.BigEndian.PutUint16(ports[2:], uint16(to))
	return c.streams[ports]
}
