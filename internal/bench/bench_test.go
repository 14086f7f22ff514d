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
		Nodes: 3, Operations: []Operation{{Name: "ask", P50: Spread{1, 1, 1}}, {Name: "tell everybody", PerSecond: &Spread{1234, 900, 2000}}},
		Memory: []Memory{{When: "now", Peak: 3 << 20}}, Checked: []Checked{{"rows", 7}},
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
	for _, want := range []string{"1234 (900-2000)", "rows 7"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
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
	if cpuOf(0) != 0 {
		t.Error("a process that is not known has costs")
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
	r := &run{Options: Options{Nodes: 30, Seed: 5, Workers: 4, Progress: func(string, int) func(int) { return func(int) {} }}, round: 3}
	r.fleet = simulate.New(r.Seed, r.Nodes)
	r.result = &Result{Machine: Machine{Cores: 2}}
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
	if equal, none := len(kinds[0].variants[0].want(truth)), len(kinds[5].variants[0].want(truth)); equal+none != r.Nodes {
		t.Errorf("%d nodes have it and %d do not, of %d", equal, none, r.Nodes)
	}
}

// forgetful answers everything with success and nothing.
func forgetful(t *testing.T, body string) Fixed {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
	t.Cleanup(s.Close)
	c, err := client.New(client.Config{Endpoint: s.URL, Region: "x-1", Attempts: 1, Credentials: func(context.Context) (sigv4.Credentials, error) {
		return sigv4.Credentials{AccessKeyID: "AKIA", SecretAccessKey: "secret"}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return Fixed{Server{Client: c}}
}

func TestWrongAnswersFailTheRun(t *testing.T) {
	for body, want := range map[string]string{
		`{}`:             "wrong answer: 0 entries",
		`{"Entities":1}`: "listing", `<html>`: "listing",
	} {
		_, err := Run(t.Context(), Options{Nodes: 3, Seed: 1, Workers: 2, Rounds: 1, Samples: 1, Control: forgetful(t, body)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a server that answers %s: %v", body, err)
		}
	}
	if _, err := Run(t.Context(), Options{Nodes: 0, Control: forgetful(t, "")}); err == nil {
		t.Error("a fleet of nobody was measured")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, Options{Nodes: 3, Seed: 1, Workers: 2, Rounds: 1, Samples: 1, Control: forgetful(t, "{}")}); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that was called off: %v", err)
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
