package tree

import (
	"bytes"
	"fmt"
)

// cursor walks over the edits of a Fold, one ahead, and remembers how far the range deletes behind it reach.
type cursor struct {
	next func() (Edit, bool, error)
	cur  Edit
	ok   bool // cur is an edit
	err  error

	key, val []byte // what step consumed; also the key that the next one must not be less than

	del    []byte // old keys below it are deleted
	delAll bool   // all that follow are
}

// verdict is what the edits of one key come to.
type verdict uint8

const (
	untouched verdict = iota
	putting
	deleting
)

// advance fetches the next edit into cur.
func (c *cursor) advance() {
	c.cur, c.ok, c.err = c.next()
	if c.err != nil {
		c.ok = false
		return
	}
	if c.ok {
		c.err = c.checkEdit()
		c.ok = c.err == nil
	}
}

func (c *cursor) checkEdit() error {
	e := &c.cur
	switch {
	case e.Op < Put || e.Op > DeleteRange:
		return fmt.Errorf("%w: operation %d", ErrLimit, e.Op)
	case len(e.Key) > MaxKey || len(e.Key) == 0 && e.Op != DeleteRange:
		return fmt.Errorf("%w: a key of %d bytes", ErrLimit, len(e.Key))
	case e.Op == Put && len(e.Value) > MaxValue:
		return fmt.Errorf("%w: a value of %d bytes", ErrLimit, len(e.Value))
	case bytes.Compare(e.Key, c.key) < 0:
		return fmt.Errorf("%w: key %x comes after %x", ErrLimit, e.Key, c.key)
	}
	return nil
}

// step consumes all edits of the key of cur, leaves the key in c.key and, for a put, the value in c.val. The last put or
// delete of a key counts; a range delete only ever concerns old keys.
func (c *cursor) step() verdict {
	c.key = append(c.key[:0], c.cur.Key...)
	v := untouched
	for c.ok && bytes.Equal(c.cur.Key, c.key) {
		switch c.cur.Op {
		case Put:
			v = putting
			c.val = append(c.val[:0], c.cur.Value...)
		case Delete:
			v = deleting
		case DeleteRange:
			c.extend(c.cur.End)
		}
		c.advance()
	}
	return v
}

// open consumes the range deletes that begin at or before lo, where the walk has come to.
func (c *cursor) open(lo []byte) {
	for c.ok && c.cur.Op == DeleteRange && bytes.Compare(c.cur.Key, lo) <= 0 {
		c.extend(c.cur.End)
		c.key = append(c.key[:0], c.cur.Key...)
		c.advance()
	}
}

func (c *cursor) extend(end []byte) {
	if len(end) == 0 {
		c.delAll = true
	} else if bytes.Compare(end, c.del) > 0 {
		c.del = append(c.del[:0], end...)
	}
}

// below says whether an edit waits whose key is less than hi; a nil hi is above all keys.
func (c *cursor) below(hi []byte) bool {
	return c.ok && (hi == nil || bytes.Compare(c.cur.Key, hi) < 0)
}

func (c *cursor) at(key []byte) bool { return c.ok && bytes.Equal(c.cur.Key, key) }

// deleted says whether a range delete that has begun reaches beyond the old key.
func (c *cursor) deleted(key []byte) bool { return c.delAll || bytes.Compare(key, c.del) < 0 }

// covers says whether a range delete that has begun reaches to hi.
func (c *cursor) covers(hi []byte) bool {
	return c.delAll || hi != nil && bytes.Compare(hi, c.del) <= 0
}
