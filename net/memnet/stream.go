package memnet

import (
	"io"
	"os"
	"sync"
	"time"
)

const (
	window  = 256 << 10 // bytes on their way in one direction
	segment = 32 << 10
)

// half is one direction of a stream.
type half struct {
	net   *Net
	way   pair
	proto string
	ends  int // sides not gone; guarded by net.mu

	mu       sync.Mutex
	change   chan struct{} // closed and replaced when something below changed
	segments []seg
	size     int       // bytes in segments
	last     time.Time // when the newest segment arrives
	free     time.Time // when the link has sent it
	sent     int64
	cut      int64 // -1: never
	eof      time.Time
	read     side
	write    side
}

type seg struct {
	p  []byte
	at time.Time
}

// side is one end of a half: what its calls fail with, from when on, and its
// deadline. An error from afar is not seen through a partition.
type side struct {
	err      error
	at       time.Time
	far      bool
	deadline time.Time
}

func (n *Net) streams(a, b, proto string) (near, far *stream) {
	there, back := n.half(a, b, proto), n.half(b, a, proto)
	return &stream{in: back, out: there}, &stream{in: there, out: back}
}

func (n *Net) half(from, to, proto string) *half {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := &half{net: n, way: pair{from, to}, proto: proto, ends: 2, change: make(chan struct{}), cut: -1}
	if c, ok := n.cuts[h.way]; ok {
		h.cut = c
	}
	n.halves[h] = struct{}{}
	return h
}

// wake lets all waiting calls look again; mu is held.
func (h *half) wake() {
	close(h.change)
	h.change = make(chan struct{})
}

// waitUntil releases mu until something changes or one of the times (the zero
// ones aside) is there.
func (h *half) waitUntil(times ...time.Time) {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	change := h.change
	h.mu.Unlock()
	defer h.mu.Lock()
	if first.IsZero() {
		<-change
		return
	}
	timer := time.NewTimer(time.Until(first))
	defer timer.Stop()
	select {
	case <-change:
	case <-timer.C:
	}
}

// failed says what a call at this side fails with now, if with anything.
func (s *side) failed(now time.Time, blocked bool) error {
	if s.err != nil && (!s.far || (!blocked && !now.Before(s.at))) {
		return s.err
	}
	if !s.deadline.IsZero() && !now.Before(s.deadline) {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// fail gives a side an error, now or for what comes from afar when it arrives.
func (s *side) fail(err error, at time.Time, far bool) {
	if s.err == nil || (s.far && !far) {
		s.err, s.at, s.far = err, at, far
	}
}

func (h *half) Read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		blocked, _ := h.net.blocked(h.way.from, h.way.to)
		now := time.Now()
		if err := h.read.failed(now, blocked); err != nil {
			return 0, err
		}
		if len(p) == 0 {
			return 0, nil
		}
		var next time.Time
		if !blocked {
			if n := h.deliver(p, now); n > 0 {
				return n, nil
			}
			if len(h.segments) > 0 {
				next = h.segments[0].at
			} else if !h.eof.IsZero() {
				if next = h.eof; !now.Before(next) {
					return 0, io.EOF
				}
			}
		}
		arrival := h.read.at
		if blocked || !h.read.far {
			arrival = time.Time{}
		}
		h.waitUntil(next, h.read.deadline, arrival)
	}
}

// deliver moves what has arrived to p.
func (h *half) deliver(p []byte, now time.Time) (n int) {
	for n < len(p) && len(h.segments) > 0 && !now.Before(h.segments[0].at) {
		s := &h.segments[0]
		m := copy(p[n:], s.p)
		n += m
		if s.p = s.p[m:]; len(s.p) == 0 {
			h.segments = h.segments[1:]
		}
	}
	if n > 0 {
		h.size -= n
		h.wake()
	}
	return n
}

