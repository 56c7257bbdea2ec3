package cache

import (
	"fmt"
	"strconv"
	"strings"
)

// Files of the folder, for stripe 0x1000002 of class data:
//
//	0000000001000002.data        a stripe made here
//	0000000001000002.data.p17    a partial stripe; 17 is unique in the folder, so
//	                             that removing an evicted one never hits its successor
//	0000000001000002.data.p17m   its map of what is present
//	synced                       which of the stripes made here are safe: synced.go
//	*.tmp                        a map or that list being written
var classNames = [classes]string{ClassData: "data", ClassMetadata: "meta", ClassIndex: "index"}

// stripeName returns the file name of a stripe; partial is 0 for one made here.
func stripeName(number uint64, class uint8, partial uint64) string {
	name := fmt.Sprintf("%016x.%s", number, classNames[class])
	if partial != 0 {
		name += ".p" + strconv.FormatUint(partial, 10)
	}
	return name
}

// parseName is the inverse of stripeName. ok is false for any other file.
func parseName(name string) (number uint64, class uint8, partial uint64, ok bool) {
	parts := strings.Split(name, ".")
	if len(parts) != 2 && len(parts) != 3 {
		return 0, 0, 0, false
	}
	number, err := strconv.ParseUint(parts[0], 16, 64)
	if err != nil {
		return 0, 0, 0, false
	}
	for c := ClassData; c < classes; c++ {
		if classNames[c] == parts[1] {
			class = c
		}
	}
	if len(parts) == 3 {
		if partial, err = strconv.ParseUint(strings.TrimPrefix(parts[2], "p"), 10, 64); err != nil {
			return 0, 0, 0, false
		}
	}
	// Only the canonical spelling counts, so that no two files are one stripe.
	if class == 0 || stripeName(number, class, partial) != name {
		return 0, 0, 0, false
	}
	return number, class, partial, true
}
