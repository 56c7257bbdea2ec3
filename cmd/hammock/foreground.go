package main

import (
	"sync"
	"time"
)

// writeMeter tells whether programs write much to the volume just now: uploads
// give way to a burst of them. Its zero value says that they do not.
type writeMeter struct {
	mu      sync.Mutex
	written func() int64 // bytes until now
	last    int64        // what it was at the last look
	looked  time.Time
	yes     bool
}

const (
	// muchWritten is how many bytes a second are much.
	muchWritten = 8 << 20
	// shortLook and longLook are the least and the most time that one look covers.
	shortLook = 40 * time.Millisecond
	longLook  = 250 * time.Millisecond
)

// attach says where the count of written bytes comes from.
func (m *writeMeter) attach(written func() int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.written, m.last = written, written()
}

// busy says whether much has been written since the last look, or at it if that
// was only just.
func (m *writeMeter) busy() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	passed := now.Sub(m.looked)
	if m.written == nil || passed < shortLook {
		return m.yes
	}
	n := m.written()
	m.yes = float64(n-m.last) >= muchWritten*min(passed, longLook).Seconds()
	m.last, m.looked = n, now
	return m.yes
}
