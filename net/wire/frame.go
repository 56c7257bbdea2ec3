package wire

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// pace bounds how long a body may take: silence for each step, and in all
// silence plus the time that the slowest acceptable rate would need.
type pace struct {
	silence time.Duration
	rate    int64 // bytes per second
}

func (p pace) total(n int) time.Duration {
	return p.silence + time.Duration(float64(n)/float64(p.rate)*float64(time.Second))
}

const (
	// step is how much is written under one deadline.
	step = 256 << 10
	// joined bodies are copied behind their header, so that they leave in one
	// write: a copy of 64 KiB is cheaper than a second record of TLS.
	joined = 64 << 10
	// kept is how much of a buffer a stream keeps between requests.
	kept = 80 << 10
)

// link is one stream with its buffers. One goroutine uses it at a time, except
// that reset may be called at any time.
type link struct {
	s     Stream
	r     *bufio.Reader
	count *counter
	pace  pace
	due   time.Time // the stream's read deadline
	in    []byte    // header being read
	out   []byte    // frame being written
}

func newLink(s Stream, count *counter, p pace) *link {
	l := &link{s: s, count: count, pace: p}
	l.r = bufio.NewReaderSize(countingReader{l}, 4096)
	return l
}

type countingReader struct{ l *link }

func (c countingReader) Read(p []byte) (int, error) {
	n, err := c.l.s.Read(p)
	c.l.count.in.Add(uint64(n))
	return n, err
}

// await waits at most d for the first byte of a frame. io.EOF means that the
// other side is done, in order.
func (l *link) await(d time.Duration) error {
	if l.r.Buffered() > 0 {
		return nil
	}
	if err := l.readUntil(time.Now().Add(d)); err != nil {
		return err
	}
	_, err := l.r.Peek(1)
	return err
}

func (l *link) readUntil(at time.Time) error {
	l.due = at
	return l.s.SetReadDeadline(at)
}

// readHeader reads length and header within d. The bytes are good until the
// next call.
func (l *link) readHeader(d time.Duration) ([]byte, error) {
	if err := l.readUntil(time.Now().Add(d)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(l.r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n == 0 || n > MaxHeader {
		return nil, fmt.Errorf("%w: a header of %d bytes", ErrMalformed, n)
	}
	var err error
	l.in, err = readGrowing(l.r, l.in[:0], int(n))
	return l.in, err
}

// readGrowing reads n bytes into b and allocates only in step with what
// arrives: the length alone costs the sender nothing, so it buys nothing.
func readGrowing(r io.Reader, b []byte, n int) ([]byte, error) {
	for len(b) < n {
		if len(b) == cap(b) {
			grown := make([]byte, len(b), min(n, max(4096, 2*cap(b))))
			copy(grown, b)
			b = grown
		}
		end := min(n, cap(b))
		m, err := io.ReadFull(r, b[len(b):end])
		b = b[:len(b)+m]
		if err != nil {
			return b, cut(err)
		}
	}
	return b, nil
}

// cut says that an end of file within a frame is not an orderly one.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readBody fills p at no less than the pace; until is when all of the body has
// to be here.
func (l *link) readBody(p []byte, until time.Time) error {
	for len(p) > 0 {
		if l.r.Buffered() == 0 {
			at := time.Now().Add(l.pace.silence)
			if until.Before(at) {
				at = until
			}
			// Of a body the deadline moves on in steps: a timer for each 16 KiB costs more than it gives.
			if at.Before(l.due) || at.Sub(l.due) > l.pace.silence/32 {
				if err := l.readUntil(at); err != nil {
					return err
				}
			}
		}
		n, err := l.r.Read(p[:min(len(p), step)])
		p = p[n:]
		if err != nil && len(p) > 0 {
			return cut(err)
		}
	}
	return nil
}

// writeFrame writes a header and the body behind it.
func (l *link) writeFrame(header any, body []byte) error {
	h, err := crypt.EncodeCBOR(header)
	if err != nil {
		return err
	}
	l.out = binary.BigEndian.AppendUint32(l.out[:0], uint32(len(h)))
	l.out = append(l.out, h...)
	if len(body) <= joined {
		l.out = append(l.out, body...)
		body = nil
	}
	err = l.writeBody(l.out)
	if err == nil && len(body) > 0 {
		err = l.writeBody(body)
	}
	if cap(l.out) > kept {
		l.out = nil
	}
	return err
}

// writeBody writes p at no less than the pace.
func (l *link) writeBody(p []byte) error {
	until := time.Now().Add(l.pace.total(len(p)))
	for len(p) > 0 {
		at := time.Now().Add(l.pace.silence)
		if until.Before(at) {
			at = until
		}
		if err := l.s.SetWriteDeadline(at); err != nil {
			return err
		}
		n, err := l.s.Write(p[:min(len(p), step)])
		l.count.out.Add(uint64(n))
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}
