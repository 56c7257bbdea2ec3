//go:build !linux

package main

import "log/slog"

// lockMemory locks nothing here.
func lockMemory(log *slog.Logger) {
	log.Info("memory is not locked on this system, so that keys may get into the swap: have that encrypted")
}
