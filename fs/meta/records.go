package meta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

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
	m := newCBORMap(dst)
	m.uint(1, uint64(i.Mode))
	m.uint(2, uint64(i.UID))
	m.uint(3, uint64(i.GID))
	m.uint(4, uint64(i.Nlink))
	m.uint(5, uint64(i.Rdev))
	m.uint(6, i.Size)
	m.uint(7, i.Blocks)
	m.int(8, i.Atime)
	m.int(9, i.Mtime)
	m.int(10, i.Ctime)
	m.int(11, i.Btime)
	m.uint(12, i.Parent)
	m.bytes(13, i.Target)
	m.uint(14, uint64(i.Flags))
	return m.end(), nil
}

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
func appendDirent(dst []byte, e *Dirent) []byte {
	m := newCBORMap(dst)
	m.uint(1, e.Ino)
	m.uint(2, uint64(e.Type))
	return m.end()
}

func parseDirent(name string, cookie uint64, value []byte) (Dirent, error) {
	e := Dirent{Name: name, Cookie: cookie}
	if err := crypt.DecodeCBOR(value, &e); err != nil {
		return Dirent{}, fmt.Errorf("%w: directory entry: %v", ErrFormat, err)
	}
	return e, nil
}

const windowVersion = 1

// appendWindow encodes the extents of window w: sorted, not overlapping, none reaching over an edge of the window.
func appendWindow(dst []byte, w uint64, extents []Extent) ([]byte, error) {
	if w > maxWindow {
		return nil, fmt.Errorf("%w: window %d", ErrTooBig, w)
	}
	if len(extents) > maxExtents {
		return nil, fmt.Errorf("%w: window of %d extents", ErrTooBig, len(extents))
	}
	start, pos := w*Window, w*Window
	dst = append(dst, windowVersion)
	dst = binary.AppendUvarint(dst, uint64(len(extents)))
	var last, lastEnd int // where the previous ref lies in dst
	for i := range extents {
		e := &extents[i]
		if err := e.check(pos, start+Window); err != nil {
			return nil, err
		}
		dst = binary.AppendUvarint(dst, e.Off-pos)
		dst = binary.AppendUvarint(dst, uint64(e.Len))
		dst = binary.AppendUvarint(dst, uint64(e.Skip))
		dst = append(dst, refNew)
		at := len(dst)
		dst = crypt.AppendRef(dst, &e.Ref)
		if i > 0 && bytes.Equal(dst[at:], dst[last:lastEnd]) {
			dst = dst[:at]
			dst[at-1] = refSame
		} else {
			last, lastEnd = at, len(dst)
		}
		pos = e.end()
	}
	return dst, nil
}

// How an extent names its chunk.
const (
	refNew  = 0 // a ref follows
	refSame = 1 // the ref of the extent before
)

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
	if len(value) == 0 || value[0] != windowVersion || w > maxWindow {
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
	var last crypt.Ref
	for range n {
		e, rest, err := parseExtent(b, pos, (w+1)*Window, &last, len(extents) == 0)
		if err != nil {
			return nil, fmt.Errorf("window %d, extent %d: %w", w, len(extents), err)
		}
		extents, b, pos = append(extents, e), rest, e.end()
	}
	if len(b) != 0 {
		return nil, fmt.Errorf("%w: window %d: %d bytes too many", ErrFormat, w, len(b))
	}
	return extents, nil
}

func parseExtent(b []byte, pos, limit uint64, last *crypt.Ref, first bool) (e Extent, rest []byte, err error) {
	gap, b, ok1 := uvarint(b)
	length, b, ok2 := uvarint(b)
	skip, b, ok3 := uvarint(b)
	if !ok1 || !ok2 || !ok3 || gap > Window || length > Window || skip > crypt.MaxChunk || len(b) == 0 {
		return e, nil, ErrFormat
	}
	switch how := b[0]; {
	case how == refSame && !first:
		b = b[1:]
	case how == refNew:
		if *last, b, err = crypt.ParseRef(b[1:]); err != nil {
			return e, nil, fmt.Errorf("%w: %v", ErrFormat, err)
		}
	default:
		return e, nil, ErrFormat
	}
	e = Extent{Off: pos + gap, Len: uint32(length), Skip: uint32(skip), Ref: *last}
	return e, b, e.check(pos, limit)
}

// uvarint reads one shortest-form varint: one value has one encoding.
func uvarint(b []byte) (v uint64, rest []byte, ok bool) {
	v, n := binary.Uvarint(b)
	if n <= 0 || (n > 1 && b[n-1] == 0) {
		return 0, nil, false
	}
	return v, b[n:], true
}
