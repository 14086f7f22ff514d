package ssm_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stocktake/internal/inventory"
)

// waited gives for how long each of some polls was held.
type waited struct {
	sync.WaitGroup
	mu   sync.Mutex
	took []time.Duration
}

func (w *waited) poll(ctx context.Context, tr *trial, id inventory.NodeID) {
	w.Go(func() {
		began := time.Now()
		tr.AwaitMessages(ctx, inventory.NodeKey{Partition: home, Node: id})
		w.mu.Lock()
		defer w.mu.Unlock()
		w.took = append(w.took, time.Since(began))
	})
}

func TestPollsAreHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t)
		defer tr.stop()
		var w waited
		for n := range 100 {
			w.poll(t.Context(), tr, node(n))
		}
		synctest.Wait()
		if n := tr.OpenPolls(); n != 100 {
			t.Errorf("%d polls are open", n)
		}
		w.Wait()
		for _, d := range w.took {
			if d < 14*time.Second || d > 15*time.Second {
				t.Errorf("a poll was held for %v", d)
			}
		}
		if n := tr.OpenPolls(); n != 0 {
			t.Errorf("%d polls are left open", n)
		}
	})
}

func TestPollsEndEarly(t *testing.T) {
	for name, end := range map[string]func(tr *trial, w *waited, cancel func()){
		"the caller goes":    func(_ *trial, _ *waited, cancel func()) { cancel() },
		"the service stops":  func(tr *trial, _ *waited, _ func()) { tr.EndPolls() },
		"the node asks anew": func(tr *trial, w *waited, _ func()) { w.poll(context.Background(), tr, node(1)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := newTrial(t)
				defer tr.stop()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var w waited
				w.poll(ctx, tr, node(1))
				time.Sleep(3 * time.Second)
				end(tr, &w, cancel)
				synctest.Wait()
				w.mu.Lock()
				took := w.took
				w.mu.Unlock()
				if len(took) != 1 || took[0] != 3*time.Second {
					t.Errorf("polls were held for %v", took)
				}
				w.Wait()
				if n := tr.OpenPolls(); n != 0 {
					t.Errorf("%d polls are left open", n)
				}
			})
		})
	}
}

// TestNobodyPollsAfterTheEnd has a node ask while the service is about to stop.
func TestNobodyPollsAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t)
		defer tr.stop()
		tr.EndPolls()
		began := time.Now()
		tr.AwaitMessages(t.Context(), inventory.NodeKey{Partition: home, Node: node(1)})
		if d := time.Since(began); d != 0 {
			t.Errorf("the poll was held for %v", d)
		}
	})
}
