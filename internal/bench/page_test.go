package bench

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

const vicious = `JSONB <script>alert("x")</script> & 'GIN'`

// made is a report of two runs with a product, another, and a floor, the names of which are as bad as names get.
func made() *Report {
	r := &Report{}
	for _, nodes := range []int{2000, 20_000} {
		r.Runs = append(r.Runs, madeRun(nodes))
	}
	return r
}

func madeRun(nodes int) *Result {
	n := float64(nodes)
	around := func(v float64) Spread { return Spread{v, 0.93 * v, 1.11 * v} }
	run := &Result{
		Date: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), Nodes: nodes, Seed: 17, Workers: 8, Rounds: 3, Samples: 200, FullBytes: 41_873, HashBytes: 2_113,
		Machine: Machine{Processor: "Made Processor 2.8 GHz", Cores: 2, MemoryBytes: 8 << 30, Kernel: "6.1.0", Go: "go1.26 linux/amd64", Load: "0.11 0.22 0.33"},
		Sides: []SideResult{
			{"Stocktake", Product, "embedded store; every report is synced before it is acknowledged"},
			{vicious, Other, "PostgreSQL, a JSONB row for each node and type"},
			{"empty answer", Floor, "checks the signature and answers"},
		},
		Floors: Floors{Scan: around(64.1), SHA256: around(117), Fsync4: around(1.23), Fsync4P99: 4.56, Fsync64P50: 1.34, Fsync64P99: 5.67},
		Stored: []Stored{
			{When: "after the load", Bytes: []float64{5123.4, 61_234, 0}, Feed: []float64{412.3, 0, 0}},
			{When: "after all reports", Bytes: []float64{5432.1 + n/100, 75_432}},
		},
		Starts: []Beginning{
			{Name: "with a snapshot", Sides: []*Start{{around(0.0123 * n / 1000), around(0.0456)}, nil, nil}},
			{Name: "without one", Sides: []*Start{{around(0.0987 * n / 1000), around(0.111)}, {around(0.222), around(0.0333)}, nil}},
		},
		Memory:     []Memory{{Side: "Stocktake", When: "at the end", Peak: 234 << 20, Resident: 198 << 20, Live: 76 << 20, Index: 1234 * 2000, Entries: 600 * int64(nodes)}},
		Steady:     []Steady{{"Stocktake", 560, 61, 0.237, 0.654, 3.21}},
		Durability: []Durability{{"Stocktake", 21, 98_765, 0}},
		Checked:    []Checked{{"nodes with openssl", 1717}},
		Notes:      []string{"nothing was left out <b>"},
	}
	for i, name := range []string{"report in full, new nodes", "report unchanged, hashes only"} {
		run.Lines = append(run.Lines, madeLine(run, name, true, 0.431+float64(i)))
	}
	for i, name := range []string{"GetInventory, equal", "GetInventory, begins with", "count of all names <1 page>"} {
		run.Lines = append(run.Lines, madeLine(run, name, false, 0.173*float64(i*i*i+1)*math.Sqrt(n/2000)))
	}
	last := &run.Lines[len(run.Lines)-1]
	last.Sides[2], last.Missing = nil, []string{"", "", "it says <nothing> true"}
	return run
}

// madeLine makes a line in which the other takes 37 times as long as the product, and the floor two thirds.
func madeLine(run *Result, name string, rated bool, ms float64) Line {
	l := Line{Name: name}
	for i, factor := range []float64{1, 37, 0.66} {
		took := ms * factor
		o := &Operation{
			Samples: 600 + i, P50: Spread{took, 0.9 * took, 1.2 * took}, P90: 1.9 * took, P99: 4.1 * took, P999: 7.7 * took, Max: 12.3 * took,
			AnswerBytes: 1510 + i, CPU: &Spread{810 * took, 800 * took, 850 * took}, Allocations: &Spread{101 * factor, 99 * factor, 102 * factor},
		}
		for q := range 99 {
			share := float64(q+1) / 100
			o.Quantiles = append(o.Quantiles, took*(0.7+0.3*share*2)*(1+math.Pow(share, 12)*2))
		}
		for round := range 3 {
			o.ByRound = append(o.ByRound, took*(1+0.04*float64(round)))
			if rated {
				o.PerSecond = &Spread{8000 / took, 7500 / took, 8200 / took}
				o.ByRound[round] = 8000 / o.ByRound[round]
			}
		}
		l.Sides = append(l.Sides, o)
	}
	l.compare(run.Sides)
	return l
}

