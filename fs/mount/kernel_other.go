//go:build !linux

package mount

import (
	"errors"
	"log/slog"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Elsewhere the package builds, so that the rest of the program does, and Mount
// refuses: what it does is made for Linux (/dev/fuse, mountinfo, the bdi).
const (
	kernelCapabilities = 0
	openNoAtime        = 0
	openDSync          = 0
)

func awaitMount(f *fuse.Server) error { return f.WaitMount() }

func (o *Options) flags() uintptr { return 0 }

func outsider(*fuse.SetXAttrIn) bool { return false }

func detachDirectly(string) error { return errors.ErrUnsupported }

// queued is how requests come on Linux where it can be had; see there.
type queued struct{}

func wantQueues(*Options, *slog.Logger) (*queued, error) { return nil, nil }

func (*queued) asked(bool) {}

func (*queued) capability() uint64 { return 0 }

func (q *queued) attached(*fuse.Server) (*queued, error) { return q, nil }

func (*Server) serveQueues() {}
