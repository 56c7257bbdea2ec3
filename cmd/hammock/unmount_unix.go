//go:build !windows

package main

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// statusNotSafe is the exit status of an unmount that left something on this
// machine only.
const statusNotSafe = 3

// answerUnmount is the node's side of `hammock unmount`.
func (m *mounted) answerUnmount(r *http.Request, step func(any)) (any, error) {
	if dir := r.FormValue("dir"); dir != m.dir {
		return nil, fmt.Errorf("this node has its volume mounted on %s, not on %s", m.dir, dir)
	}
	limit, err := time.ParseDuration(r.FormValue("timeout"))
	if err != nil {
		return nil, err
	}
	err = m.leave(r.Context(), limit, func(s syncReport) { step(s) })
	switch {
	case errors.Is(err, errNoPeers):
		return nil, nil // a volume without peers is only here, as `status` says; unmounting changes nothing
	case err != nil && m.isLeft():
		return nil, exitError{err, statusNotSafe}
	}
	return nil, err
}

func (m *mounted) isLeft() bool {
	select {
	case <-m.left:
		return true
	default:
		return false
	}
}

func (m *mounted) mountPoint() string { return m.dir }
