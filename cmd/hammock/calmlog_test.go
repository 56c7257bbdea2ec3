package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestCalmLog writes one line without end, and another beside it.
func TestCalmLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		log := slog.New(newCalmLog(slog.NewTextHandler(&b, nil)))
		for i := range 100_000 {
			log.Error("the disk is full", "n", i)
		}
		log.With("who", "me").Error("something else")
		if n := strings.Count(b.String(), "\n"); n != calmBurst+1 || !strings.Contains(b.String(), "something else") {
			t.Errorf("%d lines", n)
		}
		b.Reset()
		time.Sleep(calmWindow)
		log.Error("the disk is full")
		log.Error("the disk is full")
		if s := b.String(); strings.Count(s, "lines_left_out=99950") != 1 || strings.Count(s, "\n") != 2 {
			t.Errorf("the log says %q", s)
		}
	})
}
