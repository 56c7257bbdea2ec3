package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
)

// statusDamaged is the exit status of a check that found something wrong, as
// fsck's "errors left uncorrected".
const statusDamaged = 4

func checkCommand(at func() state) *cobra.Command {
	var data bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Prove the volume whole; with --data by reading every byte",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r checkReport
			step := func(b json.RawMessage) {
				var line string
				if json.Unmarshal(b, &line) == nil {
					fmt.Println(line)
				}
			}
			err := at().ask(cmd.Context(), "/check", url.Values{"data": {strconv.FormatBool(data)}}, step, &r)
			if err != nil && exitStatus(err) != statusDamaged {
				return err
			}
			fmt.Println(r.String())
			return err
		},
	}
	cmd.Flags().BoolVar(&data, "data", false, "read and verify every byte, from the cache or from peers")
	return cmd
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
	c := newChecker(d, data, func(line string) { step(line) })
	if err := c.run(r.Context()); err != nil {
		return c.report, fmt.Errorf("the check could not go on: %w", err)
	}
	if c.report.Problems > 0 {
		return c.report, exitError{fmt.Errorf("%d problems were found; nothing was changed", c.report.Problems), statusDamaged}
	}
	return c.report, nil
}
