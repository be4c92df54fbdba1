package memory_test

import (
	"testing"

	"github.com/fly-autoscaler/fly-autoscaler/internal/store"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store/memory"
	"github.com/fly-autoscaler/fly-autoscaler/internal/store/storetest"
)

func open(*testing.T) store.Store { return memory.New() }

func TestStore(t *testing.T)         { storetest.Run(t, open) }
func TestStoreInBubble(t *testing.T) { storetest.RunInBubbles(t, open) }
