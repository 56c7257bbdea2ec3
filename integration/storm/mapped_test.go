package storm

import (
	"fmt"
	"runtime/debug"
	"syscall"
)

// copyMapped copies into a mapping. A page that the daemon cannot bring is a
// fault of memory, which becomes the EIO here that a read would have got.
func copyMapped(dst, src []byte) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("a page of the mapping is not there: %v: %w", r, syscall.EIO)
		}
	}()
	copy(dst, src)
	return nil
}
