package meta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/hammockfs/hammock/crypt"
)

// Sizes that are part of the format.
const (
	Window     = 4 << 20   // bytes of a file whose extents one record holds
	Page       = 4096      // bytes of a file that one small-data record holds
	MaxName    = 255       // bytes of a directory entry's or xattr's name
	MaxXattr   = 64 << 10  // bytes of an xattr's value
	MaxTarget  = 4095      // bytes of a symbolic link's target
	MaxRecord  = 512 << 10 // bytes of any record's value
	maxExtents = 1 << 16   // extents of a window
)

// RootIno is the inode number of the root directory: session 0, counter 1.
const RootIno = 1

// Errors of this package. Reads that fail for another reason (a node that cannot be fetched) never say ErrNotExist.
var (
	ErrNotExist = errors.New("no such record")
	ErrNoXattr  = errors.New("no such extended attribute")
	ErrTooBig   = errors.New("record too big")
	ErrFormat   = errors.New("malformed record")
	ErrNotReady = errors.New("the volume's newest changes have not been fetched yet")
	ErrClosed   = errors.New("metadata store is closed")
)

// Inode is everything about a file but its names and its data. Times are nanoseconds since 1970.
type Inode struct {
	Ino    uint64
	Mode   uint32 // S_IF* and permissions
	UID    uint32
	GID    uint32
	Nlink  uint32
	Rdev   uint32
	Size   uint64
	Blocks uint64 // units of 512 bytes
	Atime  int64
	Mtime  int64
	Ctime  int64
	Btime  int64
	Parent uint64 // a directory that names it: a hint, for log lines
	Target string // of a symbolic link; any bytes
	Flags  uint32
}

// inodeValue is an Inode as its record holds it.
type inodeValue struct {
	Mode   uint32 `cbor:"1,keyasint,omitempty"`
	UID    uint32 `cbor:"2,keyasint,omitempty"`
	GID    uint32 `cbor:"3,keyasint,omitempty"`
	Nlink  uint32 `cbor:"4,keyasint,omitempty"`
	Rdev   uint32 `cbor:"5,keyasint,omitempty"`
	Size   uint64 `cbor:"6,keyasint,omitempty"`
	Blocks uint64 `cbor:"7,keyasint,omitempty"`
	Atime  int64  `cbor:"8,keyasint,omitempty"`
	Mtime  int64  `cbor:"9,keyasint,omitempty"`
	Ctime  int64  `cbor:"10,keyasint,omitempty"`
	Btime  int64  `cbor:"11,keyasint,omitempty"`
	Parent uint64 `cbor:"12,keyasint,omitempty"`
	Target []byte `cbor:"13,keyasint,omitempty"`
	Flags  uint32 `cbor:"14,keyasint,omitempty"`
}

// Dirent is one name in a directory.
type Dirent struct {
	Name   string `cbor:"-"`
	Cookie uint64 `cbor:"-"` // keyed hash of the name, 63 bits, at least 16: stable under any change of the directory
	Ino    uint64 `cbor:"1,keyasint,omitempty"`
	Type   uint8  `cbor:"2,keyasint,omitempty"` // mode >> 12
}

// Extent shows bytes [Skip, Skip+Len) of a chunk at byte Off of the file. What no extent and no page covers is a hole.
type Extent struct {
	Off  uint64
	Len  uint32
	Skip uint32
	Ref  crypt.Ref
}

func (e *Extent) end() uint64 { return e.Off + uint64(e.Len) }

// appendInode appends the record of an inode, an inodeValue, to dst.
func appendInode(dst []byte, i *Inode) ([]byte, error) {
	if len(i.Target) > MaxTarget {
		return dst, fmt.Errorf("%w: link target of %d bytes", ErrTooBig, len(i.Target))
	}
	v := inodeValues.Get().(*inodeValue)
	defer inodeValues.Put(v)
	*v = inodeValue{
		i.Mode, i.UID, i.GID, i.Nlink, i.Rdev, i.Size, i.Blocks, i.Atime, i.Mtime, i.Ctime, i.Btime, i.Parent, nil, i.Flags,
	}
	if i.Target != "" {
		v.Target = []byte(i.Target)
	}
	return crypt.AppendCBOR(dst, v)
}

