package main

import (
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/mdp/qrterminal/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func inviteCommand(at func() state) *cobra.Command {
	var name, allowance string
	var valid time.Duration
	cmd := &cobra.Command{
		Use:   "invite",
		Short: "Print a ticket that lets one machine into the swarm",
		Long: "Prints a ticket, on a terminal with a QR code. It lets one owner in, once, while this node runs and until it\n" +
			"expires. Whoever has it can use it: hand it over as you would a key.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var ticket string
			args := url.Values{"name": {name}, "allowance": {allowance}, "valid": {valid.String()}}
			if err := at().ask(cmd.Context(), "/invite", args, nil, &ticket); err != nil {
				return err
			}
			fmt.Println(ticket)
			if term.IsTerminal(int(os.Stdout.Fd())) {
				qrterminal.GenerateHalfBlock(ticket, qrterminal.L, os.Stdout)
				fmt.Printf("\nOn the other machine: hammock join TICKET, then hammock serve --give SIZE\n"+
					"It works once, until %s, while this node runs.\n", time.Now().Add(valid).Format("2 January 15:04"))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name for the new member")
	cmd.Flags().StringVar(&allowance, "allowance", "0", "how much each node keeps for the new member at most; 0: no limit")
	cmd.Flags().DurationVar(&valid, "valid", 7*24*time.Hour, "how long the ticket works")
	return cmd
}
