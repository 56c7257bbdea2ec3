package meta

import (
	"context"

	"github.com/hammockfs/hammock/room"
)

// Room is how many bytes of new things may be recorded, as far as the disk is concerned: what it has left beside the
// ballast, and none while the ballast is dropped. It is for those to heed who would make something new; a commit of what
// has been taken already, or one that removes something, is not bound by it. Cheap.
func (d *DB) Room() int64 {
	if d.cfg.Reserve == 0 {
		return room.Endless
	}
	return max(0, d.ballast.Spare()-d.cfg.Reserve)
}

// Tend makes the ballast again when the disk has room for it. It is meant to be called every few seconds.
func (d *DB) Tend(context.Context) error {
	_, err := d.ballast.Restore()
	return err
}

func (c *Config) ballast() *room.Ballast {
	return room.NewBallast(c.FS, c.Dir, "ballast", c.Reserve)
}
