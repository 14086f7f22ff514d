package index_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"stocktake/internal/index"
	"stocktake/internal/index/indextest"
	"stocktake/internal/inventory"
)

// TestEverythingAtOnce writes on one side and asks every kind of question on the other. The race detector judges the
// memory; an answer must be in order, and right where nothing is written: the nodes of shard 0 never change.
func TestEverythingAtOnce(t *testing.T) {
	r := newRig(t)
	random := indextest.NewRandom(3)
	random.Nodes = 200
	for range 300 {
		r.put(random.Node(), random.Key(), random.Entries(), 0)
	}
	marked := inventory.ItemKey{Type: "Custom:Still"}
	for _, id := range []inventory.NodeID{"i-00000000", "i-00000010", "i-00000020"} {
		r.put(id, marked, []inventory.Entry{{{Name: "Name", Value: "Still"}}}, 0)
	}
	stop := askEverything(t, r, marked.Type)
	for i := range 400 * *fleets {
		switch node, key := random.Node(), random.Key(); {
		case i%100 == 99:
			r.index.SweepAll()
		case i%130 == 129:
			r.reload(random, random.IntN(shards))
		case random.IntN(3) == 0 && shardOf(node) != 0:
			r.remove(node, key)
		case shardOf(node) != 0:
			r.put(node, key, random.Entries(), len(r.splits)-1)
		}
	}
	stop()
	for range 50 {
		r.ask(random)
	}
}

// askEverything asks until the function it gives is called. Three nodes that do not change have a type of their own.
func askEverything(t *testing.T, r *rig, marked inventory.TypeName) (stop func()) {
	var readers sync.WaitGroup
	var done atomic.Bool
	ask := func(seed uint64, question func(indextest.Random) error) {
		readers.Go(func() {
			random := indextest.NewRandom(seed)
			for !done.Load() {
				if err := question(random); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	still := []inventory.Filter{{Type: marked, Attribute: "Name", Values: []string{"still"}}}
	ask(1, func(random indextest.Random) error {
		res, err := r.index.Query(context.Background(), here, random.Filters(true))
		if err == nil {
			_, err = res.Count(context.Background(), &indextest.Fleet{})
		}
		return err
	})
	ask(2, func(indextest.Random) error {
		res, err := r.index.Query(context.Background(), here, still)
		if err != nil {
			return err
		}
		if ids, more, err := res.Page(context.Background(), nil, "", 50); err != nil || more || len(ids) != 3 {
			return errors.Join(err, errors.New("the nodes that do not change are not the answer"))
		}
		return nil
	})
	ask(3, func(random indextest.Random) error {
		_, err := r.index.Aggregate(context.Background(), here, []inventory.Aggregator{random.Aggregator()}, random.Filters(false), &indextest.Fleet{}, index.Bounds{})
		return err
	})
	ask(4, func(random indextest.Random) error {
		a := random.Aggregator()
		a.Nested = nil
		_, err := r.index.Aggregate(context.Background(), here, []inventory.Aggregator{a}, nil, &indextest.Fleet{}, index.Bounds{})
		return err
	})
	ask(5, func(indextest.Random) error {
		_, err := index.ReadSnapshot(bytes.NewReader(rewrite(r.index)), config)
		r.index.Stats()
		r.index.Volatility(here, "AWS:Application", nil)
		return err
	})
	return func() {
		done.Store(true)
		readers.Wait()
	}
}
