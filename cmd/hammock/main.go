// Command hammock makes the storage of many machines appear as one mounted
// folder. There is one file for each command; node.go and drive.go put the
// packages together: a node keeps shards for others and talks to peers, a drive
// is the volume that a node mounts. A command that concerns a running node asks
// it through the socket in its state folder (control.go).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := rootCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "hammock: "+sentence(err))
		os.Exit(exitStatus(err))
	}
}

// exitError is an error with an exit status of its own.
type exitError struct {
	error
	status int
}

func (e exitError) Unwrap() error { return e.error }

func exitStatus(err error) int {
	var e exitError
	if errors.As(err, &e) {
		return e.status
	}
	return 1
}

func rootCommand() *cobra.Command {
	var dir string
	root := &cobra.Command{
		Use:   "hammock",
		Short: "Your files, hung between your peers",
		Long: "hammock mounts a folder whose content is encrypted, cut up and spread over the machines of your peers,\n" +
			"so that it survives the loss of any of them, this one included. Begin with `hammock demo DIR`.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&dir, "state", defaultState(), "folder of this node's state")
	at := func() state { return state{dir: dir} }
	root.AddCommand(
		demoCommand(at), initCommand(at), mountCommand(at), serveCommand(at), inviteCommand(at), joinCommand(at),
		statusCommand(at), syncCommand(at), recoverCommand(at), checkCommand(at), cacheCommand(at), unmountCommand(at),
	)
	return root
}

// sentence is what is printed of an error: errors are written lower-case for
// wrapping, and so is this.
func sentence(err error) string { return err.Error() }
