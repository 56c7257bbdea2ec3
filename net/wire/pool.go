package wire

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// pool keeps the streams to one peer for one protocol. A caller has a stream
// for itself until it gives it back.
type pool struct {
	c     *Client
	peer  string
	proto string
	slots chan struct{} // one for each stream that is in use
	mu    sync.Mutex
	idle  []idleLink  // the one used last at the end; guarded by mu
	timer *time.Timer // closes what was idle for long; nil when nothing is idle; guarded by mu
	shut  bool        // guarded by mu
}

type idleLink struct {
	l     *link
	since time.Time
}

func newPool(c *Client, peer, proto string, streams int) *pool {
	return &pool{c: c, peer: peer, proto: proto, slots: make(chan struct{}, streams)}
}

// do runs one exchange on a stream. A kept stream that turns out dead before
// any reply is replaced once by a fresh one; so exchange may run twice.
func (p *pool) do(ctx context.Context, exchange func(*call) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.c.ctx, func() { cancel(ErrClosed) })()
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-p.slots }()
	l, err := p.take()
	if err != nil {
		return err
	}
	if l != nil {
		again, err := p.try(ctx, l, exchange)
		if !again {
			return err
		}
		p.drop() // its neighbours died with it
	}
	if l, err = p.dial(ctx); err != nil {
		return err
	}
	_, err = p.try(ctx, l, exchange)
	return err
}

// try runs the exchange on l and keeps or resets l after it. again: the stream
// broke before any reply came.
func (p *pool) try(ctx context.Context, l *link, exchange func(*call) error) (again bool, err error) {
	stop := context.AfterFunc(ctx, func() { l.s.Reset() })
	k := &call{link: l, ctx: ctx, wait: p.c.cfg.Wait}
	err = exchange(k)
	if !stop() {
		// The reset has run or is running; what the exchange saw may be its effect.
		l.s.Reset()
		if err == nil {
			return false, nil
		}
		return false, context.Cause(ctx)
	}
	if k.usable && (err == nil || k.refused) {
		p.keep(l)
		return false, err
	}
	l.s.Reset()
	if err == nil {
		return false, nil
	}
	return !k.answered, p.explain(err)
}

// explain makes an error of the transport one of this package.
func (p *pool) explain(err error) error {
	var r *Refusal
	if errors.As(err, &r) || errors.Is(err, ErrMalformed) || errors.Is(err, ErrWrongBytes) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

func (p *pool) dial(ctx context.Context) (*link, error) {
	ctx, stop := context.WithTimeout(ctx, p.c.cfg.Dial)
	defer stop()
	s, err := p.c.cfg.Dialer.Open(ctx, p.peer, p.proto)
	if err != nil {
		return nil, fmt.Errorf("%w: open a stream: %w", ErrUnreachable, err)
	}
	return newLink(s, p.c.cfg.Meter.of(p.proto), p.c.cfg.pace()), nil
}

// take returns the idle stream used last, nil if there is none.
func (p *pool) take() (*link, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut {
		return nil, ErrClosed
	}
	if len(p.idle) == 0 {
		return nil, nil
	}
	last := len(p.idle) - 1
	l := p.idle[last].l
	p.idle = p.idle[:last]
	return l, nil
}

func (p *pool) keep(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut {
		l.s.Close()
		return
	}
	p.idle = append(p.idle, idleLink{l, time.Now()})
	if p.timer == nil {
		p.timer = time.AfterFunc(p.c.cfg.Keep, p.sweep)
	}
}

// sweep closes the streams that nobody has used for long.
func (p *pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := 0
	for old < len(p.idle) && time.Since(p.idle[old].since) >= p.c.cfg.Keep {
		p.idle[old].l.s.Close()
		old++
	}
	p.idle = append(p.idle[:0], p.idle[old:]...)
	p.timer = nil
	if len(p.idle) > 0 && !p.shut {
		p.timer = time.AfterFunc(p.c.cfg.Keep-time.Since(p.idle[0].since), p.sweep)
	}
}

// drop resets the idle streams.
func (p *pool) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range p.idle {
		i.l.s.Reset()
	}
	p.idle = p.idle[:0]
}

// close closes the idle streams and waits for those in use.
func (p *pool) close() {
	p.mu.Lock()
	p.shut = true
	if p.timer != nil {
		p.timer.Stop()
	}
	for _, i := range p.idle {
		i.l.s.Close()
	}
	p.idle = nil
	p.mu.Unlock()
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
}

// call is one exchange on a stream as its client sees it.
type call struct {
	*link
	ctx      context.Context
	wait     time.Duration // for a reply to begin
	answered bool          // a reply has arrived
	refused  bool          // the last reply was a no
	usable   bool          // the stream stands between frames
}

// ask sends a request that has its body, if any, right behind it.
func (k *call) ask(q *request, body []byte) error {
	k.usable = false
	q.Body = uint64(len(body))
	return k.send(q, body)
}

// send writes a frame. A peer that refuses a stream says why and closes it, maybe
// before it has read the request: if writing fails, that answer counts. From a
// peer that only takes no bytes there is none to wait for.
func (k *call) send(q *request, body []byte) error {
	err := k.writeFrame(q, body)
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	_, no := k.reply()
	k.usable = false
	if k.refused {
		return no
	}
	return err
}

// reply reads the header of the next reply; a refusal is an error.
func (k *call) reply() (reply, error) {
	k.usable = false
	if err := k.await(k.wait); err != nil {
		return reply{}, cut(err)
	}
	b, err := k.readHeader(k.wait)
	if err != nil {
		return reply{}, cut(err)
	}
	r, err := parseReply(b)
	if err != nil {
		return reply{}, err
	}
	k.answered = true
	err = r.refusal()
	k.refused = err != nil
	k.usable = r.Body == 0 && r.Code != codeMalformed && r.Code != codeGoOn
	return r, err
}

// body reads the body of a reply, which may have at most max bytes, into b.
func (k *call) body(r *reply, b []byte, max int) ([]byte, error) {
	if r.Body > uint64(max) {
		return nil, fmt.Errorf("%w: a reply of %d bytes", ErrMalformed, r.Body)
	}
	until := time.Now().Add(k.pace.total(int(r.Body)))
	b, err := readGrowing(&pacedReader{k.link, until}, b[:0], int(r.Body))
	k.usable = err == nil
	return b, err
}
