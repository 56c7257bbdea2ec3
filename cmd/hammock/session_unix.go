//go:build unix

package main

import "syscall"

// ownSession keeps a background process from ending with the terminal.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