// written gives the page of a report, once it proved to be well formed, with an id only once and no figure without a value.
func written(t *testing.T, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Page(&b); err != nil {
		t.Fatal(err)
	}
	ids, named := map[string]bool{}, []string{}
	for d := xml.NewDecoder(bytes.NewReader(b.Bytes())); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not well formed: %v", err)
		}
		element, _ := token.(xml.StartElement)
		for _, a := range element.Attr {
			switch name := a.Name.Local; {
			case name == "id" && ids[a.Value]:
				t.Errorf("two elements have the id %q", a.Value)
			case name == "id":
				ids[a.Value] = true
			case name == "aria-labelledby" || name == "aria-describedby":
				named = append(named, a.Value)
			case name == "href":
				named = append(named, strings.TrimPrefix(a.Value, "#"))
			case name == "src" || name == "style" || strings.HasPrefix(name, "on"):
				t.Errorf("<%s> has the attribute %s", element.Name.Local, name)
			}
			if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") || strings.Contains(a.Value, "ZgotmplZ") {
				t.Errorf("<%s> has the attribute %s=%q", element.Name.Local, a.Name.Local, a.Value)
			}
		}
		if element.Name.Local == "script" || element.Name.Local == "link" {
			t.Errorf("there is a <%s>", element.Name.Local)
		}
	}
	for _, id := range named {
		if !ids[id] {
			t.Errorf("nothing has the id %q", id)
		}
	}
	return b.String()
}

// texts gives what a reader of the page reads, part by part.
func texts(t *testing.T, source string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for d := xml.NewDecoder(strings.NewReader(source)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if text, ok := token.(xml.CharData); ok {
			all[strings.TrimSpace(string(text))] = true
		}
	}
}

func TestPageHoldsEveryName(t *testing.T) {
	r := made()
	read := texts(t, written(t, r))
	for _, run := range r.Runs {
		var expected []string
		for _, s := range run.Sides {
			expected = append(expected, s.Name, s.About)
		}
		for _, l := range run.Lines {
			expected = append(expected, l.Name)
		}
		for _, s := range run.Stored {
			expected = append(expected, s.When, "Disk a node, "+s.When)
		}
		for _, s := range run.Starts {
			expected = append(expected, s.Name, "First answer after a start: "+s.Name)
		}
		expected = append(expected, run.Notes...)
		expected = append(expected, run.Lines[len(run.Lines)-1].Missing[2], whole(run.Nodes)+" nodes", run.Machine.Load,
			"Machine: Made Processor 2.8 GHz, 2 cores, 8.0 GiB of memory, Linux 6.1.0, go1.26 linux/amd64", "2026-03-04 05:06:07", "nodes with openssl: 1,717")
		for _, text := range expected {
			if !read[text] {
				t.Errorf("no text %q", text)
			}
		}
	}
}

// Every number of a run is in a cell of a table, but for those of Quantiles between the ones that are told, and of ByRound.
func TestPageHoldsEveryFigure(t *testing.T) {
	r := made()
	read := texts(t, written(t, r))
	for _, run := range r.Runs {
		for _, l := range run.Lines {
			for i, o := range l.Sides {
				if o == nil {
					continue
				}
				expected := []string{
					whole(o.Samples), digits(o.P50.Median), o.P50.reach(), digits(o.P90), digits(o.P99), digits(o.P999), digits(o.Max), digits(o.CPU.Median),
					o.CPU.reach(), digits(o.Allocations.Median), o.Allocations.reach(), whole(o.AnswerBytes), digits(o.Quantiles[0]), digits(o.Quantiles[9]), digits(o.Quantiles[49]), digits(o.Quantiles[98]),
				}
				if o.PerSecond != nil {
					expected = append(expected, digits(o.PerSecond.Median), o.PerSecond.reach())
				}
				for _, text := range expected {
					if !read[text] {
						t.Errorf("%s, side %d: no %q", l.Name, i, text)
					}
				}
			}
		}
	}
	for _, text := range []string{
		"37.0 times", "66.0 % of the floor", "5,120", "of them the feed 412", "61,200", "5,450", "5,630", "75,400",
		"0.0246", "0.0229–0.0273", "0.246", "0.229–0.273", "0.222", "0.206–0.246", "0.0456", "0.0424–0.0506", "234", "198", "76.0", "2.35", "1,230", "123", "1,200,000", "12,000,000",
		"560", "61.0", "23.7", "0.654", "3.21", "21", "98,765", "0", "64.1 (59.6–71.2) µs of one core", "117 (109–130) µs of one core", "1.23 (1.14–1.37) ms",
		"4.56 ms", "1.34 ms", "5.67 ms", "41,873", "2,113", "17", "8", "3", "200",
	} {
		if !read[text] {
			t.Errorf("no %q", text)
		}
	}
}

