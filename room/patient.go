package room

import (
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// patience is how long a Patient rests between two attempts.
const patience = 100 * time.Millisecond

// Patient is a file system for a database that ends the process where some of its files cannot be written, and repeats
// other writes at once and without end. Here the want of space drops the ballast; a write of a vital file is then repeated
// until there is room (or a descriptor), so that the database never hears of it, and any other failure is passed on after a rest, for the
// database to take back what it had begun.
type Patient struct {
	vfs.FS
	ballast *Ballast
	vital   func(name string) bool
	ctx     context.Context // of all waiting
}

// NewPatient returns a patient file system on top of another one. Nothing waits when ctx has ended.
func NewPatient(ctx context.Context, on vfs.FS, b *Ballast, vital func(name string) bool) *Patient {
	return &Patient{FS: on, ballast: b, vital: vital, ctx: ctx}
}

// Unwrap lets Pebble find what lies below.
func (p *Patient) Unwrap() vfs.FS { return p.FS }

// again rests after a failure and says whether to try again.
func (p *Patient) again(err error, vital bool) bool {
	if !Full(err) && !Scarce(err) || p.ctx.Err() != nil {
		return false
	}
	if Full(err) && p.ballast.Drop() {
		return true
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-t.C:
		return vital
	case <-p.ctx.Done():
		return false
	}
}

// open makes a file by one of the calls that do.
func (p *Patient) open(name string, do func() (vfs.File, error)) (vfs.File, error) {
	vital := p.vital(p.PathBase(name))
	for {
		f, err := do()
		if err == nil {
			return &patientFile{f, p, vital}, nil
		}
		if !p.again(err, vital) {
			return nil, err
		}
	}
}

// Create makes a file.
func (p *Patient) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return p.open(name, func() (vfs.File, error) { return p.FS.Create(name, c) })
}

// ReuseForWrite makes a file of one that is not needed any more.
func (p *Patient) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return p.open(name, func() (vfs.File, error) { return p.FS.ReuseForWrite(old, name, c) })
}

// Rename renames a file, for which a folder may have to grow.
func (p *Patient) Rename(from, to string) error {
	for {
		err := p.FS.Rename(from, to)
		if err == nil || !p.again(err, p.vital(p.PathBase(to))) {
			return err
		}
	}
}

// patientFile is a file that is written from its beginning to its end.
type patientFile struct {
	vfs.File
	on    *Patient
	vital bool
}

func (f *patientFile) Write(b []byte) (done int, err error) {
	for {
		n, err := f.File.Write(b[done:])
		done += n
		if err == nil || !f.on.again(err, f.vital) {
			return done, err
		}
	}
}

// Preallocate is a wish: where it is not granted, the write that follows says why.
func (f *patientFile) Preallocate(off, n int64) error {
	_ = f.File.Preallocate(off, n)
	return nil
}
