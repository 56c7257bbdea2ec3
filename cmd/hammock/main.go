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
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	harden()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once; nothing that was acknowledged is lost by that
	if calledAsHelper(os.Args[0]) {
		status := runHelper(ctx, os.Args[0], os.Args[1:])
		stop()
		os.Exit(status)
	}
	err := rootCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "hammock: "+err.Error())
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
	at := func() state {
		if abs, err := filepath.Abs(dir); err == nil {
			dir = abs // a background process works elsewhere
		}
		return state{dir: dir}
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; `%s --help` lists what it takes", err, cmd.CommandPath())
	})
	root.AddCommand(
		demoCommand(at), initCommand(at), mountCommand(at), serveCommand(at), inviteCommand(at), joinCommand(at),
		statusCommand(at), syncCommand(at), recoverCommand(at), checkCommand(at), repairCommand(at), peersCommand(at), cacheCommand(at), unmountCommand(at),
	)
	return root
}

// exactly takes n arguments, which it names when they are missing.
func exactly(n int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return fmt.Errorf("it is `%s %s`; `%s --help` says more", cmd.CommandPath(), names, cmd.CommandPath())
		}
		return nil
	}
}
