package main

import (
	"encoding/json"
	"errors"
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
		Long: "Returns when losing this machine would lose nothing that had been written before: the data, the metadata and a head\n" +
			"that two thirds of its keepers have taken. Where that cannot be, the exit status is not 0, and the reason is said;\n" +
			"what was written is safe on this machine all the same.",
		Args: cobra.NoArgs,
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
	err = d.sync(ctx, false, func(s syncReport) { step(s) })
	if errors.Is(err, errNotSafe) {
		err = fmt.Errorf("%w. What is not there is safe on this machine, and uploading goes on by itself", err)
	}
	return nil, err
}

// progress shows how far a sync is: a bar on a terminal, plain lines elsewhere.
type progress struct {
	bar    *progressbar.ProgressBar
	phase  string
	said   string    // the trouble that was told last
	saidAt time.Time // and when
}

// sayEvery is how often a trouble that changes is told.
const sayEvery = 15 * time.Second

func newProgress() *progress { return &progress{} }

func (p *progress) step(b json.RawMessage) {
	var s syncReport
	if json.Unmarshal(b, &s) != nil {
		return
	}
	tty := term.IsTerminal(int(os.Stderr.Fd()))
	if s.Phase != p.phase {
		p.begin(&s, tty)
	}
	if s.Error != "" && s.Error != p.said && time.Since(p.saidAt) > sayEvery {
		p.finish()
		p.said, p.saidAt = s.Error, time.Now()
		fmt.Fprintln(os.Stderr, "still trying: "+s.Error)
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

// begin starts a phase.
func (p *progress) begin(s *syncReport, tty bool) {
	p.finish()
	p.phase = s.Phase
	switch {
	case s.Result != "":
		fmt.Fprintln(os.Stderr, s.Result)
	case !tty:
		fmt.Fprintln(os.Stderr, phaseText(s.Phase))
	}
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
	case "repair":
		return "looking at every shard, and rebuilding what is lost"
	case "metadata":
		return "uploading metadata"
	}
	return phase
}
