package model

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func (c *Core) seek(call *Call, r *Result) error {
	f, err := c.file(call, false, false)
	if err != nil {
		return err
	}
	if call.Flags == unix.SEEK_DATA {
		r.N, err = f.f.SeekData(ctx, call.Off)
	} else {
		r.N, err = f.f.SeekHole(ctx, call.Off)
	}
	return err
}

func (c *Core) allocate(call *Call, _ *Result) error {
	if err := allocatable(call); err != nil {
		return err
	}
	f, err := c.file(call, false, true)
	if err != nil {
		return err
	}
	if err = f.f.Allocate(ctx, call.Off, call.Len, uint32(call.Flags)); err != nil {
		return err
	}
	if unprivileged() {
		f.f.KillPriv()
	}
	return f.syncedIfAsked()
}

// allocatable is what the kernel refuses before it asks for the file.
func allocatable(call *Call) error {
	switch {
	case call.Len <= 0:
		return syscall.EINVAL
	case call.Flags == unix.FALLOC_FL_PUNCH_HOLE:
		return syscall.EOPNOTSUPP
	}
	return nil
}

func (c *Core) copy(call *Call, r *Result) error {
	in, err := c.file(call, true, false)
	if err != nil {
		return err
	}
	out, err := c.file(&Call{File: call.From}, false, true)
	if err != nil || out.flags&unix.O_APPEND != 0 {
		return syscall.EBADF
	}
	if call.Len == 0 {
		return nil
	}
	r.N, err = in.f.CopyRange(ctx, call.Off, out.f, call.Off2, call.Len)
	if r.N > 0 && unprivileged() {
		out.f.KillPriv()
	}
	if err == nil {
		err = out.syncedIfAsked()
	}
	return err
}
