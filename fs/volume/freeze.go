package volume

// Freeze makes the volume read-only from now on, for good: every later change
// is ErrReadOnly. What has been written before is still committed.
func (v *Volume) Freeze() { v.frozen.Store(true) }

// writable refuses a change of a frozen volume.
func (v *Volume) writable() error {
	if v.frozen.Load() {
		return ErrReadOnly
	}
	return nil
}
