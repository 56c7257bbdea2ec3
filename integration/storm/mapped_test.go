package storm

import (
	"fmt"
	"runtime/debug"
)

// copyMapped copies into a mapping. A page that the daemon cannot bring is a
// fault of memory, which becomes an error here.
func copyMapped(dst, src []byte) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("a page of the mapping is not there: %v", r)
		}
	}()
	copy(dst, src)
	return nil
}
