package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/pprof"
	"sync"
	"time"
)

// A running node answers the commands of its owner on a Unix socket in its
// state folder, which only its owner can enter, and asks the kernel who calls
// (socketpeer.go). The requests are HTTP with JSON; an answer that takes long is a line of JSON for each step.

// maxControl is the largest answer line, in bytes.
const maxControl = 1 << 20

// control is the server side. Commands come in between serve and refuse; what
// they wait for ends with refuse at the latest. A command that ends the node is
// answered after finish, when the state is free for the next process.
type control struct {
	mux    *http.ServeMux
	server *http.Server
	socket string // the socket's file; "" before serve
	served chan struct{}

	ctx  context.Context // of commands; ends with refuse
	stop context.CancelCauseFunc

	mu      sync.Mutex
	refused bool           // guarded by mu
	running sync.WaitGroup // commands under way; added to under mu

	finished chan struct{}
	result   error // of closing the node; set before finished is closed
}

// command is what a node does for its owner. What it gives to step is sent at
// once; what it returns comes last.
type command func(r *http.Request, step func(any)) (any, error)

// ended is the value of a command that has ended the node.
type ended struct{}

// errEnding is why a command was cut off.
var errEnding = errors.New("this node is stopping")

func newControl() *control {
	c := &control{mux: http.NewServeMux(), served: make(chan struct{}), finished: make(chan struct{})}
	c.server = &http.Server{Handler: c.mux, ReadHeaderTimeout: 10 * time.Second}
	c.ctx, c.stop = context.WithCancelCause(context.Background())
	return c
}

// serve answers on the state's socket until finish.
func (c *control) serve(st state) error {
	path, done, err := st.socket()
	if err != nil {
		return err
	}
	defer done()
	if err := removed(st.path("socket")); err != nil {
		return fmt.Errorf("remove the socket of an earlier run: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return fmt.Errorf("listen for commands in the state folder: %w", err)
	}
	l.SetUnlinkOnClose(false) // the path is of this moment; refuse removes the file
	if err := os.Chmod(st.path("socket"), 0o600); err != nil {
		return errors.Join(err, l.Close())
	}
	c.socket = st.path("socket")
	go func() {
		defer close(c.served)
		_ = c.server.Serve(ownersOnly{l, slog.Default()}) // ends with ErrServerClosed
	}()
	return nil
}

// enter admits a command; done says that it has ended. The context ends with
// the one that is given, and with refuse.
func (c *control) enter(ctx context.Context) (_ context.Context, done func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused {
		return nil, nil, errEnding
	}
	c.running.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.ctx, func() { cancel(context.Cause(c.ctx)) })
	return ctx, func() { stop(); cancel(nil); c.running.Done() }, nil
}

// refuse takes no more commands, ends those under way and waits for them.
func (c *control) refuse() error {
	c.mu.Lock()
	c.refused = true
	c.mu.Unlock()
	var err error
	if c.socket != "" {
		err = removed(c.socket)
	}
	c.stop(errEnding)
	c.running.Wait()
	return err
}

// finish gives the last answers, with the outcome of closing the node, and ends
// the server.
func (c *control) finish(result error) error {
	c.result = result
	close(c.finished)
	if c.socket == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := c.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = c.server.Close()
	}
	<-c.served
	return err
}

// end closes a node in the order that loses nothing: no new commands, those
// under way ended, then its parts; last the answer to whoever asked for it.
func (c *control) end(closeNode func() error) error {
	err := within(closeLimit, func() error { return errors.Join(c.refuse(), closeNode()) })
	return errors.Join(err, c.finish(err))
}

// closeLimit is how long a node may take to close.
const closeLimit = 45 * time.Second

// within gives f its time. What has not ended by then is left to the end of the
// process, and its stacks to the log.
func within(limit time.Duration, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		return fmt.Errorf("the node did not close within %s and is ended; what was written is safe in its state folder, and the next start puts it in order", limit)
	}
}

