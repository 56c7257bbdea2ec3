package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// A running node answers the commands of its owner on a Unix socket in its
// state folder, which only its owner can enter. The requests are HTTP with
// JSON; an answer that takes long is a line of JSON for each step.

// maxControl is the largest answer line, in bytes.
const maxControl = 1 << 20

// control is the server side.
type control struct {
	server *http.Server
	done   chan struct{}
}

// serveControl answers on the state's socket until close.
func serveControl(st state, mux *http.ServeMux) (*control, error) {
	path, done, err := st.socket()
	if err != nil {
		return nil, err
	}
	defer done()
	if err := os.Remove(st.path("socket")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the socket of an earlier run: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for commands in the state folder: %w", err)
	}
	if err := os.Chmod(st.path("socket"), 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	c := &control{server: &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		_ = c.server.Serve(l) // ends with ErrServerClosed
	}()
	return c, nil
}

// close waits a moment for answers under way, and ends.
func (c *control) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := c.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = c.server.Close()
	}
	<-c.done
	return err
}

// answer is the last line of every answer.
type answer struct {
	Error  string          `json:"error,omitempty"`
	Status int             `json:"status,omitempty"` // exit status that goes with the error
	Value  json.RawMessage `json:"value,omitempty"`
}

// handle makes an HTTP handler of a function. What it gives to step is sent at
// once, each a line; what it returns comes last.
func handle(f func(r *http.Request, step func(any)) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		enc := json.NewEncoder(w)
		step := func(v any) {
			if b, err := json.Marshal(v); err == nil {
				_ = enc.Encode(map[string]json.RawMessage{"step": b}) // who asked may have gone
				_ = http.NewResponseController(w).Flush()
			}
		}
		v, err := f(r, step)
		var a answer
		if err != nil {
			a.Error, a.Status = err.Error(), exitStatus(err)
		}
		if b, merr := json.Marshal(v); merr == nil && v != nil {
			a.Value = b
		}
		_ = enc.Encode(a)
	}
}

// errNoNode says that nothing answers in a state folder.
var errNoNode = errors.New("no hammock process runs on this state")

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
			return ctx.Err()
		}
		return fmt.Errorf("%w (%s): start it with `hammock mount` or `hammock serve`", errNoNode, st.dir)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("this node does not know the command %s", path)
	}
	return readAnswer(resp.Body, step, result)
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
