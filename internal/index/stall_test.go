package index_test

import (
	"context"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
)

// BenchmarkStall does long work beside a writer and a reader that each do next to nothing again and again, and reports
// how long the unluckiest of them had to wait for the index: of each turn the longest wait, of those the median, as a
// machine that is busy with other things makes some of them long. "nothing" is the measure of the machine itself.
func BenchmarkStall(b *testing.B) {
	s := loaded()
	change := inventory.Change{Document: documentKey(s.fleet.ID(0), inventory.ItemKey{Type: "Custom:Stall"})}
	again := make([]prepared, min(300, s.fleet.Len()))
	for n := range again {
		again[n] = s.prepare(n)
	}
	prefixes := []inventory.Aggregator{{Groups: make([]inventory.Group, 64)}}
	for i := range prefixes[0].Groups {
		prefixes[0].Groups[i].Filters = []inventory.Filter{{Type: "AWS:Application", Attribute: "Version", Operator: inventory.BeginWith, Values: []string{"", string(rune('a' + i%26))}}}
	}
	for _, bm := range []struct {
		name   string
		before func() error // not beside the others
		work   func() error
	}{
		{"nothing", nil, func() error { time.Sleep(50 * time.Millisecond); return nil }},
		{"snapshot", nil, func() error { return s.index.WriteSnapshot(io.Discard) }},
		{"definition", nil, s.age},
		{"ranking", s.age, s.rank},
		{"count", nil, func() error {
			_, err := s.index.Aggregate(context.Background(), here, []inventory.Aggregator{application("Version")}, nil, nil, index.Bounds{})
			return err
		}},
		{"groups", nil, func() error {
			_, err := s.index.Aggregate(context.Background(), here, prefixes, nil, nil, index.Bounds{})
			return err
		}},
		{"reload", nil, func() error { return s.reload(again, 1) }},
		{"sweep", s.age, func() error { s.index.SweepAll(); return nil }},
	} {
		b.Run(bm.name, func(b *testing.B) {
			var applied, read []time.Duration
			for b.Loop() {
				if bm.before != nil {
					if err := bm.before(); err != nil {
						b.Fatal(err)
					}
				}
				a, r := beside(b, s.index, change, bm.work)
				applied, read = append(applied, a), append(read, r)
			}
			b.ReportMetric(float64(median(applied).Microseconds()), "apply-stall-µs")
			b.ReportMetric(float64(median(read).Microseconds()), "read-stall-µs")
		})
	}
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// beside does work and gives how long an Apply and a look-up beside it took at most.
func beside(b *testing.B, x *index.Index, change inventory.Change, work func() error) (apply, read time.Duration) {
	var probes sync.WaitGroup
	done := make(chan struct{})
	probe := func(longest *time.Duration, once func() error) {
		probes.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				begun := time.Now()
				if err := once(); err != nil {
					b.Error(err)
					return
				}
				*longest = max(*longest, time.Since(begun))
				time.Sleep(100 * time.Microsecond)
			}
		})
	}
	probe(&apply, func() error { return x.Apply(change, nil) })
	probe(&read, func() error { x.NewAttributes(here, "AWS:Application", []string{"Name"}); return nil })
	if err := work(); err != nil {
		b.Error(err)
	}
	close(done)
	probes.Wait()
	return apply, read
}

// age defines more shapes than an order of values leaves out. No node has them.
func (s *simulated) age() error {
	shapes := make([]inventory.Shape, 8192)
	for i := range shapes {
		s.fresh++
		text := inventory.AppendShapeText(nil, inventory.Entry{{Name: "Version", Value: "0." + time.Duration(s.fresh).String()}})
		shapes[i] = inventory.Shape{ID: inventory.HashKey{}.ShapeIDOf("AWS:Application", text), Text: string(text)}
	}
	return s.index.Define(here, "AWS:Application", shapes)
}

// rank asks by order.
func (s *simulated) rank() error {
	_, err := s.index.Query(context.Background(), here, []inventory.Filter{{Type: "AWS:Application", Attribute: "Version", Operator: inventory.LessThan, Values: []string{"1.2"}}})
	return err
}

// reload loads nodes anew, as a shard of their own.
func (s *simulated) reload(nodes []prepared, shard int) error {
	x := s.index.Reload(shard)
	defer x.Close()
	for _, p := range nodes {
		if err := x.Load(shard, p.node, p.documents); err != nil {
			return err
		}
	}
	x.Finish()
	return nil
}
