package prometheus

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	// tries is how often a question on which the values of all apps depend is asked
	// while a server answers at once that it cannot: among servers behind one address
	// the next one often can.
	tries = 3
	// pauseBetween is the longest wait before another try, and the shortest is half
	// of it.
	pauseBetween = 200 * time.Millisecond
)

// firmly calls ask, and again while the server answers at once that it cannot.
func firmly(ctx context.Context, ask func() error) error {
	for try := 1; ; try++ {
		began := time.Now()
		err := ask()
		e, ok := errors.AsType[*statusError](err)
		if !ok || e.status < 500 || !isMute(err) || try == tries || time.Since(began) > time.Second {
			return err
		}
		timer := time.NewTimer(pauseBetween/2 + rand.N(pauseBetween/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}
