package main

import (
	"fmt"
	"net/url"
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
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			p := newProgress()
			st := at()
			err = st.ask(cmd.Context(), "/unmount", url.Values{"dir": {dir}, "timeout": {timeout.String()}}, p.step, nil)
			p.finish()
			if exitStatus(err) == 1 && err != nil {
				return err
			}
			if derr := endDemo(cmd.Context(), st); derr != nil {
				return derr
			}
			if err != nil {
				return fmt.Errorf("unmounted, but: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "how long to wait for uploads before unmounting all the same")
	return cmd
}
