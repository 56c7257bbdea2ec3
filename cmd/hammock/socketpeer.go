package main

import (
	"log/slog"
	"net"
	"os"
)

// ownersOnly is a listener that answers only programs of the user whose process
// this is, and of root. The folder's mode says the same; this holds where the
// folder was opened to others, or the socket handed on.
type ownersOnly struct {
	*net.UnixListener
	log *slog.Logger
}

// Accept waits for the next connection that may ask for something.
func (l ownersOnly) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		uid, err := peerUID(c)
		if err == nil && (uid == 0 || uid == os.Geteuid()) {
			return c, nil
		}
		l.log.Warn("a command from another user was refused", "uid", uid, "error", err)
		_ = c.Close()
	}
}
