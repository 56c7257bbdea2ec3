package meta

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hammockfs/hammock/crypt"
)

// Record is one record of the merged view, decoded. Which fields count depends on Kind.
type Record struct {
	Ino     uint64
	Kind    Kind
	Inode   Inode
	Dirent  Dirent
	Number  uint64 // of a window or a page; the inode of an orphan record
	Extents []Extent
	Name    string // of an xattr
	Data    []byte // of a page or an xattr; valid during the call

	// Of Survey alone.
	Key     []byte     // valid during the call
	Outside *crypt.Ref // where the value is, if not beside its key
	Bad     error      // why this is no record; only Ino, Kind and Key count then
}

// Walk calls fn for each record of the volume in key order, inode by inode, as of one moment. An error of fn ends it.
func (d *DB) Walk(ctx context.Context, fn func(*Record) error) error {
	return d.scan(ctx, spaceNames, nil, nil, 0, func(rk, v []byte) error {
		r, err := parseRecord(rk, v)
		if err != nil {
			return err
		}
		return fn(&r)
	})
}

// Survey is Walk for whoever doubts what is recorded: it does not end at a record that cannot be read or makes no sense, but
// says so in Bad.
func (d *DB) Survey(ctx context.Context, fn func(*Record) error) error {
	return d.surveyRange(ctx, nil, nil, 0, fn)
}

// SurveyInode is Survey of the records of one inode.
func (d *DB) SurveyInode(ctx context.Context, ino uint64, fn func(*Record) error) error {
	return d.surveyRange(ctx, appendPrefix(nil, ino, 0), appendPrefix(nil, ino, kindEnd), ino, fn)
}

func (d *DB) surveyRange(ctx context.Context, from, to []byte, one uint64, fn func(*Record) error) error {
	sources, err := d.open(ctx, spaceNames, from, to, one)
	if err == nil {
		err = d.merge(ctx, sources, to, func(s *source) error {
			r, ok := d.survey(ctx, s)
			if !ok {
				return ctx.Err()
			}
			return errors.Join(fn(&r), ctx.Err())
		})
	}
	for i := range sources {
		err = errors.Join(err, sources[i].close())
	}
	return err
}

// survey decodes the record that a source is at; ok is false for a deletion.
func (d *DB) survey(ctx context.Context, s *source) (r Record, ok bool) {
	outside := d.outside(s)
	v, ok, err := d.valueOf(ctx, s)
	if err == nil && !ok {
		return r, false
	}
	if err == nil {
		r, err = parseRecord(s.key, v)
	}
	if err != nil {
		r = Record{Bad: err}
		if checkKey(s.key) == nil {
			r.Ino, r.Kind = keyIno(s.key), keyKind(s.key)
		}
	}
	r.Key, r.Outside = s.key, outside
	return r, true
}

// outside returns the ref of a value that is out of line; nil for others.
func (d *DB) outside(s *source) *crypt.Ref {
	if s.it != nil {
		return nil
	}
	v := s.tr.Value()
	if len(v) == 0 || v[0] != treeOutside {
		return nil
	}
	r, err := parseWholeRef(v[1:])
	if err != nil {
		return nil
	}
	return &r
}

func parseRecord(rk, v []byte) (r Record, err error) {
	if err = checkKey(rk); err != nil {
		return r, err
	}
	r.Ino, r.Kind = keyIno(rk), keyKind(rk)
	switch r.Kind {
	case KindInode:
		r.Inode, err = ParseInode(r.Ino, v)
	case KindXattr:
		r.Name, r.Data = string(rk[prefixLen:]), v
	case KindDirent:
		r.Dirent, err = parseDirent(string(rk[prefixLen+8:]), keyNumber(rk), v)
	case KindWindow:
		r.Number = keyNumber(rk)
		r.Extents, err = ParseWindow(r.Number, v)
	case KindPage:
		if r.Number, r.Data = keyNumber(rk), v; len(v) > Page {
			err = fmt.Errorf("%w: page of %d bytes", ErrFormat, len(v))
		}
	case KindOrphan:
		r.Number = keyNumber(rk)
	}
	if err != nil {
		err = fmt.Errorf("inode %d: %w", r.Ino, err)
	}
	return r, err
}

// Inodes calls fn for each inode, in the order of their numbers.
func (d *DB) Inodes(ctx context.Context, fn func(Inode) error) error {
	return d.scan(ctx, spaceNames, nil, nil, 0, func(rk, v []byte) error {
		if keyKind(rk) != KindInode {
			return nil
		}
		i, err := ParseInode(keyIno(rk), v)
		if err != nil {
			return err
		}
		return fn(i)
	})
}

// Stripes calls fn for each stripe that has a record, in the order of their numbers.
func (d *DB) Stripes(ctx context.Context, fn func(stripe uint64, record []byte) error) error {
	return d.scan(ctx, spaceTable, nil, nil, 0, func(rk, v []byte) error {
		return fn(binary.BigEndian.Uint64(rk), v)
	})
}
