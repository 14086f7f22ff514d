package bench

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/client"
	"stocktake/internal/inventory"
	"stocktake/internal/sigv4"
	"stocktake/internal/simulate"
	"stocktake/internal/wire"
)

func TestQuantileIsAValueThatWasMeasured(t *testing.T) {
	values := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for q, want := range map[float64]float64{0: 1, 0.5: 5, 0.51: 6, 0.9: 9, 0.99: 10, 1: 10} {
		if got := quantile(values, q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("quantile of nothing is %v", got)
	}
	if got, want := spreadOf([]float64{3, 1, 2}), (Spread{Median: 2, Min: 1, Max: 3}); got != want {
		t.Errorf("spread %v, want %v", got, want)
	}
}

func TestTablesLineUp(t *testing.T) {
	r := &Result{
		Nodes: 3, Sides: []SideResult{{Name: "ours", Kind: Product}, {Name: "theirs", Kind: Other}, {Name: "http", Kind: Floor}},
		Lines: []Line{
			{Name: "ask", Sides: []*Operation{{P50: Spread{2, 1, 3}, ByRound: []float64{2}}, nil, {ByRound: []float64{1}}}, Missing: []string{"", "NoSuchThing", ""}},
			{Name: "tell everybody", Sides: []*Operation{
				{PerSecond: &Spread{1234, 900, 2000}, ByRound: []float64{1234}}, {PerSecond: &Spread{617, 617, 617}, ByRound: []float64{617}}, nil,
			}, Missing: make([]string, 3)},
		},
		Stored: []Stored{{When: "now", Bytes: []float64{6000, 70000, 0}, Feed: []float64{1000, 0, 0}}},
		Starts: []Beginning{{Name: "again", Sides: []*Start{{}, nil, nil}}},
		Memory: []Memory{{Side: "ours", When: "now", Peak: 3 << 20}}, Checked: []Checked{{"rows", 7}},
	}
	for i := range r.Lines {
		r.Lines[i].compare(r.Sides)
	}
	var b strings.Builder
	if err := r.Table(&b); err != nil {
		t.Fatal(err)
	}
	width := 0
	for line := range strings.Lines(b.String()) {
		if !strings.HasPrefix(line, "|") {
			width = 0
			continue
		}
		if width != 0 && len(line) != width {
			t.Errorf("%d bytes after lines of %d: %s", len(line), width, line)
		}
		width = len(line)
	}
	for _, want := range []string{"1234 (900-2000)", "rows 7", "theirs 2.00", "50 % of http", "NoSuchThing", "6000, without its feed 5000"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestTimesAreOfRatesAndOfLatencies(t *testing.T) {
	rate := func(values ...float64) *Operation { return &Operation{PerSecond: &Spread{}, ByRound: values} }
	if got, want := timesAs(rate(1, 2, 4), rate(2, 6, 4)), (Spread{2, 1, 3}); got != want {
		t.Errorf("rates: %v, want %v", got, want)
	}
	if got, want := timesAs(&Operation{ByRound: []float64{10, 6, 8}}, &Operation{ByRound: []float64{1, 2, 8}}), (Spread{3, 1, 10}); got != want {
		t.Errorf("latencies: %v, want %v", got, want)
	}
	if got := topOf(map[string]int{"a": 2, "b": 5}); got != 7 {
		t.Errorf("the first page sums up to %d", got)
	}
}

func TestCeilingsHoldAllocations(t *testing.T) {
	measured := &Result{
		Sides: []SideResult{{Name: "ours", Kind: Product}},
		Lines: []Line{{Name: "ask, twice", Sides: []*Operation{{Allocations: &Spread{Median: 10}}}}, {Name: "tell", Sides: []*Operation{{}}}},
	}
	for text, want := range map[string]string{
		"# why\n\n10 ask, twice\n": "", "9 ask, twice": "10 allocations a request, and no more than 9", "9 tell": "not measured", "9 sing": "not measured",
	} {
		c, err := ReadCeilings(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Check(measured); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{"ask", "x ask", "0 ask", "5 "} {
		if _, err := ReadCeilings(strings.NewReader(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestFloorsCanBeMeasured(t *testing.T) {
	if got := scan([]byte(`{"a":"b\"c","d":{}}`)); got != 6 {
		t.Errorf("%d bytes of text found, want 6", got)
	}
	r := sided(Product, Fixed{})
	b := &bench{Options: Options{Data: t.TempDir()}, runs: []*run{r}}
	for range 2 {
		if err := b.floors.measure(b, 0); err != nil {
			t.Fatal(err)
		}
	}
	if f := b.floors.result(); f.Scan.Median <= 0 || f.SHA256.Median <= 0 || f.Fsync4P99 <= 0 || len(b.floors.scan) != 1 {
		t.Errorf("floors %+v of %d rounds", f, len(b.floors.scan))
	}
	if left, err := os.ReadDir(b.Data); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// small is made once: with the race detector that takes a good part of a second.
var small = sync.OnceValue(func() *simulate.Fleet { return simulate.New(5, 30) })

// sided is one side of a run, before anything was sent.
func sided(kind Kind, control Control) *run {
	fleet := small()
	o := Options{Nodes: fleet.Len(), Seed: 5, Workers: 4, Progress: func(string, int) func(int) { return silent }}
	return &run{Options: o, side: &Side{SideResult: SideResult{Name: string(kind), Kind: kind}, Control: control}, fleet: fleet, cores: 2}
}

func TestSidesTakeTurns(t *testing.T) {
	b := &bench{}
	for _, kind := range []Kind{Product, Other, Product, Floor} {
		b.runs = append(b.runs, sided(kind, nil))
	}
	for round, want := range [][]int{{0, 1, 2, 3}, {1, 2, 0, 3}, {2, 0, 1, 3}, {0, 1, 2, 3}} {
		var got []int
		for n := range b.runs {
			got = append(got, b.turn(round, n))
		}
		if !slices.Equal(got, want) {
			t.Errorf("round %d: %v, want %v", round, got, want)
		}
	}
}

func TestCostsOfThisProcessCanBeRead(t *testing.T) {
	before := cpuOf(os.Getpid())
	for n := 0; cpuOf(os.Getpid()) <= before; n++ {
		if n == 1_000_000 {
			t.Fatal("the processor time of this process does not move")
		}
	}
	if peak, resident := memoryOf(os.Getpid()); resident < 1<<20 || peak < resident/2 {
		t.Errorf("memory %d, at most %d", resident, peak)
	}
	if m := describeMachine(); m.Cores < 1 || m.MemoryBytes == 0 || m.Kernel == "" || m.Load == "" {
		t.Errorf("machine %+v", m)
	}
	if cpuOf(0) != 0 || cpuOfTree(1) == 0 || cpuOfTree(1<<30) != 0 || CPUOf(0, 1) == 0 {
		t.Error("a process that is not known has costs, or the first of all has none")
	}
}

func TestScrapeReadsMetrics(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("# HELP a b\na 1.5\nb{c=\"d\"} 2e3\nbroken\n"))
	}))
	defer s.Close()
	got, err := scrape(t.Context(), s.URL)
	if diff := cmp.Diff(map[string]float64{"a": 1.5, `b{c="d"}`: 2000}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// The scan is what answers are held against, so it is held against entries read one by one.
func TestScanCountsWhatReportsHold(t *testing.T) {
	r := sided(Product, nil)
	r.round = 3
	picked := r.pick()
	kinds := r.filterKinds(picked)
	var variants []*variant
	for _, k := range kinds {
		variants = append(variants, k.variants...)
	}
	truth := r.scan(picked.common[0], variants)
	if !slices.IsSorted(truth.ids) || len(truth.ids) != r.Nodes {
		t.Errorf("ids %v", truth.ids)
	}
	total, holders := 0, []string{}
	for n := range r.Nodes {
		for _, e := range r.fleet.Report(n, r.round).Items[2].Content {
			total++
			if name, _ := e.Get("Name"); name == picked.common[0] {
				holders = append(holders, string(r.fleet.ID(n)))
			}
		}
	}
	slices.Sort(holders)
	if total != truth.total || total != sum(truth.names) {
		t.Errorf("%d entries, counted %d and %d", total, truth.total, sum(truth.names))
	}
	if diff := cmp.Diff(holders, kinds[0].variants[0].want(truth)); diff != "" {
		t.Errorf("holders of %s (-entries +scan):\n%s", picked.common[0], diff)
	}
	if equal, none := len(kinds[0].variants[0].want(truth)), len(kinds[6].variants[0].want(truth)); equal+none != r.Nodes {
		t.Errorf("%d nodes have it and %d do not, of %d", equal, none, r.Nodes)
	}
}

// forgetful answers everything with success and nothing.
func forgetful(t *testing.T, body string) Fixed {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
	t.Cleanup(s.Close)
	return Fixed{Server{Client: connected(t, s.URL)}}
}

func connected(t *testing.T, url string) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{Endpoint: url, Region: "x-1", Attempts: 1, Credentials: func(context.Context) (sigv4.Credentials, error) {
		return sigv4.Credentials{AccessKeyID: "AKIA", SecretAccessKey: "secret"}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func options(t *testing.T, body string) Options {
	side := Side{SideResult: SideResult{Name: "ours", Kind: Product}, Control: forgetful(t, body)}
	return Options{Nodes: 3, Seed: 1, Workers: 2, Rounds: 1, Samples: 1, Data: t.TempDir(), Sides: []Side{side}}
}

func TestWrongAnswersFailTheRun(t *testing.T) {
	for body, want := range map[string]string{
		`{}`:             "ours: listing of node",
		`{"Entities":1}`: "listing", `<html>`: "listing",
	} {
		_, err := Run(t.Context(), options(t, body))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a server that answers %s: %v", body, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, options(t, "{}")); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that was called off: %v", err)
	}
}

func TestRunsThatMakeNoSenseAreRefused(t *testing.T) {
	for name, change := range map[string]func(o *Options){
		"a fleet of nobody":           func(o *Options) { o.Nodes = 0 },
		"more rounds than nodes":      func(o *Options) { o.Rounds = 4 },
		"nothing to measure":          func(o *Options) { o.Sides = nil },
		"nothing that is the product": func(o *Options) { o.Sides[0].Kind = Other },
		"a floor before the product":  func(o *Options) { o.Sides = append([]Side{{SideResult: SideResult{Kind: Floor}}}, o.Sides...) },
	} {
		o := options(t, "{}")
		if change(&o); o.check() == nil {
			t.Errorf("%s was measured", name)
		}
	}
}

func TestOtherServersMayRefuseQuestions(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"__type":"InvalidFilter"}`))
	}))
	defer s.Close()
	for kind, refuses := range map[Kind]bool{Other: false, Product: true} {
		b := &bench{Options: Options{Rounds: 2, Progress: func(string, int) func(int) { return silent }}, result: &Result{}}
		r := sided(kind, nil)
		r.server = Server{Client: connected(t, s.URL)}
		b.runs, b.result.Sides = []*run{r}, []SideResult{r.side.SideResult}
		err := b.lines([]string{"ask"}, false, everyone, func(r *run, _ int, into []round) error {
			_, err := r.ask(t.Context(), call{"GetInventory", []byte("{}")}, &into[0])
			return err
		})
		if (err != nil) != refuses {
			t.Errorf("a refusal by a side of kind %s: %v", kind, err)
		}
	}
}

func TestRowsAreHeldAgainstTheSimulation(t *testing.T) {
	q := count{columns: []string{"Name"}, want: func(v []string) int { return map[string]int{"bash": 3}[v[0]] }}
	for text, ok := range map[string]bool{
		`{"Name":"bash","Count":"3"}`: true, `{"Name":"bash","Count":"4"}`: false, `{"Name":"dash","Count":"0"}`: false,
		`{"Name":"bash"}`: false, `{"Name":"bash","Count":"many"}`: false,
	} {
		var row map[string]string
		if err := json.Unmarshal([]byte(text), &row); err != nil {
			t.Fatal(err)
		}
		if _, err := q.row(pairs(row)); (err == nil) != ok {
			t.Errorf("row %s: %v", text, err)
		}
	}
	content := []inventory.Entry{{{Name: "A", Value: "1"}}}
	if err := sameEntries([]byte(`{"Entries":[{"A":"1"}]}`), content); err != nil {
		t.Error(err)
	}
	if err := sameEntries([]byte(`{"Entries":[{"A":"2"}]}`), content); err == nil {
		t.Error("another value passed for the one reported")
	}
}

func pairs(row map[string]string) wire.Entry {
	var e wire.Entry
	for name, value := range row {
		e = append(e, wire.Pair{Name: name, Value: value})
	}
	return e
}

func TestAllocationsBelowWhatIsTakenOffAreCounted(t *testing.T) {
	for _, c := range []struct {
		counted bool
		want    *Spread
	}{{true, &Spread{}}, {false, nil}} {
		o := (&run{}).summary([]round{{took: []float64{1}, wall: 1, counted: c.counted}}, false)
		if diff := cmp.Diff(c.want, o.Allocations); diff != "" {
			t.Errorf("counted %v (-want +got):\n%s", c.counted, diff)
		}
	}
}
