//go:build !linux

package main

import "os/exec"

// startUnhurried starts a process; see slack_linux.go.
func startUnhurried(cmd *exec.Cmd) error { return cmd.Start() }
