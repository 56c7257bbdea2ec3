package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

func unmountCommand(at func() state) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:     "unmount DIR",
		Aliases: []string{"umount"},
		Short:   "Wait for uploads, unmount, stop the node",
		Long: "Waits until everything is on peers, at most for --timeout, unmounts and stops the node; of a demo, the peers too.\n" +
			"A folder that is in use stays mounted. What could not be brought to peers in time is safe on this machine and goes\n" +
			"out when the volume is mounted again; then the exit status is 3.",
		Args: exactly(1, "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := mountPath(args[0])
			if err != nil {
				return err
			}
			st := at()
			err = unmount(cmd.Context(), st, dir, timeout)
			if err != nil && exitStatus(err) == 1 {
				return err
			}
			return errors.Join(err, endDemo(cmd.Context(), st))
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", drainLimit, "how long to wait for uploads before unmounting all the same")
	return cmd
}

// unmount asks the node of a state to unmount and waits for its end. The error
// of what is then on this machine only has an exit status of its own.
func unmount(ctx context.Context, st state, dir string, timeout time.Duration) error {
	p := newProgress()
	defer p.finish()
	err := st.ask(ctx, "/unmount", url.Values{"dir": {dir}, "timeout": {timeout.String()}}, p.step, nil)
	if !errors.Is(err, errNoNode) {
		return notSafe(err)
	}
	dead, ferr := freeDead(dir)
	switch {
	case ferr != nil:
		return ferr
	case dead:
		fmt.Fprintf(os.Stderr, "the process that had mounted %s was ended before; what it left is taken away. What was written is safe in %s\n", dir, st.dir)
		return nil
	}
	return fmt.Errorf("nothing of this state is mounted: %w (%s)", errNoNode, st.dir)
}

func notSafe(err error) error {
	if exitStatus(err) == statusNotSafe {
		return fmt.Errorf("unmounted, but %w", err)
	}
	return err
}

// statusNotSafe is the exit status of an unmount that left something on this
// machine only.
const statusNotSafe = 3

// mountPath names a mount point as the kernel does, without asking what is
// mounted there, for its daemon may be dead.
func mountPath(dir string) (string, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for range 40 { // as many links as Linux follows
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return path, nil
	}
	return filepath.Join(parent, filepath.Base(path)), nil
}
