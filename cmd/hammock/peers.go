package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/hammockfs/hammock/placement"
)

func peersCommand(at func() state) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "peers",
		Short: "The peers that hold this volume, and how each has done",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var raw json.RawMessage
			if err := at().ask(cmd.Context(), "/status", url.Values{}, nil, &raw); err != nil {
				return err
			}
			return printPeers(os.Stdout, raw)
		},
	}
	cmd.AddCommand(
		revokeCommand(at),
		judgeCommand(at, "lost", "Count a peer as lost: its shards are rebuilt on others",
			"Says that a peer will not come back. Everything that it held is rebuilt on others, the most endangered first, and it\n"+
				"gets nothing new. `hammock peers forgive` takes that back."),
		judgeCommand(at, "forgive", "Forget what is held against a peer",
			"Forgets that a peer was declared lost, lied, lost shards or was slow. It is trusted again as a new one is, and what it\n"+
				"holds counts again."))
	return cmd
}

func judgeCommand(at func() state, verb, short, long string) *cobra.Command {
	return &cobra.Command{Use: verb + " PEER", Short: short, Long: long + "\n\nPEER is its name, or enough of its ID.", Args: exactly(1, "PEER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var said string
			err := at().ask(cmd.Context(), "/peers/judge", url.Values{"verb": {verb}, "peer": {args[0]}}, nil, &said)
			if err == nil {
				fmt.Println(said)
			}
			return err
		}}
}

// peerRecord is what a volume has seen of a peer that holds shards of it. Counts
// but Audits are of late: they halve in a week.
type peerRecord struct {
	Verdict     string  `json:"verdict"`
	Audits      uint64  `json:"audits"` // answered, ever
	Good        float64 `json:"good"`
	Late        float64 `json:"late"`
	Failed      float64 `json:"failed"`
	LostShards  float64 `json:"lost_shards"`
	WrongBytes  float64 `json:"wrong_bytes"`
	Uptime      float64 `json:"uptime"` // share of the time that this node watched
	Reliability float64 `json:"reliability"`
}

// text is what a line of status says of it.
func (r *peerRecord) text() string {
	if r == nil {
		return ""
	}
	s := fmt.Sprintf("; %s, %d audits", r.Verdict, r.Audits)
	for _, c := range []struct {
		n    float64
		what string
	}{{r.Late, "late"}, {r.Failed, "failed"}, {r.LostShards, "lost"}, {r.WrongBytes, "wrong"}} {
		if c.n >= 0.5 {
			s += fmt.Sprintf(", %.0f %s", c.n, c.what)
		}
	}
	return s + fmt.Sprintf(", online %.0f%%", 100*r.Uptime)
}

// addRecords says of each peer what the volume knows of it.
func (d *drive) addRecords(peers []peerStatus) {
	known := map[uint32]placement.StoreStanding{}
	for _, s := range d.placer.Standings() {
		known[s.Number] = s
	}
	numbers := map[string]uint32{}
	for _, e := range d.stores.table() {
		numbers[e.Peer] = e.Number
	}
	for i := range peers {
		if s, ok := known[numbers[peers[i].ID]]; ok {
			peers[i].Record = &peerRecord{Verdict: s.Verdict.String(), Audits: s.Audits, Good: s.Answered, Late: s.Late, Failed: s.Failed,
				LostShards: s.Lost, WrongBytes: s.Lied, Uptime: s.Uptime, Reliability: s.StoreInfo.Reliability}
		}
	}
}

func printPeers(out io.Writer, raw json.RawMessage) error {
	var s nodeStatus
	if err := json.Unmarshal(raw, &s); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, p := range s.Peers {
		state := "away"
		if p.Connected {
			state = "connected"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\tgives %s, %s free%s\n", p.Name, p.ID, state, showSize(p.Gives), showSize(p.Free), p.Record.text())
	}
	return w.Flush()
}

// answerJudge is the node's side of `hammock peers lost` and `forgive`.
func (d *drive) answerJudge(r *http.Request, _ func(any)) (any, error) {
	s, err := d.findStore(r.FormValue("peer"))
	if err != nil {
		return nil, err
	}
	switch r.FormValue("verb") {
	case "lost":
		return s.Name + " counts as lost; what it held is rebuilt on others", d.placer.Declare(r.Context(), s.Number)
	case "forgive":
		return s.Name + " is trusted again, as a new peer is", d.placer.Forgive(r.Context(), s.Number)
	}
	return nil, fmt.Errorf("%q is nothing that a peer can be", r.FormValue("verb"))
}

// findStore finds a peer by its name or the beginning or end of its ID.
func (d *drive) findStore(word string) (placement.StoreStanding, error) {
	ids := map[uint32]string{}
	for _, e := range d.stores.table() {
		ids[e.Number] = e.Peer
	}
	var found []placement.StoreStanding
	for _, s := range d.placer.Standings() {
		id := ids[s.Number]
		if s.Name == word || id == word {
			return s, nil
		}
		if len(word) >= 6 && (strings.HasPrefix(id, word) || strings.HasSuffix(id, word)) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return placement.StoreStanding{}, fmt.Errorf("no peer that holds this volume is called %q; `hammock peers` lists them", word)
	}
	return placement.StoreStanding{}, fmt.Errorf("%d peers' IDs match %q; give more of it", len(found), word)
}
