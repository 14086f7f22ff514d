package index_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
	"stocktake/internal/simulate"
)

// benchNodes is the size of the fleet of benchmarks; STOCKTAKE_BENCH_NODES sets another, and -short, which shows that
// they run, makes it a tenth.
var benchNodes = sync.OnceValue(func() int {
	if n, err := strconv.Atoi(os.Getenv("STOCKTAKE_BENCH_NODES")); err == nil && n > 0 {
		return n
	}
	if testing.Short() {
		return 100
	}
	return 1000
})

// simulated is a fleet loaded into an index.
type simulated struct {
	fleet *simulate.Fleet
	index *index.Index
	heap  uint64 // taken by the index
	fresh int    // values made up so far
}

var loaded = sync.OnceValue(func() *simulated {
	s := &simulated{fleet: simulate.New(1, benchNodes()), index: index.New(config)}
	before := heap()
	_ = s.index.Bulk(func() error {
		for n := range s.fleet.Len() {
			s.load(s.index, s.prepare(n))
		}
		return nil
	})
	s.heap = heap() - before
	return s
})

// measureCPU starts to measure the processor time of the process and gives a function that reports it: on a busy machine
// it is steadier than the clock.
func measureCPU(b *testing.B) func() {
	used := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op") }
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// prepared is a node's documents, cut into shapes.
type prepared struct {
	node      inventory.NodeKey
	documents []index.Loaded
	refs      [][]inventory.Ref
	texts     map[inventory.ShapeID]string
}

func (s *simulated) prepare(n int) prepared { return s.prepareRound(n, 0) }

func (s *simulated) prepareRound(n, round int) prepared {
	report := s.fleet.Report(n, round)
	p := prepared{node: inventory.NodeKey{Partition: here, Node: report.Node}, texts: map[inventory.ShapeID]string{}}
	for _, item := range report.Items {
		schema, _ := inventory.BuiltIn(item.Type)
		split := inventory.Split{Volatile: schema.Volatile}
		var d inventory.Document
		var names []string
		for _, e := range item.Content {
			shape, volatile := split.Cut(e)
			text := inventory.AppendShapeText(nil, shape)
			id := inventory.HashKey{}.ShapeIDOf(item.Type, text)
			d.Refs = append(d.Refs, inventory.Ref{Shape: id, Volatile: volatile})
			p.texts[id] = string(text)
			for _, a := range volatile {
				if !slices.Contains(names, a.Name) {
					names = append(names, a.Name)
				}
			}
		}
		p.refs = append(p.refs, d.Refs)
		p.documents = append(p.documents, index.Loaded{Key: inventory.ItemKey{Type: item.Type}, Shapes: d.ShapeSet(), Volatile: names})
	}
	return p
}

func (s *simulated) load(x *index.Index, p prepared) {
	for _, d := range p.documents {
		var shapes []inventory.Shape
		for _, id := range x.Missing(here, d.Key.Type, d.Shapes) {
			shapes = append(shapes, inventory.Shape{ID: id, Text: p.texts[id]})
		}
		if err := x.Define(here, d.Key.Type, shapes); err != nil {
			panic(err)
		}
	}
	if err := x.Load(0, p.node, p.documents); err != nil {
		panic(err)
	}
}

// BenchmarkLoad loads new nodes whose shapes are known; BenchmarkMemory tells what they take.
func BenchmarkLoad(b *testing.B) {
	s := loaded()
	batch := make([]prepared, 0, 200)
	for n := range min(200, s.fleet.Len()) {
		batch = append(batch, s.prepare(n))
	}
	x := index.New(config)
	for _, p := range batch {
		s.load(x, p)
	}
	defer measureCPU(b)()
	for i := 0; b.Loop(); i++ {
		p := batch[i%len(batch)]
		p.node.Node = inventory.NodeID(fmt.Sprintf("i-%08x", i))
		s.load(x, p)
	}
}

func BenchmarkMemory(b *testing.B) {
	s := loaded()
	for b.Loop() {
		runtime.KeepAlive(s.index)
	}
	b.ReportMetric(float64(s.heap)/float64(s.fleet.Len()), "B/node")
	b.ReportMetric(float64(s.index.Stats()[0].Bytes)/float64(s.fleet.Len()), "estimated-B/node")
}

// BenchmarkApply applies one changed report of a node, there and back.
func BenchmarkApply(b *testing.B) {
	s := loaded()
	var changes []inventory.Change
	var shapes [][]inventory.Shape
	for n := 0; len(changes) < 500 && n < s.fleet.Len(); n++ {
		if !s.fleet.Changed(n, 1) {
			continue
		}
		before, after := s.prepare(n), s.prepareRound(n, 1)
		for i, d := range before.documents {
			c := inventory.Change{Document: documentKey(before.node.Node, d.Key), Delta: inventory.Diff(before.refs[i], after.refs[i])}
			c.Added, c.Removed = inventory.SetDiff(d.Shapes, after.documents[i].Shapes)
			if len(c.Added)+len(c.Removed) == 0 {
				continue
			}
			back := c
			back.Delta, back.Added, back.Removed = nil, c.Removed, c.Added
			var texts []inventory.Shape
			for _, id := range c.Added {
				texts = append(texts, inventory.Shape{ID: id, Text: after.texts[id]})
			}
			changes, shapes = append(changes, c, back), append(shapes, texts, nil)
		}
	}
	b.ReportAllocs()
	defer measureCPU(b)()
	for i := 0; b.Loop(); i++ {
		at := i % len(changes)
		if err := s.index.Apply(changes[at], shapes[at]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkApplyNew applies the first report of a node, with the text of all shapes of the commit, which the index knows.
func BenchmarkApplyNew(b *testing.B) {
	s := loaded()
	p := s.prepare(0)
	var shapes []inventory.Shape
	for id, text := range p.texts {
		shapes = append(shapes, inventory.Shape{ID: id, Text: text})
	}
	x := index.New(config)
	for n := range min(200, s.fleet.Len()) {
		s.load(x, s.prepare(n))
	}
	b.ReportAllocs()
	defer measureCPU(b)()
	for i := 0; b.Loop(); i++ {
		node := inventory.NodeID(fmt.Sprintf("i-%017x", i))
		for at, d := range p.documents {
			c := inventory.Change{Document: documentKey(node, d.Key), Delta: inventory.Diff(nil, p.refs[at]), Added: d.Shapes}
			if err := x.Apply(c, shapes); err != nil {
				b.Fatal(err)
			}
		}
	}
}

type benchQuestion struct {
	name    string
	filters []inventory.Filter
}

// questions ask for the fleet's most common package and a rare one.
func (s *simulated) questions() []benchQuestion {
	counts, err := s.index.Aggregate(context.Background(), here, []inventory.Aggregator{application("Name")}, nil, nil, index.Bounds{})
	if err != nil {
		panic(err)
	}
	rows := counts[0].Rows.Page(0, counts[0].Rows.Len())
	common, rare := rows[0].Path[0].Value, rows[len(rows)-1].Path[0].Value
	on := func(attribute string, op inventory.Operator, value string) inventory.Filter {
		return inventory.Filter{Type: "AWS:Application", Attribute: attribute, Operator: op, Values: []string{value}}
	}
	return []benchQuestion{
		{"equal-common", []inventory.Filter{on("Name", inventory.Equal, common)}},
		{"equal-rare", []inventory.Filter{on("Name", inventory.Equal, rare)}},
		{"same-entry", []inventory.Filter{on("Name", inventory.Equal, common), on("Version", inventory.LessThan, "2")}},
		{"begin-with-libg", []inventory.Filter{on("Name", inventory.BeginWith, "libg")}},
		{"begin-with-lib", []inventory.Filter{on("Name", inventory.BeginWith, "lib")}},
		{"not-equal", []inventory.Filter{on("Name", inventory.NotEqual, common)}},
		{"low-cardinality", []inventory.Filter{on("Architecture", inventory.Equal, "x86_64")}},
		{"less-than", []inventory.Filter{on("Version", inventory.LessThan, "1.2")}},
	}
}

func application(attribute string, nested ...inventory.Aggregator) inventory.Aggregator {
	return inventory.Aggregator{Type: "AWS:Application", Attribute: attribute, Nested: nested}
}

func BenchmarkQuery(b *testing.B) {
	s := loaded()
	for _, bm := range s.questions() {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			n := ask(b, s.index, bm.filters).Most() // sorts what is sorted once
			defer measureCPU(b)()
			for b.Loop() {
				r := ask(b, s.index, bm.filters)
				if _, _, err := r.Page(context.Background(), nil, "", 50); err != nil {
					b.Fatal(err)
				}
				n = r.Most()
			}
			b.ReportMetric(float64(n), "nodes")
		})
	}
}

func BenchmarkAggregate(b *testing.B) {
	s := loaded()
	platform := inventory.Aggregator{Type: inventory.TypeInstanceInformation, Attribute: "PlatformName"}
	byName := platform
	byName.Nested = []inventory.Aggregator{application("Name")}
	for _, bm := range []struct {
		name    string
		agg     inventory.Aggregator
		filters []inventory.Filter
	}{
		{"platform", platform, nil},
		{"names", application("Name"), nil},
		{"names-of-common", application("Name"), s.questions()[0].filters},
		{"name-version", application("Name", application("Version")), nil},
		{"name-version-platform", application("Name", application("Version", platform)), nil},
		{"platform-name", byName, nil},
	} {
		b.Run(bm.name, func(b *testing.B) {
			rows := 0
			defer measureCPU(b)()
			for b.Loop() {
				counts, err := s.index.Aggregate(context.Background(), here, []inventory.Aggregator{bm.agg}, bm.filters, nil, index.Bounds{})
				if err != nil {
					b.Fatal(err)
				}
				rows = counts[0].Rows.Len()
				counts[0].Rows.Page(0, 10_000)
			}
			b.ReportMetric(float64(rows), "rows")
		})
	}
}

func BenchmarkSnapshotWrite(b *testing.B) {
	s := loaded()
	defer measureCPU(b)()
	for b.Loop() {
		if err := s.index.WriteSnapshot(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSnapshotRead(b *testing.B) {
	s := loaded()
	var body bytes.Buffer
	if err := s.index.WriteSnapshot(&body); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(body.Len())/float64(s.fleet.Len()), "B/node")
	defer measureCPU(b)()
	for b.Loop() {
		if _, err := index.ReadSnapshot(bytes.NewReader(body.Bytes()), config); err != nil {
			b.Fatal(err)
		}
	}
}
