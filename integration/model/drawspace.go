package model

// space are the operations on where a file has bytes.
func (m *Machine) space() map[string]action { return nil }
