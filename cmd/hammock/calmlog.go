package main

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// calmWindow is the time in which a log takes calmBurst lines of one message.
	calmWindow = 10 * time.Second
	calmBurst  = 50
	// calmMessages bounds how many messages are counted.
	calmMessages = 1000
)

// calmLog is a log that a failure which repeats itself without end does not fill:
// a program that goes on writing to a full disk would have a line written there
// for each of its attempts. What is left out is counted in the next line.
type calmLog struct {
	slog.Handler
	counts *calmCounts
}

type calmCounts struct {
	mu sync.Mutex
	of map[string]*calmCount
}

type calmCount struct {
	since      time.Time
	n, leftOut int
}

func newCalmLog(h slog.Handler) slog.Handler {
	return calmLog{h, &calmCounts{of: map[string]*calmCount{}}}
}

// Handle writes a line, or leaves it out.
func (l calmLog) Handle(ctx context.Context, r slog.Record) error {
	ok, leftOut := l.counts.take(r.Message, r.Time)
	if !ok {
		return nil
	}
	if leftOut > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("lines_left_out", leftOut))
	}
	return l.Handler.Handle(ctx, r)
}

// take counts a message and says whether it is to be written, and how many were
// not since the last that was.
func (c *calmCounts) take(message string, now time.Time) (ok bool, leftOut int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.of[message]
	if m == nil {
		if len(c.of) >= calmMessages {
			return true, 0
		}
		m = &calmCount{since: now}
		c.of[message] = m
	}
	if age := now.Sub(m.since); age >= calmWindow || age < 0 {
		m.since, m.n = now, 0
	}
	if m.n++; m.n > calmBurst {
		m.leftOut++
		return false, 0
	}
	leftOut, m.leftOut = m.leftOut, 0
	return true, leftOut
}

// WithAttrs and WithGroup keep the counts.
func (l calmLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return calmLog{l.Handler.WithAttrs(attrs), l.counts}
}

func (l calmLog) WithGroup(name string) slog.Handler {
	return calmLog{l.Handler.WithGroup(name), l.counts}
}
