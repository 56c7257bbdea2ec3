package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func cacheCommand(at func() state) *cobra.Command {
	cmd := &cobra.Command{Use: "cache", Short: "The local encrypted cache"}
	cmd.AddCommand(&cobra.Command{
		Use:   "drop",
		Short: "Forget what is safe on peers; it is fetched again when it is read",
		Long:  "Forgets what the cache holds and peers keep. It is fetched again when it is read; what is on this machine only stays.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var d dropped
			if err := at().ask(cmd.Context(), "/cache/drop", nil, nil, &d); err != nil {
				return err
			}
			fmt.Printf("dropped %s; %s stay, for they are on this machine only\n", showSize(d.Bytes), showSize(d.Kept))
			return nil
		},
	})
	return cmd
}

// dropped is the answer to `hammock cache drop`.
type dropped struct {
	Bytes int64 `json:"bytes"`
	Kept  int64 `json:"kept"`
}

func (d *drive) answerDrop(ctx context.Context) (any, error) {
	n, err := d.cache.Drop(ctx)
	if err != nil {
		return nil, fmt.Errorf("drop the cache: %w", err)
	}
	return dropped{Bytes: n, Kept: d.cache.Usage().Bytes}, nil
}
