package meta

import (
	"encoding/binary"
	"fmt"
)

// Kind is the ninth byte of a record's key. The kinds order an inode's records: its own record first, then what it holds.
type Kind uint8

// The kinds of records. Clips and removals are marks (see mark), not records.
const (
	KindInode  Kind = 1 // rest: nothing
	KindXattr  Kind = 2 // rest: name
	KindDirent Kind = 3 // rest: hash of the name (8, big endian), name
	KindWindow Kind = 4 // rest: window number (8)
	KindPage   Kind = 5 // rest: page number (8)
	KindOrphan Kind = 6 // only under inode 0; rest: inode number (8)
	kindEnd    Kind = 7
)

const (
	prefixLen = 9                   // ino, kind
	maxKey    = prefixLen + 8 + 255 // a dirent
	maxWindow = 1<<(63-22) - 1      // the last window of the largest file: 2^63 bytes
	maxPage   = 1<<(63-12) - 1
)

func appendPrefix(dst []byte, ino uint64, k Kind) []byte {
	return append(binary.BigEndian.AppendUint64(dst, ino), byte(k))
}

func appendNumbered(dst []byte, ino uint64, k Kind, n uint64) []byte {
	return binary.BigEndian.AppendUint64(appendPrefix(dst, ino, k), n)
}

func appendDirentKey(dst []byte, dir, hash uint64, name string) []byte {
	return append(appendNumbered(dst, dir, KindDirent, hash), name...)
}

func appendXattrKey(dst []byte, ino uint64, name string) []byte {
	return append(appendPrefix(dst, ino, KindXattr), name...)
}

func keyIno(rk []byte) uint64    { return binary.BigEndian.Uint64(rk) }
func keyKind(rk []byte) Kind     { return Kind(rk[8]) }
func keyNumber(rk []byte) uint64 { return binary.BigEndian.Uint64(rk[prefixLen:]) }

// checkKey says whether rk is a well-formed record key.
func checkKey(rk []byte) error {
	if len(rk) < prefixLen || len(rk) > maxKey {
		return fmt.Errorf("%w: key of %d bytes", ErrFormat, len(rk))
	}
	rest := len(rk) - prefixLen
	ok := false
	switch keyKind(rk) {
	case KindInode:
		ok = rest == 0
	case KindXattr:
		ok = rest >= 1 && rest <= MaxName
	case KindDirent:
		ok = rest >= 9 && keyNumber(rk)>>63 == 0
	case KindWindow:
		ok = rest == 8 && keyNumber(rk) <= maxWindow
	case KindPage:
		ok = rest == 8 && keyNumber(rk) <= maxPage
	case KindOrphan:
		ok = rest == 8 && keyIno(rk) == 0
	}
	if !ok || (keyIno(rk) == 0) != (keyKind(rk) == KindOrphan) {
		return fmt.Errorf("%w: key of inode %d, kind %d, %d bytes more", ErrFormat, keyIno(rk), keyKind(rk), rest)
	}
	return nil
}

// clipStart returns the first window or page that lies wholly at or beyond size.
func clipStart(k Kind, size uint64) uint64 {
	unit := uint64(Window)
	if k == KindPage {
		unit = Page
	}
	n := size / unit
	if size%unit != 0 {
		n++
	}
	return n
}
