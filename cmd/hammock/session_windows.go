package main

import "syscall"

// ownSession keeps a background process from ending with the terminal.
func ownSession() *syscall.SysProcAttr {
	const detached = 0x00000008 // DETACHED_PROCESS
	return &syscall.SysProcAttr{CreationFlags: detached}
}
