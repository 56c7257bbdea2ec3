package main

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// peerUID is the user of the process at the other end, as the kernel saw it when
// that connected.
func peerUID(c *net.UnixConn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	var cred *unix.Xucred
	var cerr error
	err = raw.Control(func(fd uintptr) { cred, cerr = unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED) })
	if err = errors.Join(err, cerr); err != nil {
		return -1, err
	}
	return int(cred.Uid), nil
}
