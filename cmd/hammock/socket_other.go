//go:build !linux

package main

import "fmt"

// maxSocket is the longest path of a socket address, in bytes.
const maxSocket = 103

// socket returns the path of the control socket.
func (st state) socket() (path string, done func(), err error) {
	path = st.path("socket")
	if len(path) > maxSocket {
		return "", nil, fmt.Errorf("the path of the state folder is too long for a socket in it: %s", st.dir)
	}
	return path, func() {}, nil
}
