//go:build !linux

package mount

import "errors"

// Elsewhere the package builds, so that the rest of the program does, and Mount
// refuses: what it does is made for Linux (/dev/fuse, mountinfo, the bdi).
const kernelCapabilities = 0

func (o *Options) flags() uintptr { return 0 }

func detachDirectly(string) error { return errors.ErrUnsupported }
