package ssm_test

import (
	"os"
	"sync/atomic"
	"testing"

	"stocktake/internal/inventory"
	"stocktake/internal/simulate"
	"stocktake/internal/ssm"
)

// benchNodes is how many simulated nodes the benchmarks work over; with -short, which shows that they run, a tenth.
func benchNodes() int {
	if testing.Short() {
		return 30
	}
	return 300
}

// newBench starts a service over an empty store on disk with the sizes it has in production, and gives a fleet.
func newBench(b *testing.B) (*trial, *simulate.Fleet) {
	b.Helper()
	return newPebbleTrial(b), simulate.New(1, benchNodes())
}

// input is a simulated report as the API hands it on.
func input(r simulate.Report) ssm.PutInventoryInput {
	return ssm.PutInventoryInput{Node: r.Node, Items: r.Items, Administrator: true}
}

// loadBench reports the whole fleet, many at a time.
func loadBench(b *testing.B, tr *trial, fleet *simulate.Fleet) {
	b.Helper()
	var next atomic.Int64
	done := make(chan error, 8)
	for range cap(done) {
		go func() {
			for n := int(next.Add(1)) - 1; n < fleet.Len(); n = int(next.Add(1)) - 1 {
				if _, err := tr.PutInventory(b.Context(), home, input(fleet.Report(n, 0))); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

// put sends reports from many goroutines, as agents do, so that they share fsyncs.
func put(b *testing.B, tr *trial, reports []simulate.Report) {
	b.Helper()
	var next atomic.Int64
	b.SetParallelism(8)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := reports[int(next.Add(1)-1)%len(reports)]
			if _, err := tr.PutInventory(b.Context(), home, input(r)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkPutFull reports whole content that differs from what is stored in 2 to 10 entries.
func BenchmarkPutFull(b *testing.B) {
	tr, fleet := newBench(b)
	defer tr.stop()
	loadBench(b, tr, fleet)
	var reports []simulate.Report
	for round := 1; len(reports) < 500; round++ {
		for n := range fleet.Len() {
			if fleet.Changed(n, round) {
				reports = append(reports, fleet.Report(n, round))
			}
		}
	}
	put(b, tr, reports)
}

// BenchmarkPutNew reports nodes for the first time.
func BenchmarkPutNew(b *testing.B) {
	tr, fleet := newBench(b)
	defer tr.stop()
	reports := make([]simulate.Report, b.N)
	ids := simulate.New(2, b.N)
	for i := range reports {
		reports[i] = fleet.Report(i%fleet.Len(), 0)
		reports[i].Node = ids.ID(i)
	}
	put(b, tr, reports)
}

// BenchmarkPutUnchanged reports hashes of what is stored.
func BenchmarkPutUnchanged(b *testing.B) {
	tr, fleet := newBench(b)
	defer tr.stop()
	loadBench(b, tr, fleet)
	reports := make([]simulate.Report, fleet.Len())
	for n := range reports {
		reports[n] = fleet.Hashes(n, 0)
	}
	put(b, tr, reports)
}

// ask runs one question again and again, something else having changed before each time.
func ask(b *testing.B, what func(tr *trial, fleet *simulate.Fleet, n int) error) {
	b.Helper()
	tr, fleet := newBench(b)
	defer tr.stop()
	loadBench(b, tr, fleet)
	ticks := 0
	tick := func() {
		ticks++
		values := []string{"a", "b"}
		in := ssm.PutInventoryInput{Node: fleet.ID(0), Items: []inventory.Item{item("Custom:Tick", entry("Tick", values[ticks%2]))}}
		if _, err := tr.PutInventory(b.Context(), home, in); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		tick()
		b.StartTimer()
		if err := what(tr, fleet, ticks); err != nil {
			b.Fatal(err)
		}
	}
}

// getInventory asks for a page of nodes and fails when there is none.
func getInventory(b *testing.B, filters ...inventory.RawFilter) {
	ask(b, func(tr *trial, _ *simulate.Fleet, _ int) error {
		out, err := tr.GetInventory(b.Context(), home, ssm.GetInventoryInput{Filters: filters})
		if err == nil && len(out.Entities) == 0 {
			b.Fatal("no node meets the filters")
		}
		return err
	})
}

// BenchmarkGetEqual asks for the nodes with a common package.
func BenchmarkGetEqual(b *testing.B) {
	getInventory(b, inventory.RawFilter{Key: "AWS:Application.Name", Values: []string{"bash"}, Operator: "Equal"})
}

// BenchmarkGetVolatile asks for a time of installation that most documents have to be read for.
func BenchmarkGetVolatile(b *testing.B) {
	getInventory(b, inventory.RawFilter{Key: "AWS:Application.InstalledTime", Values: []string{"2025-12-31T00:00:00Z"}, Operator: "GreaterThan"})
}

// BenchmarkListPage lists the first fifty applications of a node.
func BenchmarkListPage(b *testing.B) {
	ask(b, func(tr *trial, fleet *simulate.Fleet, n int) error {
		_, err := tr.ListInventoryEntries(b.Context(), home, ssm.ListInventoryEntriesInput{Node: fleet.ID(n % fleet.Len()), Type: "AWS:Application"})
		return err
	})
}

// start measures how long a service takes to open over a store that holds the fleet.
func start(b *testing.B, before func(tr *trial)) {
	tr, fleet := newBench(b)
	loadBench(b, tr, fleet)
	tr.stop()
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		before(tr)
		b.StartTimer()
		tr.start()
		b.StopTimer()
		tr.stop()
		b.StartTimer()
	}
}

// BenchmarkStartSnapshot opens a store with the index's snapshot beside it.
func BenchmarkStartSnapshot(b *testing.B) { start(b, func(*trial) {}) }

// BenchmarkStartDocuments opens a store and builds the index from its documents.
func BenchmarkStartDocuments(b *testing.B) {
	start(b, func(tr *trial) {
		if err := os.RemoveAll(tr.dir); err != nil {
			b.Fatal(err)
		}
	})
}
