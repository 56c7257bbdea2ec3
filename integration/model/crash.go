package model

import "pgregory.net/rapid"

// Kill has the filesystem under test die by die, which brings it back as it was
// found after that. What was open is lost with it; what had been closed or
// synced must be there.
func (m *Machine) Kill(t *rapid.T, die func()) {
	m.SyncAll(t)
	m.Note("kill")
	die()
	m.Forget()
}
