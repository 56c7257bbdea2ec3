package model

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"unsafe"
)

// bytesOf is n bytes of no pattern, others for each seed, and at a place that
// O_DIRECT takes.
func bytesOf(seed uint64, n int64) []byte {
	p := aligned(n)
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	_, _ = rand.NewChaCha8(key).Read(p)
	return p
}

// block is what O_DIRECT wants buffers, offsets and lengths to be multiples of.
const block = 4096

func aligned(n int64) []byte {
	p := make([]byte, n+block)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(p))) % block
	return p[skip : int64(skip)+n : int64(skip)+n]
}

// value is the extended attribute that a call sets.
func (c *Call) value() []byte {
	if c.Data != nil {
		return c.Data
	}
	return bytesOf(c.Seed, c.Len)
}

// Errno is the errno of an error, for messages and comparisons; 0 for nil, and
// EIO for what is none.
func Errno(err error) syscall.Errno {
	var no syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &no):
		return no
	}
	return syscall.EIO
}

// String shows a call as a line of what led to a failure.
func (c *Call) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d: %s", c.By, c.Op)
	show := func(name string, v any, zero bool) {
		if !zero {
			fmt.Fprintf(&b, " %s=%v", name, v)
		}
	}
	show("file", c.File, c.File == 0)
	show("path", fmt.Sprintf("%q", c.Path), c.Path == "")
	show("from", c.From, c.From == 0)
	show("to", fmt.Sprintf("%.40q", c.To), c.To == "")
	show("flags", fmt.Sprintf("%#x", c.Flags), c.Flags == 0)
	show("mode", fmt.Sprintf("%o", c.Mode), c.Mode == 0)
	show("owner", fmt.Sprintf("%d:%d", c.UID, c.GID), c.UID == 0 && c.GID == 0)
	show("off", c.Off, c.Off == 0)
	show("off2", c.Off2, c.Off2 == 0)
	show("len", c.Len, c.Len == 0)
	show("seed", c.Seed, c.Seed == 0)
	show("data", fmt.Sprintf("%x", c.Data), c.Data == nil)
	return b.String()
}