// removed removes a file that may be there.
func removed(path string) error {
	err := os.Remove(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// answer is the last line of every answer.
type answer struct {
	Error  string          `json:"error,omitempty"`
	Status int             `json:"status,omitempty"` // exit status that goes with the error
	Value  json.RawMessage `json:"value,omitempty"`
}

// handle answers the requests of a path with a command: each step a line of
// JSON, and an answer.
func (c *control) handle(path string, f command) { c.add(path, f, false) }

// handleEnd is handle for a command that ends the node.
func (c *control) handleEnd(path string, f command) { c.add(path, f, true) }

func (c *control) add(path string, f command, last bool) {
	c.mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		enc := json.NewEncoder(w)
		step := func(v any) {
			if b, err := json.Marshal(v); err == nil {
				_ = enc.Encode(map[string]json.RawMessage{"step": b}) // who asked may have gone
				_ = http.NewResponseController(w).Flush()
			}
		}
		v, err := c.run(r, f, last, step)
		var a answer
		if err != nil {
			a.Error, a.Status = err.Error(), exitStatus(err)
		}
		if b, merr := json.Marshal(v); merr == nil && v != nil {
			a.Value = b
		}
		_ = enc.Encode(a)
	})
}

func (c *control) run(r *http.Request, f command, last bool, step func(any)) (any, error) {
	ctx, done, err := c.enter(r.Context())
	if err != nil {
		if last {
			<-c.finished // who wants the node to end gets what he wants
			return nil, c.result
		}
		return nil, err
	}
	v, err := f(r.WithContext(ctx), step)
	done()
	if _, over := v.(ended); over {
		<-c.finished
		return nil, errors.Join(err, c.result)
	}
	return v, err
}

// errNoNode says that nothing answers in a state folder.
var errNoNode = errors.New("no hammock process runs on this state")

// errInterrupted is told to a user who did not want to wait.
var errInterrupted = errors.New("interrupted; what the node was asked for is given up, unless it was done already")

// ask sends a command to the running node of a state. Each step goes to step,
// the result into result; both may be nil.
func (st state) ask(ctx context.Context, path string, args url.Values, step func(json.RawMessage), result any) error {
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		path, done, err := st.socket()
		if err != nil {
			return nil, err
		}
		defer done()
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://node"+path+"?"+args.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return errInterrupted
		}
		return fmt.Errorf("%w (%s): start it with `hammock mount` or `hammock serve`", errNoNode, st.dir)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("this node does not know the command %s", path)
	}
	if err := readAnswer(resp.Body, step, result); err == nil || ctx.Err() == nil {
		return err
	}
	return errInterrupted
}

func readAnswer(r io.Reader, step func(json.RawMessage), result any) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxControl)
	for lines.Scan() {
		var l struct {
			answer
			Step json.RawMessage `json:"step"`
		}
		if err := json.Unmarshal(bytes.TrimSpace(lines.Bytes()), &l); err != nil {
			return fmt.Errorf("read the node's answer: %w", err)
		}
		if l.Step != nil {
			if step != nil {
				step(l.Step)
			}
			continue
		}
		if l.Value != nil && result != nil {
			if err := json.Unmarshal(l.Value, result); err != nil {
				return fmt.Errorf("read the node's answer: %w", err)
			}
		}
		if l.Error != "" {
			return exitError{errors.New(l.Error), max(1, l.Status)}
		}
		return nil
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the node's answer: %w", err)
	}
	return errors.New("the node ended while it answered; its log in the state folder says why")
}

// withTimeout is the request's context with the limit that it asks for.
func withTimeout(r *http.Request) (context.Context, context.CancelFunc, error) {
	d, err := time.ParseDuration(r.FormValue("timeout"))
	if err != nil {
		return nil, nil, err
	}
	if d <= 0 {
		ctx, cancel := context.WithCancel(r.Context())
		return ctx, cancel, nil
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), d, fmt.Errorf("not finished within %s", d))
	return ctx, cancel, nil
}
