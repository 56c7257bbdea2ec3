package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hammockfs/hammock/net/swarm"
)

func revokeCommand(at func() state) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke PEER",
		Short: "End the membership of a peer's owner, and of those whom only he invited",
		Long: "Ends the membership of the owner of a peer, with all devices, and of those whom nobody else has invited. The founder\n" +
			"and those on the way of invitations from the founder to that owner may do so. All members learn of it as they meet;\n" +
			"connections are closed then. What the owner keeps for you is rebuilt on others; what this machine keeps of him can\n" +
			"no longer be fetched. A new ticket lets him in again.\n\nPEER is the name of the member or of one of his machines, or enough of the ID of either.",
		Args: exactly(1, "PEER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var said string
			err := at().ask(cmd.Context(), "/peers/revoke", url.Values{"peer": {args[0]}}, nil, &said)
			if err == nil {
				fmt.Println(said)
			}
			return err
		},
	}
}

func (n *node) answerRevoke(r *http.Request, _ func(any)) (any, error) {
	m, err := findMember(r.FormValue("peer"), n.swarm.Members(), n.swarm.Peers())
	if err != nil {
		return nil, err
	}
	if m.Owner == n.cert.Owner {
		return nil, errors.New("that is yourself: to leave, tell the others, and stop this node")
	}
	before := n.swarm.Members()
	if err := n.swarm.Revoke(r.Context(), m.Owner); err != nil {
		return nil, err
	}
	var also []string
	for _, b := range before {
		if b.Owner != m.Owner && !n.swarm.IsMember(b.Owner) {
			also = append(also, b.Name)
		}
	}
	said := m.Name + " is no member any more"
	if len(also) > 0 {
		said += ", and with it " + strings.Join(also, ", ") + ", whom nobody else has invited"
	}
	n.log.Warn("revoked", "name", m.Name, "owner", m.Owner, "also", also)
	return said, nil
}

// minPrefix is how much of an ID is enough.
const minPrefix = 8

// findMember finds the one member that a name, or the beginning or end of an ID,
// means.
func findMember(text string, members []swarm.Member, peers []swarm.Peer) (swarm.Member, error) {
	means := func(name, id string) bool {
		return text == name || len(text) >= minPrefix && (strings.HasPrefix(id, text) || strings.HasSuffix(id, text))
	}
	var found []swarm.Member
	for _, m := range members {
		hit := means(m.Name, m.Owner.String())
		for _, p := range peers {
			hit = hit || p.Owner == m.Owner && means(p.Name, p.ID)
		}
		if hit {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 0:
		return swarm.Member{}, fmt.Errorf("no member and no machine of one is called %q; `hammock status` lists them", text)
	case 1:
		return found[0], nil
	}
	var names []string
	for _, m := range found {
		names = append(names, m.Name+" ("+m.Owner.String()[:minPrefix]+")")
	}
	return swarm.Member{}, fmt.Errorf("%q means %d members: %s; give the digits in brackets, for nothing was done", text, len(found), strings.Join(names, ", "))
}
