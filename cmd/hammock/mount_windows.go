package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"
)

var errNoMount = errors.New("mounting needs FUSE, which this system does not have; `hammock serve` works here")

func mountCommand(func() state) *cobra.Command {
	return &cobra.Command{Use: "mount DIR", Short: "Mount the volume on DIR (not on this system)",
		RunE: func(*cobra.Command, []string) error { return errNoMount }}
}

// mounted stands for a mounted drive, of which there is none here.
type mounted struct{ *drive }

func (m *mounted) mountPoint() string { return "" }

const drainLimit = 2 * time.Minute

func freeDead(string) (bool, error) { return false, nil }

// There is no mount(8) to help.
func calledAsHelper(string) bool { return false }

func runHelper(context.Context, string, []string) int { return 1 }