// inodeValues lends what is encoded, which escapes.
var inodeValues = sync.Pool{New: func() any { return new(inodeValue) }}

// ParseInode decodes an inode record of inode ino.
func ParseInode(ino uint64, value []byte) (Inode, error) {
	var v inodeValue
	if err := crypt.DecodeCBOR(value, &v); err != nil {
		return Inode{}, fmt.Errorf("%w: inode %d: %v", ErrFormat, ino, err)
	}
	if len(v.Target) > MaxTarget {
		return Inode{}, fmt.Errorf("%w: inode %d: link target of %d bytes", ErrFormat, ino, len(v.Target))
	}
	return Inode{
		ino, v.Mode, v.UID, v.GID, v.Nlink, v.Rdev, v.Size, v.Blocks, v.Atime, v.Mtime, v.Ctime, v.Btime, v.Parent,
		string(v.Target), v.Flags,
	}, nil
}

// appendDirent appends the record of a directory entry to dst.
func appendDirent(dst []byte, e *Dirent) ([]byte, error) { return crypt.AppendCBOR(dst, e) }

func parseDirent(name string, cookie uint64, value []byte) (Dirent, error) {
	e := Dirent{Name: name, Cookie: cookie}
	if err := crypt.DecodeCBOR(value, &e); err != nil {
		return Dirent{}, fmt.Errorf("%w: directory entry: %v", ErrFormat, err)
	}
	return e, nil
}

// Versions of a window's record: in the second, some extent names a ref by its place among those before.
const (
	windowVersion = 1
	windowAgain   = 2
)

// appendWindow encodes the extents of window w: sorted, not overlapping, none reaching over an edge of the window.
func appendWindow(dst []byte, w uint64, extents []Extent) ([]byte, error) {
	if w > maxWindow {
		return nil, fmt.Errorf("%w: window %d", ErrTooBig, w)
	}
	if len(extents) > maxExtents {
		return nil, fmt.Errorf("%w: window of %d extents", ErrTooBig, len(extents))
	}
	start, pos, version := w*Window, w*Window, len(dst)
	dst = append(dst, windowVersion)
	dst = binary.AppendUvarint(dst, uint64(len(extents)))
	var refs refWriter
	for i := range extents {
		e := &extents[i]
		if err := e.check(pos, start+Window); err != nil {
			return nil, err
		}
		dst = binary.AppendUvarint(dst, e.Off-pos)
		dst = binary.AppendUvarint(dst, uint64(e.Len))
		dst = binary.AppendUvarint(dst, uint64(e.Skip))
		var again bool
		if dst, again = refs.append(dst, &e.Ref); again {
			dst[version] = windowAgain
		}
		pos = e.end()
	}
	return dst, nil
}

// How an extent names its chunk.
const (
	refNew   = 0 // a ref follows
	refSame  = 1 // the ref of the extent before
	refAgain = 2 // the number follows of an earlier ref, counted from 0 among those that are given whole
)

// refWriter encodes the refs of one window, each whole only once.
type refWriter struct {
	last   int            // the number of the ref of the extent before
	bytes  [2]int         // where in the record the newest ref lies
	given  int            // how many refs are in the record
	number map[string]int // of each of them, once there are two
}

// append encodes a ref and says whether as one that came earlier.
func (r *refWriter) append(dst []byte, ref *crypt.Ref) (_ []byte, again bool) {
	how := len(dst)
	dst = append(dst, refNew)
	dst = crypt.AppendRef(dst, ref)
	whole := dst[how+1:]
	newest := dst[r.bytes[0]:r.bytes[1]]
	switch {
	case r.given == 0:
	case r.last == r.given-1 && bytes.Equal(whole, newest):
		dst[how] = refSame
		return dst[:how+1], false
	default:
		if r.number == nil {
			r.number = map[string]int{string(newest): 0}
		}
		n, known := r.number[string(whole)]
		switch {
		case known && n == r.last:
			dst[how] = refSame
			return dst[:how+1], false
		case known:
			r.last = n
			dst[how] = refAgain
			return binary.AppendUvarint(dst[:how+1], uint64(n)), true
		}
		r.number[string(whole)] = r.given
	}
	r.bytes = [2]int{how + 1, len(dst)}
	r.last = r.given
	r.given++
	return dst, false
}

