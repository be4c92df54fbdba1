package fleet

import "math/rand/v2"

// Seed makes the pauses of a Watch the same each time.
func (w *Watch) Seed(seed uint64) { w.rng = rand.New(rand.NewPCG(seed, 0)) }
