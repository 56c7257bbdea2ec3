package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func syncCommand(at func() state) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "Return when everything is on peers",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p := newProgress()
			defer p.finish()
			return at().ask(cmd.Context(), "/sync", url.Values{"timeout": {timeout.String()}}, p.step, nil)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this long; 0: never")
	return cmd
}

// answerSync is the node's side of `hammock sync`.
func (d *drive) answerSync(r *http.Request, step func(any)) (any, error) {
	ctx, cancel, err := withTimeout(r)
	if err != nil {
		return nil, err
	}
	defer cancel()
	return nil, d.sync(ctx, false, func(s syncReport) { step(s) })
}

// progress shows how far a sync is: a bar on a terminal, plain lines elsewhere.
type progress struct {
	bar   *progressbar.ProgressBar
	phase string
}

func newProgress() *progress { return &progress{} }

func (p *progress) step(b json.RawMessage) {
	var s syncReport
	if json.Unmarshal(b, &s) != nil {
		return
	}
	tty := term.IsTerminal(int(os.Stderr.Fd()))
	if s.Phase != p.phase {
		p.finish()
		p.phase = s.Phase
		switch {
		case s.Result != "":
			fmt.Fprintln(os.Stderr, s.Result)
		case !tty:
			fmt.Fprintln(os.Stderr, phaseText(s.Phase))
		}
	}
	if !tty || s.Total == 0 {
		return
	}
	if p.bar == nil {
		p.bar = progressbar.DefaultBytes(s.Total, phaseText(s.Phase))
	}
	p.bar.ChangeMax64(s.Total)
	_ = p.bar.Set64(s.Done)
}

func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
		fmt.Fprintln(os.Stderr)
		p.bar = nil
	}
}

func phaseText(phase string) string {
	switch phase {
	case "commit":
		return "saving what was written"
	case "upload":
		return "uploading data"
	case "metadata":
		return "uploading metadata"
	}
	return phase
}