func (e *Extent) check(from, to uint64) error {
	if e.Len == 0 || e.Off < from || e.Off >= to || uint64(e.Len) > to-e.Off {
		return fmt.Errorf("%w: extent [%d,+%d) outside [%d,%d)", ErrFormat, e.Off, e.Len, from, to)
	}
	if uint64(e.Skip)+uint64(e.Len) > uint64(e.Ref.Len) {
		return fmt.Errorf("%w: extent shows [%d,+%d) of a chunk of %d bytes", ErrFormat, e.Skip, e.Len, e.Ref.Len)
	}
	return nil
}

// ParseWindow decodes the record of window w.
func ParseWindow(w uint64, value []byte) ([]Extent, error) {
	if len(value) == 0 || value[0] != windowVersion && value[0] != windowAgain || w > maxWindow {
		return nil, fmt.Errorf("%w: window %d: unknown version", ErrFormat, w)
	}
	b := value[1:]
	n, b, ok := uvarint(b)
	// An extent takes at least four bytes, so a short value cannot ask for a large slice.
	if !ok || n > maxExtents || n > uint64(len(b))/4 {
		return nil, fmt.Errorf("%w: window %d: %d extents", ErrFormat, w, n)
	}
	extents := make([]Extent, 0, n)
	pos := w * Window
	var refs refReader
	for range n {
		e, rest, err := parseExtent(b, pos, (w+1)*Window, &refs)
		if err != nil {
			return nil, fmt.Errorf("window %d, extent %d: %w", w, len(extents), err)
		}
		extents, b, pos = append(extents, e), rest, e.end()
	}
	if len(b) != 0 {
		return nil, fmt.Errorf("%w: window %d: %d bytes too many", ErrFormat, w, len(b))
	}
	if refs.again != (value[0] == windowAgain) {
		return nil, fmt.Errorf("%w: window %d: of another version than it says", ErrFormat, w)
	}
	return extents, nil
}

func parseExtent(b []byte, pos, limit uint64, refs *refReader) (e Extent, rest []byte, err error) {
	gap, b, ok1 := uvarint(b)
	length, b, ok2 := uvarint(b)
	skip, b, ok3 := uvarint(b)
	if !ok1 || !ok2 || !ok3 || gap > Window || length > Window || skip > crypt.MaxChunk || len(b) == 0 {
		return e, nil, ErrFormat
	}
	e = Extent{Off: pos + gap, Len: uint32(length), Skip: uint32(skip)}
	ref, b, err := refs.next(b)
	if err != nil {
		return e, nil, err
	}
	e.Ref = *ref // extents of one chunk share the memory of its blocks
	return e, b, e.check(pos, limit)
}

// refReader decodes what refWriter encodes.
type refReader struct {
	given []crypt.Ref
	last  int
	again bool
}

func (r *refReader) next(b []byte) (*crypt.Ref, []byte, error) {
	how, b := b[0], b[1:]
	switch {
	case how == refSame && len(r.given) > 0:
	case how == refNew:
		ref, rest, err := crypt.ParseRef(b)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %v", ErrFormat, err)
		}
		r.last, b = len(r.given), rest
		r.given = append(r.given, ref)
	case how == refAgain:
		n, rest, ok := uvarint(b)
		if !ok || n >= uint64(len(r.given)) {
			return nil, nil, ErrFormat
		}
		r.last, r.again, b = int(n), true, rest
	default:
		return nil, nil, ErrFormat
	}
	return &r.given[r.last], b, nil
}

// uvarint reads one shortest-form varint: one value has one encoding.
func uvarint(b []byte) (v uint64, rest []byte, ok bool) {
	v, n := binary.Uvarint(b)
	if n <= 0 || (n > 1 && b[n-1] == 0) {
		return 0, nil, false
	}
	return v, b[n:], true
}
