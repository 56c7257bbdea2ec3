package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// statusDamaged is the exit status of a check that found something wrong, as
// fsck's "errors left uncorrected".
const statusDamaged = 4

func checkCommand(at func() state) *cobra.Command {
	var c checkRun
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Prove the volume whole; with --data by reading every byte",
		Long: "Walks through everything that is recorded of the volume and reports what does not fit; --data also reads every\n" +
			"byte, from the cache or from peers, and verifies it. Nothing is changed. A mounted volume is checked by the process\n" +
			"that has it mounted; one that is not is opened for the check, without mounting it.\n\n" +
			"The exit status is 4 if something is wrong with the volume.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.run(cmd.Context(), at())
		},
	}
	cmd.Flags().BoolVar(&c.data, "data", false, "read and verify every byte, from the cache or from peers")
	c.pass.add(cmd)
	return cmd
}

// checkRun is one run of `hammock check`.
type checkRun struct {
	data bool
	pass passphraseFlags
}

func (c *checkRun) run(ctx context.Context, st state) error {
	var r checkReport
	step := func(b json.RawMessage) {
		var line string
		if json.Unmarshal(b, &line) == nil {
			fmt.Println(line)
		}
	}
	err := st.ask(ctx, "/check", url.Values{"data": {strconv.FormatBool(c.data)}}, step, &r)
	if errors.Is(err, errNoNode) {
		r, err = c.alone(ctx, st)
	}
	if err != nil && exitStatus(err) != statusDamaged {
		return err
	}
	fmt.Println(r.String())
	return err
}

// peersWait is how long a check waits for peers to connect at most.
const peersWait = 15 * time.Second

// alone checks a volume that nobody has mounted.
func (c *checkRun) alone(ctx context.Context, st state) (r checkReport, err error) {
	k, err := c.pass.load(st)
	if err != nil {
		return r, err
	}
	n, err := startNode(ctx, st, k, nodeOptions{log: quietLog()})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, within(closeLimit, n.close)) }()
	d, err := openDrive(ctx, n)
	if err != nil {
		return r, err
	}
	defer func() {
		err = errors.Join(err, within(closeLimit, func() error { return d.close(context.WithoutCancel(ctx)) }))
	}()
	if c.data {
		d.awaitPeers(ctx)
	}
	return d.check(ctx, c.data, func(line string) { fmt.Println(line) })
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

// checkReport is what a check counted.
type checkReport struct {
	Inodes   int   `json:"inodes"`
	Dirs     int   `json:"directories"`
	Entries  int   `json:"entries"`
	Extents  int   `json:"extents"`
	Stripes  int   `json:"stripes"`
	Read     int64 `json:"bytes_read"`
	Problems int   `json:"problems"`
}

func (r checkReport) String() string {
	text := fmt.Sprintf("%d inodes, %d directories with %d entries, %d extents in %d stripes", r.Inodes, r.Dirs, r.Entries, r.Extents, r.Stripes)
	if r.Read > 0 {
		text += ", " + showSize(r.Read) + " read and verified"
	}
	if r.Problems == 0 {
		return text + ": clean"
	}
	return fmt.Sprintf("%s: %d problems", text, r.Problems)
}

// answerCheck is the node's side of `hammock check`.
func (d *drive) answerCheck(r *http.Request, step func(any)) (any, error) {
	data, err := strconv.ParseBool(r.FormValue("data"))
	if err != nil {
		return nil, err
	}
	return d.check(r.Context(), data, func(line string) { step(line) })
}

// check proves the volume whole and says what is wrong.
func (d *drive) check(ctx context.Context, data bool, say func(string)) (checkReport, error) {
	c := newChecker(d, data, say)
	if err := c.run(ctx); err != nil {
		return c.report, fmt.Errorf("the check could not go on: %w", err)
	}
	if c.report.Problems > 0 {
		return c.report, exitError{fmt.Errorf("%d problems were found; nothing was changed", c.report.Problems), statusDamaged}
	}
	return c.report, nil
}