func TestPageEscapes(t *testing.T) {
	source := written(t, made())
	if strings.Contains(source, "<script") || strings.Contains(source, "nothing was left out <b>") {
		t.Error("a name is part of the page's code")
	}
	if !texts(t, source)[vicious] {
		t.Error("the name is not to be read")
	}
}

// A side has one colour, whatever sides a run has and in what order.
func TestPageKeepsColours(t *testing.T) {
	r := made()
	second := r.Runs[1]
	second.Sides = []SideResult{{"peer", Other, ""}, {"Stocktake", Product, ""}}
	second.Lines = []Line{{Name: "asked", Sides: []*Operation{{P50: Spread{9, 9, 9}}, {P50: Spread{7, 7, 7}}}}}
	written(t, r)
	p := r.page()
	looks := map[string]bool{}
	for _, s := range p.Sides {
		looks[s.Class] = true
	}
	if len(p.Sides) != 4 || len(looks) != 4 {
		t.Fatalf("%d sides with %d looks, expected 4 with 4", len(p.Sides), len(looks))
	}
	classes := map[string]string{}
	for i, run := range p.Runs {
		for _, d := range run.Charts {
			for _, m := range d.Marks {
				named, _, _ := strings.Cut(m.Tip, ": ")
				side := named[strings.LastIndex(named, ", ")+1:]
				if kind, class, _ := strings.Cut(m.Class, " "); kind == "bar" && !strings.Contains(side, " than ") {
					if was, known := classes[side]; known && was != class {
						t.Errorf("run %d: %s has %s, before %s", i, side, class, was)
					}
					classes[side] = class
				}
			}
		}
	}
}

func TestPageOfLittle(t *testing.T) {
	alone := &Result{Nodes: 1, Sides: []SideResult{{"Stocktake", Product, ""}}, Lines: []Line{{Name: "one", Sides: []*Operation{{Samples: 1, P50: Spread{2, 2, 2}}}}}}
	bad := math.NaN()
	for name, r := range map[string]*Report{
		"no run":            {},
		"an empty run":      {Runs: []*Result{{}}},
		"two empty runs":    {Runs: []*Result{{}, {}}},
		"sides alone":       {Runs: []*Result{{Sides: []SideResult{{"Stocktake", Product, ""}, {"f", Floor, ""}}}}},
		"a single value":    {Runs: []*Result{alone}},
		"the same twice":    {Runs: []*Result{alone, alone}},
		"nil operations":    {Runs: []*Result{{Nodes: 9, Sides: alone.Sides, Lines: []Line{{Name: "none", Sides: []*Operation{nil}}}}}},
		"lines too short":   {Runs: []*Result{{Nodes: 9, Sides: alone.Sides, Lines: []Line{{Name: "none"}}, Starts: []Beginning{{Name: "none"}}, Stored: []Stored{{}}}}},
		"all zero":          {Runs: []*Result{madeOf(2000, 0), madeOf(20_000, 0)}},
		"no numbers":        {Runs: []*Result{madeOf(2000, bad), madeOf(20_000, math.Inf(1))}},
		"below zero":        {Runs: []*Result{madeOf(2000, -1), madeOf(20_000, math.Inf(-1))}},
		"next to nothing":   {Runs: []*Result{madeOf(2000, math.SmallestNonzeroFloat64), madeOf(20_000, 1e-9)}},
		"far too much":      {Runs: []*Result{madeOf(2000, math.MaxFloat64), madeOf(20_000, 1)}},
		"much and little":   {Runs: []*Result{madeOf(2000, math.MaxFloat64), madeOf(20_000, math.SmallestNonzeroFloat64)}},
		"a run of no nodes": {Runs: []*Result{madeOf(0, 1), madeOf(2000, 1)}},
	} {
		t.Run(name, func(t *testing.T) { written(t, r) })
	}
}

// madeOf makes a run in which every figure is the same.
func madeOf(nodes int, v float64) *Result {
	run := madeRun(nodes)
	var set func(reflect.Value)
	set = func(part reflect.Value) {
		switch part.Kind() {
		case reflect.Float64:
			part.SetFloat(v)
		case reflect.Pointer:
			if !part.IsNil() {
				set(part.Elem())
			}
		case reflect.Slice:
			for i := range part.Len() {
				set(part.Index(i))
			}
		case reflect.Struct:
			for i := range part.NumField() {
				if part.Type() != reflect.TypeFor[time.Time]() {
					set(part.Field(i))
				}
			}
		default: // no figure
		}
	}
	set(reflect.ValueOf(run))
	return run
}

// brokenWriter takes some bytes.
type brokenWriter struct{ left int }

func (b *brokenWriter) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

func TestPageTellsOfWriter(t *testing.T) {
	if err := made().Page(&brokenWriter{left: 5000}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("error %v, expected the writer's", err)
	}
}