func (h *half) Write(p []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		blocked, _ := h.net.blocked(h.way.from, h.way.to)
		if err := h.write.failed(time.Now(), blocked); err != nil {
			return n, err
		}
		if n == len(p) {
			return n, nil
		}
		room := min(window-h.size, segment, len(p)-n)
		if room == 0 {
			arrival := h.write.at
			if blocked || !h.write.far {
				arrival = time.Time{}
			}
			h.waitUntil(h.write.deadline, arrival)
			continue
		}
		h.send(p[n : n+room])
		n += room
	}
}

// send puts a segment on its way, or the part of it before the cut.
func (h *half) send(p []byte) {
	over := h.cut >= 0 && h.sent+int64(len(p)) > h.cut
	if over {
		p = p[:h.cut-h.sent]
	}
	h.sent += int64(len(p))
	p = append([]byte(nil), p...)
	h.net.lie(h.way.from, h.proto, p)
	at := h.arrival(len(p))
	if len(p) > 0 {
		h.segments = append(h.segments, seg{p, at})
		h.size += len(p)
	}
	if over {
		h.read.fail(ErrReset, at.Add(time.Nanosecond), true)
		h.write.fail(ErrReset, time.Time{}, false)
	}
	h.wake()
}

// arrival is when size bytes that leave now are there: after all before them.
func (h *half) arrival(size int) time.Time {
	delay, busy := h.net.travel(h.way, size)
	now := time.Now()
	if h.free.Before(now) {
		h.free = now
	}
	h.free = h.free.Add(busy)
	at := h.free.Add(delay)
	if at.Before(h.last) {
		at = h.last
	}
	h.last = at
	return at
}

// stream is one end of two halves.
type stream struct {
	in, out *half
	node    *Node // where it is listed; set before use
	closed  bool  // guarded by out.mu
}

func (s *stream) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s *stream) Write(p []byte) (int, error) { return s.out.Write(p) }

// CloseWrite ends the outgoing half behind what was written.
func (s *stream) CloseWrite() error {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	if s.out.eof.IsZero() {
		s.out.eof = s.out.arrival(0)
	}
	s.out.write.fail(ErrClosed, time.Time{}, false)
	s.out.wake()
	return nil
}

// Close ends both halves; what the other side still writes fails there.
func (s *stream) Close() error {
	s.CloseWrite()
	s.shutIn(ErrClosed)
	if s.finish() {
		s.gone()
	}
	return nil
}

// Reset ends both halves and loses what is on its way.
func (s *stream) Reset() error {
	if !s.finish() {
		return nil
	}
	s.shutIn(ErrReset)
	s.out.mu.Lock()
	s.out.read.fail(ErrReset, s.out.arrival(0), true)
	s.out.write.fail(ErrReset, time.Time{}, false)
	s.out.wake()
	s.out.mu.Unlock()
	s.gone()
	return nil
}

// finish says whether this is the first Close or Reset.
func (s *stream) finish() bool {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	first := !s.closed
	s.closed = true
	return first
}

// shutIn ends reading here, and the other side's writing when it hears of it.
func (s *stream) shutIn(err error) {
	delay, _ := s.in.net.travel(pair{s.in.way.to, s.in.way.from}, 0)
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	s.in.read.fail(err, time.Time{}, false)
	s.in.write.fail(ErrReset, time.Now().Add(delay), true)
	s.in.wake()
}

// gone forgets the stream where it was listed.
func (s *stream) gone() {
	n := s.in.net
	n.mu.Lock()
	for _, h := range []*half{s.in, s.out} {
		if h.ends--; h.ends == 0 {
			delete(n.halves, h)
		}
	}
	n.mu.Unlock()
	if s.node != nil {
		s.node.forget(s)
	}
}

// SetReadDeadline bounds reads, those under way too.
func (s *stream) SetReadDeadline(t time.Time) error {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	s.in.read.deadline = t
	s.in.wake()
	return nil
}

// SetWriteDeadline bounds writes, those under way too.
func (s *stream) SetWriteDeadline(t time.Time) error {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	s.out.write.deadline = t
	s.out.wake()
	return nil
}

// SetDeadline bounds both.
func (s *stream) SetDeadline(t time.Time) error {
	s.SetReadDeadline(t)
	return s.SetWriteDeadline(t)
}
