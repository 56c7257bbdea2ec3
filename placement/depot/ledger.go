package depot

import (
	"fmt"

	"github.com/hammockfs/hammock/crypt"
)

// Usage is what a depot holds, in bytes. Used and Trash are what claims are charged, equal shards counted for each
// owner; Stored is what the segments take on the disk.
type Usage struct {
	Capacity, Used, Stored, Reserved, Trash int64
	Shards                                  int   // different ones, trash included
	Disk                                    int64 // what the disk itself has left for the depot
}

// Free is what can still be reserved, by all owners together.
func (u Usage) Free() int64 { return max(0, min(u.Capacity-u.Used-u.Trash-u.Reserved, u.Disk)) }

// account is what one owner is charged, in bytes.
type account struct{ used, trash, reserved int64 }

func (a *account) total() int64 { return a.used + a.trash + a.reserved }

// ledger is who is charged what; it is in memory only and counted anew at a start. Guarded by Depot.mu.
type ledger struct {
	owners     map[crypt.OwnerKey]*account
	allowances map[crypt.OwnerKey]int64
	sum        account
	incoming   int64 // records that reservations will write
	shards     int
}

func newLedger() ledger {
	return ledger{owners: map[crypt.OwnerKey]*account{}, allowances: map[crypt.OwnerKey]int64{}}
}

// add changes what an owner is charged.
func (l *ledger) add(owner crypt.OwnerKey, by account) {
	a := l.owners[owner]
	if a == nil {
		a = &account{}
		l.owners[owner] = a
	}
	for _, x := range []*account{a, &l.sum} {
		x.used += by.used
		x.trash += by.trash
		x.reserved += by.reserved
	}
	if *a == (account{}) {
		delete(l.owners, owner)
	}
}

// indexCost is about what a claim takes in the index, in bytes.
const indexCost = 256

// charge is what a claim on a shard costs: a record of its own, whether it has one or not, and its place in the index.
func charge(size int64) int64 { return recordLen(size, 1) + indexCost }

// account is what a claim adds to its owner's account.
func (c *claim) account() account {
	if c.trashed != 0 {
		return account{trash: charge(int64(c.size))}
	}
	return account{used: charge(int64(c.size))}
}

func (a account) negative() account { return account{-a.used, -a.trash, -a.reserved} }

// SetAllowance bounds what an owner may be charged here, trash included; below zero there is no bound, which is also how
// it is for an owner that was never named. What he has beyond a new bound stays. Allowances are not kept on disk.
func (d *Depot) SetAllowance(owner crypt.OwnerKey, bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if bytes < 0 {
		delete(d.ledger.allowances, owner)
		return
	}
	d.ledger.allowances[owner] = bytes
}

// Usage says how full the depot is.
func (d *Depot) Usage() Usage {
	free, keep := d.disk()
	d.segments.mu.Lock()
	stored := d.segments.size
	d.segments.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	l := &d.ledger
	return Usage{
		Capacity: d.cfg.Capacity,
		Used:     l.sum.used,
		Stored:   stored,
		Reserved: l.sum.reserved,
		Trash:    l.sum.trash,
		Shards:   l.shards,
		Disk:     max(0, free-keep-l.incoming),
	}
}

// OwnerUsage says what one owner is charged: for what stands and for what is in the trash, in bytes.
func (d *Depot) OwnerUsage(owner crypt.OwnerKey) (used, trash int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a := d.ledger.owners[owner]; a != nil {
		return a.used, a.trash
	}
	return 0, 0
}

// take reserves cost bytes for an owner, and room for a record of n bytes, or says which bound is in the way.
func (d *Depot) take(owner crypt.OwnerKey, cost, n int64) error {
	free, keep := d.disk()
	d.segments.mu.Lock()
	stored := d.segments.size
	d.segments.mu.Unlock()

	d.mu.Lock()
	defer d.mu.Unlock()
	l := &d.ledger
	var mine account
	if a := l.owners[owner]; a != nil {
		mine = *a
	}
	allowed, bounded := l.allowances[owner]
	switch {
	case bounded && cost > 0 && mine.total()+cost > allowed:
		return fmt.Errorf("%w: %d bytes of %d are used, %d of them by deleted shards that can be had back for seven days",
			ErrQuota, mine.total(), allowed, mine.trash)
	case cost > 0 && l.sum.total()+cost > d.cfg.Capacity:
		return fmt.Errorf("%w: %d bytes of %d are taken", ErrFull, l.sum.total(), d.cfg.Capacity)
	case stored+l.incoming+n > d.cfg.Capacity+d.slack():
		d.wake()
		return fmt.Errorf("%w until deleted shards have been cleared away; try again in a while", ErrFull)
	case free-l.incoming-n < keep:
		return fmt.Errorf("%w: %d bytes, of which %d are to stay free", ErrDiskFull, free, keep)
	}
	l.add(owner, account{reserved: cost})
	l.incoming += n
	return nil
}

// slack is how much more than the capacity the segments may take for a while, dead records included.
func (d *Depot) slack() int64 { return d.cfg.Capacity/8 + d.cfg.SegmentSize }

// give returns what take has reserved.
func (d *Depot) give(owner crypt.OwnerKey, cost, n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ledger.add(owner, account{reserved: -cost})
	d.ledger.incoming -= n
}

// disk says how many bytes of the disk are free, and how many of them are to stay so. A file system that cannot tell is
// taken to be endless.
func (d *Depot) disk() (free, keep int64) {
	u, err := d.cfg.FS.GetDiskUsage(d.cfg.Dir)
	if err != nil {
		return 1 << 62, 0
	}
	keep = d.cfg.KeepFree
	if keep == 0 {
		keep = int64(min(u.TotalBytes/50, 1<<30))
	}
	if d.ballast.Spare() == 0 {
		return 0, keep // what a dropped ballast has left is for the index
	}
	return int64(min(u.AvailBytes, 1<<62)), keep
}
