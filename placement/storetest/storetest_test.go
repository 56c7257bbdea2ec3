package storetest_test

import (
	"testing"

	"github.com/hammockfs/hammock/placement"
	"github.com/hammockfs/hammock/placement/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func() placement.Store { return &storetest.Memory{} })
}
