package main

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
)

// parseSize reads a size as people write it: 20G, 1.5T, 500 MiB. A bare letter
// means the binary unit.
func parseSize(s string) (int64, error) {
	t := strings.TrimSpace(s)
	if n := len(t); n > 0 && strings.ContainsAny(t[n-1:], "kKmMgGtTpP") {
		t += "iB"
	}
	n, err := humanize.ParseBytes(t)
	if err != nil || n > 1<<62 {
		return 0, fmt.Errorf("%q is not a size; write it like 20G or 1.5T", s)
	}
	return int64(n), nil
}

// showSize writes a size for people.
func showSize(n int64) string {
	if n < 0 {
		return "-" + humanize.IBytes(uint64(-n))
	}
	return humanize.IBytes(uint64(n))
}
