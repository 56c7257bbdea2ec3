package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/hammockfs/hammock/fs/check"
)

// The exit statuses of a check are fsck's.
const (
	statusCorrected   = 1
	statusDamaged     = 4 // errors left uncorrected
	statusOperational = 8 // the check could not be made
	statusUsage       = 16
	statusCancelled   = 32
)

func checkCommand(at func() state) *cobra.Command {
	var c checkRun
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Prove the volume whole, byte by byte with --data, also at peers with --peers",
		Long: "Goes through everything that is recorded of the volume and reports what does not fit. --data also reads and\n" +
			"verifies every byte, from the cache or from peers. --peers asks the peers to prove that they hold each shard; with\n" +
			"--data they have to prove every byte of it. A mounted volume is checked by the process that has it mounted; one\n" +
			"that is not is opened for the check, without mounting it.\n\n" +
			"Without --fix nothing is changed, but that rotten bytes in the cache are replaced by good ones of peers when --data\n" +
			"comes upon them. --fix mends what has one right answer, and puts the rest into the directory lost+found of the\n" +
			"volume, with a report. While the volume is mounted it mends only what no program can notice.\n\n" +
			"The exit status is 0: clean; 1: all that was found has been mended; 4: something is left; 8: the check could not\n" +
			"be made; 16: wrong usage; 32: interrupted.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return exitError{fmt.Errorf("a check takes no argument, and got %q; the volume is named with --state", args[0]), statusUsage}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context(), at()) },
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exitError{fmt.Errorf("%w; `%s --help` lists what it takes", err, cmd.CommandPath()), statusUsage}
	})
	cmd.Flags().BoolVar(&c.Data, "data", false, "read and verify every byte, from the cache or from peers")
	cmd.Flags().BoolVar(&c.Peers, "peers", false, "let peers prove that they hold each shard; with --data, every byte of it")
	cmd.Flags().BoolVar(&c.Fix, "fix", false, "mend what has one right answer, and put the rest into lost+found")
	c.pass.add(cmd)
	return cmd
}

// checkRun is one run of `hammock check`.
type checkRun struct {
	checkOptions
	pass passphraseFlags
}

// checkOptions say what a check looks at.
type checkOptions struct{ Data, Peers, Fix bool }

func (c *checkRun) run(ctx context.Context, st state) error {
	var r check.Report
	args := url.Values{"data": {strconv.FormatBool(c.Data)}, "peers": {strconv.FormatBool(c.Peers)}, "fix": {strconv.FormatBool(c.Fix)}}
	shown := newCheckShown()
	err := st.ask(ctx, "/check", args, func(b json.RawMessage) {
		var s checkStep
		if json.Unmarshal(b, &s) == nil {
			shown.step(s)
		}
	}, &r)
	if errors.Is(err, errNoNode) {
		r, err = c.alone(ctx, st, shown.step)
	}
	shown.end()
	switch status := exitStatus(err); {
	case err == nil, status == statusCorrected && r.Problems+r.Notes > 0, status == statusDamaged:
		fmt.Println(reportText(&r))
		return err
	case ctx.Err() != nil:
		return exitError{err, statusCancelled}
	}
	return exitError{err, statusOperational}
}

// peersWait is how long a check waits for peers to connect at most.
const peersWait = 15 * time.Second

// alone checks a volume that nobody has mounted. It is not opened as a mount opens it: that would put some things in
// order before they are seen.
func (c *checkRun) alone(ctx context.Context, st state, step func(checkStep)) (r check.Report, err error) {
	k, err := c.pass.load(st)
	if err != nil {
		return r, err
	}
	n, err := startNode(ctx, st, k, nodeOptions{log: quietLog()})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, within(closeLimit, n.close)) }()
	d, err := openRecords(ctx, n)
	if err != nil {
		return r, damaged(err)
	}
	defer func() {
		err = errors.Join(err, within(closeLimit, func() error { return d.close(context.WithoutCancel(ctx)) }))
	}()
	if c.Data || c.Peers {
		d.awaitPeers(ctx)
	}
	return d.check(ctx, c.checkOptions, step)
}

// awaitPeers waits a moment for the peers that hold shards.
func (d *drive) awaitPeers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, peersWait)
	defer cancel()
	for {
		watch := d.node.swarm.Watch()
		away := 0
		for _, s := range d.stores.Stores() {
			if !s.Online && !s.Here {
				away++
			}
		}
		if away == 0 {
			return
		}
		select {
		case <-watch:
		case <-ctx.Done():
			return
		}
	}
}

// answerCheck is the node's side of `hammock check`.
func (d *drive) answerCheck(r *http.Request, step func(any)) (any, error) {
	var o checkOptions
	for name, to := range map[string]*bool{"data": &o.Data, "peers": &o.Peers, "fix": &o.Fix} {
		var err error
		if *to, err = strconv.ParseBool(r.FormValue(name)); err != nil {
			return nil, fmt.Errorf("option %s of the check: %w", name, err)
		}
	}
	return d.check(r.Context(), o, func(s checkStep) { step(s) })
}

// checkStep is what a check says while it runs: a line, or how far it is.
type checkStep struct {
	Line  string `json:"line,omitempty"`
	Phase string `json:"phase,omitempty"`
	Done  int    `json:"done,omitempty"`
	Total int    `json:"total,omitempty"`
}

// checkShown shows the steps: findings on standard output, and how far it is, now and then, on standard error.
type checkShown struct {
	last time.Time
	tty  bool
	long bool // the line of progress has to be ended
}

// progressEvery is how often a check says how far it is.
const progressEvery = 3 * time.Second

func newCheckShown() *checkShown {
	return &checkShown{last: time.Now(), tty: term.IsTerminal(int(os.Stderr.Fd()))}
}

func (s *checkShown) step(x checkStep) {
	if x.Line != "" {
		s.end()
		fmt.Println(x.Line)
	}
	if x.Phase == "" || time.Since(s.last) < progressEvery {
		return
	}
	s.last = time.Now()
	text := "checking " + x.Phase
	switch {
	case x.Total > 0:
		text += fmt.Sprintf(": %d of %d", x.Done, x.Total)
	case x.Done > 0:
		text += fmt.Sprintf(": %d", x.Done)
	}
	if s.tty {
		fmt.Fprintf(os.Stderr, "\r\033[K%s", text)
		s.long = true
		return
	}
	fmt.Fprintln(os.Stderr, text)
}

// end ends a line of progress.
func (s *checkShown) end() {
	if s.long {
		fmt.Fprint(os.Stderr, "\r\033[K")
		s.long = false
	}
}
