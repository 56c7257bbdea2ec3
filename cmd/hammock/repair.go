package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/hammockfs/hammock/placement"
)

// statusNotWhole is the exit status of a repair that leaves something with
// less redundancy than its policy says.
const statusNotWhole = 4

func repairCommand(at func() state) *cobra.Command {
	var now bool
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Ask for every shard, and rebuild what is lost",
		Long: "Lost redundancy is rebuilt without being asked. This command looks at once: every peer is asked for a piece of each\n" +
			"shard that it should have, and what is lost is rebuilt, within the limit on repairs (repair_rate in the settings).\n" +
			"It returns when that is done as far as it can be; with --now nothing holds it back.\n\n" +
			"The exit status is 4 if something is then still not whole: for want of peers, or because it cannot be read now.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p := newProgress()
			defer p.finish()
			var s repairState
			err := at().ask(cmd.Context(), "/repair", url.Values{"now": {strconv.FormatBool(now)}}, p.step, &s)
			if err == nil {
				fmt.Println("every shard is where it should be")
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&now, "now", false, "as fast as the network allows")
	return cmd
}

// repairState is what there is to repair.
type repairState struct {
	Stripes int   `json:"stripes"`              // that are not whole
	Bytes   int64 `json:"bytes"`                // of shards to rebuild
	Queued  int   `json:"queued"`               // of the stripes, those that can be repaired now
	Rate    int64 `json:"rate"`                 // bytes a second that repairs may move; negative: no limit
	Seconds int64 `json:"seconds_at_that_rate"` // about; 0: not known

	moves int64 // bytes to read and write
}

// add counts a stripe, if it is not whole.
func (r *repairState) add(c *placement.Condition) {
	if c.Placed && c.Missing > 0 {
		r.Stripes++
		r.Bytes += c.Bytes
		r.moves += c.Moves
	}
}

// complete adds what the placer knows.
func (r *repairState) complete(s *placement.Stats) {
	r.Queued, r.Rate = s.Repairs, s.RepairRate
	if r.Rate > 0 {
		r.Seconds = (r.moves + r.Rate - 1) / r.Rate
	}
}

func (r *repairState) text() string {
	s := fmt.Sprintf("%d stripes, %s of shards", r.Stripes, showSize(r.Bytes))
	switch {
	case r.Queued == 0:
		return s + "; waiting for a peer to take them"
	case r.Seconds > 0:
		return s + fmt.Sprintf("; about %s", (time.Duration(r.Seconds)*time.Second).String())
	}
	return s
}

// answerRepair is the node's side of `hammock repair`.
func (d *drive) answerRepair(r *http.Request, step func(any)) (any, error) {
	now, err := strconv.ParseBool(r.FormValue("now"))
	if err != nil {
		return nil, err
	}
	said := -1
	err = d.placer.RepairAll(r.Context(), now, func(waiting int) {
		if waiting != said {
			said = waiting
			step(syncReport{Phase: "repair"})
		}
	})
	if err != nil {
		return nil, fmt.Errorf("repair: %w; it goes on by itself", err)
	}
	s, lost, err := d.toRepair(r.Context())
	switch {
	case err != nil:
		return nil, err
	case lost > 0:
		return s, exitError{fmt.Errorf("%d stripes cannot be read now: too many of their peers are away, lost or lie. They are repaired when enough come back", lost), statusNotWhole}
	case s.Stripes > 0:
		return s, exitError{fmt.Errorf("%d stripes stay without some of their shards (%s): there is no peer that could take them. "+
			"They can be read, and are made whole when one comes", s.Stripes, showSize(s.Bytes)), statusNotWhole}
	}
	return s, nil
}

// toRepair counts what is not whole, and the stripes that cannot be read now.
func (d *drive) toRepair(ctx context.Context) (s repairState, unreadable int, err error) {
	judge := d.placer.Conditions()
	err = d.db.Stripes(ctx, func(stripe uint64, record []byte) error {
		c, err := judge(record)
		if err != nil {
			return fmt.Errorf("record of stripe %x: %w", stripe, err)
		}
		s.add(&c)
		if c.Placed && c.Spare < 0 {
			unreadable++
		}
		return nil
	})
	ps := d.placer.Stats()
	s.complete(&ps)
	return s, unreadable, err
}

// care puts the settings of audits and repairs into the placer's.
func (set *settings) care(c *placement.Config) error {
	c.RepairRate = set.RepairRate
	c.AwayLimit = time.Duration(set.AwayDays * 24 * float64(time.Hour))
	if set.AuditEvery != "" {
		every, err := time.ParseDuration(set.AuditEvery)
		if err != nil || every <= 0 {
			return fmt.Errorf("audit_every in the settings is %q; it is a time like 5m", set.AuditEvery)
		}
		c.AuditEvery = every
	}
	return nil
}
