package reconcile

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Keys come when they are due, each to one taker, and again when they are given
// back; no taker waits while a key is due.
func TestQueueHandsOutEachKeyWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		begin := time.Now()
		ctx, cancel := context.WithDeadline(t.Context(), begin.Add(60500*time.Millisecond))
		defer cancel()
		for i := range 5 {
			q.add(fmt.Sprint(i), begin.Add(time.Duration(i)*time.Second))
		}
		var mu sync.Mutex
		held := map[string]bool{}
		got := map[string][]time.Duration{}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for {
					key, due, ok := q.next(ctx)
					if !ok {
						return
					}
					mu.Lock()
					if held[key] {
						t.Errorf("key %s is held twice", key)
					}
					held[key] = true
					got[key] = append(got[key], time.Since(begin))
					mu.Unlock()
					time.Sleep(100 * time.Millisecond)
					mu.Lock()
					held[key] = false
					mu.Unlock()
					q.done(key, due.Add(20*time.Second))
				}
			})
		}
		wg.Wait()
		for i := range 5 {
			first := time.Duration(i) * time.Second
			want := []time.Duration{first, first + 20*time.Second, first + 40*time.Second}
			if i == 0 {
				want = append(want, first+60*time.Second)
			}
			if !slices.Equal(got[fmt.Sprint(i)], want) {
				t.Errorf("key %d came at %v, want %v", i, got[fmt.Sprint(i)], want)
			}
		}
	})
}

// A key that is removed while it is held is not handed out again, unless it was
// added again meanwhile.
func TestQueueRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		q.add("held", time.Now())
		q.add("waiting", time.Now().Add(time.Second))
		if key, _, _ := q.next(ctx); key != "held" {
			t.Fatalf("got %q, want the key that is due", key)
		}
		q.remove("held")
		q.remove("waiting")
		q.remove("never there")
		q.done("held", time.Now())
		if key, _, ok := q.next(ctx); ok {
			t.Fatalf("got %q after all were removed", key)
		}

		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		q.add("again", time.Now())
		q.next(ctx)
		q.remove("again")
		q.add("again", time.Now())
		q.done("again", time.Now().Add(time.Second))
		if key, _, ok := q.next(ctx); !ok || key != "again" {
			t.Fatalf("got %q, %v after the key was added again", key, ok)
		}
	})
}

// BenchmarkQueueWithManyTakers hands out one key at a time, while as many takers as
// a loop has wait for one.
func BenchmarkQueueWithManyTakers(b *testing.B) {
	const takers = 1600
	q := newQueue()
	ctx, cancel := context.WithCancel(b.Context())
	taken := make(chan struct{})
	var wg sync.WaitGroup
	for range takers {
		wg.Go(func() {
			for {
				key, _, ok := q.next(ctx)
				if !ok {
					return
				}
				q.done(key, time.Now().Add(time.Hour))
				taken <- struct{}{}
			}
		})
	}
	q.add("key", time.Now())
	<-taken
	b.ReportAllocs()
	for b.Loop() {
		q.wake("key", time.Now())
		<-taken
	}
	cancel()
	wg.Wait()
}
