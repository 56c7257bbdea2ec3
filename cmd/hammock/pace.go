package main

import "time"

// checkpointSeldom is how often changes are published while nobody can take
// them: each time leaves a small stripe, and what was closed and synced is safe
// here without one.
const checkpointSeldom = 10 * time.Minute

// pace says when changes are published: as often as it is asked while that
// helps, seldom else.
type pace struct {
	helps func() bool // whether what is published now can soon be on peers
	last  time.Time
}

// due says whether it is time to publish.
func (p *pace) due(now time.Time) bool {
	if now.Sub(p.last) < checkpointSeldom && !p.helps() {
		return false
	}
	p.last = now
	return true
}

// failed makes publishing due again.
func (p *pace) failed() { p.last = time.Time{} }

// helpful says whether what is published now can soon be on peers: one is
// online, and no older head waits for them.
func (d *drive) helpful() bool {
	if d.heads.waits() {
		return false
	}
	for _, s := range d.stores.Stores() {
		if s.Online && !s.Here {
			return true
		}
	}
	return false
}
