package depot

import (
	"fmt"
	"strings"
)

// indexRoom is how many bytes the disk must have left for the index to be opened, or changed: a table of what is in its
// memory, and a little more. The ballast, where there is one, is larger.
const indexRoom = 5 << 20

// vital says of which files of the index Pebble does not survive a failed write.
func vital(name string) bool {
	return strings.HasSuffix(name, ".log") || strings.HasPrefix(name, "MANIFEST-") || strings.HasPrefix(name, "marker.")
}

// makeWay sees that the index can be opened, which writes. On a full disk Pebble would try without end.
func (d *Depot) makeWay() error {
	if _, err := d.ballast.Restore(); err != nil {
		d.log.Debug("no room for the depot's ballast", "err", err)
	}
	left := d.ballast.Look()
	if left < indexRoom && d.ballast.Drop() {
		left = d.ballast.Look()
	}
	if left < indexRoom {
		return fmt.Errorf("%w: it has %d bytes left, and %d are needed to begin", ErrDiskFull, left, indexRoom)
	}
	return nil
}

// writable refuses changes of the index while the disk has next to nothing left: they would wait for room. The ballast
// counts as room.
func (d *Depot) writable() error {
	if d.cfg.Reserve == 0 || d.ballast.Spare() >= indexRoom || d.ballast.Here() {
		return nil
	}
	if left := d.ballast.Left(); left < indexRoom {
		return fmt.Errorf("%w: it has %d bytes", ErrDiskFull, left)
	}
	return nil
}
