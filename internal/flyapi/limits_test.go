package flyapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fly-autoscaler/fly-autoscaler/internal/flyapi"
	"github.com/fly-autoscaler/fly-autoscaler/internal/scale"
)

// unlimited answers at once, so that all time that passes is the limiter's.
func unlimited(t *testing.T, body string) *flyapi.Client {
	t.Helper()
	return answering(t, 200, body)
}

func TestRates(t *testing.T) {
	machine := func(i int) scale.MachineID { return scale.MachineID(fmt.Sprintf("m%d", i)) }
	app := func(i int) scale.App { return scale.App(fmt.Sprintf("web-%d", i)) }
	config := flyapi.CreateRequest{Config: []byte(`{}`)}
	tests := []struct {
		name  string
		count int
		call  func(context.Context, *flyapi.Client, int) error
		want  time.Duration
	}{
		{"creates in one app", 10, func(ctx context.Context, c *flyapi.Client, _ int) error {
			return second(c.CreateMachine(ctx, "web", config))
		}, 7 * time.Second},
		{"creates in many apps", 100, func(ctx context.Context, c *flyapi.Client, i int) error {
			return second(c.CreateMachine(ctx, app(i), config))
		}, 0},
		{"starts of many machines", 100, func(ctx context.Context, c *flyapi.Client, i int) error {
			return c.StartMachine(ctx, "web", machine(i), "")
		}, 0},
		{"starts of one machine", 5, func(ctx context.Context, c *flyapi.Client, _ int) error {
			return c.StartMachine(ctx, "web", "m1", "")
		}, 2 * time.Second},
		{"different actions on one machine", 3, func(ctx context.Context, c *flyapi.Client, _ int) error {
			return errors.Join(c.StartMachine(ctx, "web", "m1", ""), c.StopMachine(ctx, "web", "m1", ""), c.SuspendMachine(ctx, "web", "m1", ""))
		}, 0},
		{"cordons of one machine", 5, func(ctx context.Context, c *flyapi.Client, _ int) error {
			return errors.Join(c.SetMetadata(ctx, "web", "m1", "", "k", "v"), c.CordonMachine(ctx, "web", "m1", ""),
				c.UncordonMachine(ctx, "web", "m1", ""), c.DeleteMetadata(ctx, "web", "m1", "", "k"))
		}, 2 * time.Second},
		{"lists of one app", 4, func(ctx context.Context, c *flyapi.Client, _ int) error {
			return second(c.GetLease(ctx, "web", "m1"))
		}, time.Second},
		{"reads of one machine", 30, func(ctx context.Context, c *flyapi.Client, _ int) error {
			return second(c.GetMachine(ctx, "web", "m1"))
		}, 4 * time.Second},
		{"GraphQL of all kinds", 70, func(ctx context.Context, c *flyapi.Client, i int) error {
			return second(c.CurrentRelease(ctx, app(i)))
		}, 5 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// One body that all of these calls understand.
				c := unlimited(t, `{"id":"m1","nonce":"n","expires_at":1790000000,"data":{"app":{"currentRelease":null},"nonce":"n","expires_at":1790000000}}`)
				began := time.Now()
				var wg sync.WaitGroup
				for i := range tt.count {
					wg.Go(func() {
						if err := tt.call(t.Context(), c, i); err != nil {
							t.Errorf("call %d: %v", i, err)
						}
					})
				}
				wg.Wait()
				if took := time.Since(began).Round(time.Millisecond); took != tt.want {
					t.Errorf("took %s, want %s", took, tt.want)
				}
			})
		})
	}
}

func TestLimitPastTheDeadlineReturnsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		c := newClient(t, flyapi.Config{Transport: transportFunc(func(*http.Request) (*http.Response, error) {
			sent++
			return answer(200, oneMachine), nil
		})})
		for range 3 {
			if err := create(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		began := time.Now()
		e := apiError(t, create(ctx, c))
		if e.Kind != flyapi.KindRateLimited || e.Status != 0 || e.RetryAfter != time.Second {
			t.Errorf("got %s, status %d, retry after %s, want rate_limited by the client for 1s", e.Kind, e.Status, e.RetryAfter)
		}
		if time.Since(began) != 0 || sent != 3 {
			t.Errorf("waited %s and sent %d, want no wait and 3", time.Since(began), sent)
		}
		// The refused call used up no token: the next one waits one second, not two.
		if err := create(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("waited %s, want 1s", took)
		}
	})
}

func TestCancelWhileLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := unlimited(t, oneMachine)
		for range 3 {
			if err := create(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		began := time.Now()
		if got := flyapi.KindOf(create(ctx, c)); got != flyapi.KindCanceled {
			t.Errorf("got %s, want canceled", got)
		}
		if took := time.Since(began); took != 100*time.Millisecond {
			t.Errorf("returned after %s, want 100ms", took)
		}
	})
}

func TestBucketsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := unlimited(t, `{}`)
		for i := range 20_000 {
			if err := c.StopMachine(t.Context(), "web", scale.MachineID(fmt.Sprintf("m%d", i)), ""); err != nil {
				t.Fatal(err)
			}
			if i%500 == 0 {
				<-time.After(time.Second)
			}
		}
		if n := c.Buckets(); n > 2048 {
			t.Errorf("%d buckets are held after 20,000 machines, want only the latest", n)
		}
	})
}

func TestAffinity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent string
		set := "fly_flaps_affinity=node1; Path=/v1/apps/web; Max-Age=60"
		c := newClient(t, flyapi.Config{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
			sent = r.Header.Get("Cookie")
			if r.Method == http.MethodPost {
				return answer(200, oneMachine, "Set-Cookie", set, "Set-Cookie", "other=x"), nil
			}
			return answer(200, `[]`), nil
		})})
		check := func(app scale.App, want string) {
			t.Helper()
			if err := second(c.ListMachines(t.Context(), app)); err != nil {
				t.Fatal(err)
			}
			if sent != want {
				t.Errorf("app %s: got cookie %q, want %q", app, sent, want)
			}
		}
		check("web", "")
		if err := create(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		check("web", "fly_flaps_affinity=node1")
		check("web2", "")
		<-time.After(61 * time.Second)
		check("web", "")
		set = "fly_flaps_affinity=node2"
		for i := range 3000 {
			request := flyapi.CreateRequest{Config: []byte(`{}`)}
			if err := second(c.CreateMachine(t.Context(), scale.App(fmt.Sprintf("app-%d", i)), request)); err != nil {
				t.Fatal(err)
			}
		}
		check("app-2999", "fly_flaps_affinity=node2")
		if n := c.Affinities(); n > 2048 {
			t.Errorf("%d cookies are held, want at most 2048", n)
		}
	})
}
