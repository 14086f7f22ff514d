package storetest

import (
	"sync/atomic"
	"testing"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// Benchmarks measures a store: commits of reports of 600 entries (Source.Fleet), which are computed before the clock
// runs, and reads. What a commit takes beside the store (parsing, cutting, differences) is not in the figures.
func Benchmarks(b *testing.B, m Maker) {
	b.Run("CommitNew", func(b *testing.B) {
		s := m.Open(b)
		commits := buildNew(b, s, b.N)
		b.ReportAllocs()
		b.ResetTimer()
		for _, c := range commits {
			mustCommit(b, s, c)
		}
	})
	b.Run("CommitNewBy16", func(b *testing.B) {
		s := m.Open(b)
		commits := buildNew(b, s, b.N)
		by16(b, func(i int64) { mustCommit(b, s, commits[i]) })
	})
	b.Run("CommitUnchangedBy16", func(b *testing.B) { benchmarkUnchanged(b, m) })
	b.Run("CommitChanged", func(b *testing.B) { benchmarkChanged(b, m) })
	b.Run("Document", func(b *testing.B) {
		s := filled(b, m, 200)
		b.ReportAllocs()
		b.ResetTimer()
		for i := range b.N {
			if _, err := s.Document(b.Context(), inventory.DocumentKey{NodeKey: Node(i % 200), Type: "AWS:Application"}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ScanNode", func(b *testing.B) {
		s := filled(b, m, 200)
		b.ResetTimer()
		for n := 0; n < b.N; {
			for shard := range s.Identity().Shards {
				nodes, err := ScanAll(b.Context(), s, shard, 100)
				if err != nil {
					b.Fatal(err)
				}
				n += len(nodes)
			}
		}
	})
}

func mustCommit(b *testing.B, s store.Store, c store.Commit) store.Committed {
	done, err := s.Commit(b.Context(), c)
	if err != nil {
		b.Error(err)
	}
	return done
}

// by16 calls do for 0 to b.N-1 from 16 goroutines.
func by16(b *testing.B, do func(i int64)) {
	var next atomic.Int64
	b.SetParallelism(16)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			do(next.Add(1) - 1)
		}
	})
}

// buildNew makes the first commits of so many nodes.
func buildNew(b *testing.B, s store.Store, nodes int) []store.Commit {
	b.Helper()
	w, src := NewWriter(s), NewSource(1)
	commits := make([]store.Commit, nodes)
	for i := range commits {
		var err error
		if commits[i], err = w.Build(b.Context(), Node(i), Epoch, src.Fleet(i)...); err != nil {
			b.Fatal(err)
		}
	}
	return commits
}

// filled makes a store of so many simulated machines.
func filled(b *testing.B, m Maker, nodes int) store.Store {
	b.Helper()
	s := m.Open(b)
	for _, c := range buildNew(b, s, nodes) {
		mustCommit(b, s, c)
	}
	return s
}

func benchmarkUnchanged(b *testing.B, m Maker) {
	const nodes = 256
	s := filled(b, m, nodes)
	var busy [nodes]atomic.Bool // a node is reported by one goroutine at a time, as by a node
	by16(b, func(i int64) {
		n := int(i % nodes)
		for !busy[n].CompareAndSwap(false, true) {
			n = (n + 1) % nodes
		}
		node, err := s.Node(b.Context(), Node(n))
		if err != nil {
			b.Error(err)
			return
		}
		for j := range node.Items {
			node.Items[j].Arrival = Epoch
		}
		mustCommit(b, s, store.Commit{Node: node, Arrival: Epoch})
		busy[n].Store(false)
	})
}

func benchmarkChanged(b *testing.B, m Maker) {
	const nodes = 200
	s := filled(b, m, nodes)
	w, src := NewWriter(s), NewSource(2)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		b.StopTimer()
		key := inventory.DocumentKey{NodeKey: Node(i % nodes), Type: "AWS:Application"}
		doc, err := s.Document(b.Context(), key)
		if err != nil {
			b.Fatal(err)
		}
		entries, err := Entries(b.Context(), s, key, doc)
		if err != nil {
			b.Fatal(err)
		}
		for range 2 + src.IntN(9) {
			entries[src.IntN(len(entries))] = src.Entry()
		}
		c, err := w.Build(b.Context(), key.NodeKey, Epoch, inventory.Item{Type: key.Type, HasContent: true, Content: entries})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		mustCommit(b, s, c)
	}
}
