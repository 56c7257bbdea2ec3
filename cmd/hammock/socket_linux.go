package main

import (
	"fmt"
	"os"
)

// socket returns a path of the control socket that is short enough for a
// socket address, whatever the length of the folder's; done releases it.
func (st state) socket() (path string, done func(), err error) {
	dir, err := os.Open(st.dir)
	if err != nil {
		return "", nil, fmt.Errorf("open the state folder: %w", err)
	}
	return fmt.Sprintf("/proc/self/fd/%d/socket", dir.Fd()), func() { dir.Close() }, nil
}
