package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stocktake/internal/client"
	"stocktake/internal/inventory"
	"stocktake/internal/sigv4"
	"stocktake/internal/simulate"
	"stocktake/internal/wire"
)

const (
	fleetRegion = "fleet-1"
	fleetSeed   = 1
)

// BenchmarkFleet loads a simulated fleet over HTTP, reports a second round, asks, restarts from a snapshot and without
// one, and logs the figures that docs/performance.md shows. The service is held to what a machine of 2 GiB has: it fails
// when it used more. `make scale` runs it with 20,000 nodes.
func BenchmarkFleet(b *testing.B) {
	for range b.N {
		f := &fleetRun{B: b, fleet: simulate.New(fleetSeed, *nodes), dir: b.TempDir()}
		f.logf("machine: %d cores (%s), %s, %d nodes, seed %d, load average %s", runtime.NumCPU(), cpuModel(), runtime.Version(), *nodes, fleetSeed, loadAverage())
		f.service = start(b, f.dir)
		f.report("load (full reports)", 0, f.fleet.Report)
		f.report("second round (95 % hash only)", 1, f.fleet.Slim)
		f.questions()
		f.memory()
		f.restarts()
	}
}

// fleetRun is one pass of the benchmark.
type fleetRun struct {
	*testing.B
	fleet   *simulate.Fleet
	dir     string
	service *service
}

func (f *fleetRun) logf(format string, args ...any) { f.Logf(format, args...) }

func (f *fleetRun) client() *client.Client {
	f.Helper()
	key := sigv4.Credentials{AccessKeyID: f.service.key.AccessKeyID, SecretAccessKey: f.service.key.SecretAccessKey}
	c, err := client.New(client.Config{
		Endpoint: f.service.endpoint, Region: fleetRegion,
		Credentials: func(context.Context) (sigv4.Credentials, error) { return key, nil },
	})
	if err != nil {
		f.Fatal(err)
	}
	return c
}

// report sends every node's report of a round through eight clients.
func (f *fleetRun) report(what string, round int, make func(n, round int) simulate.Report) {
	f.Helper()
	sender := f.client()
	defer sender.Close()
	before := f.service.cpu(f)
	var next, sent atomic.Int64
	var sending sync.WaitGroup
	began := time.Now()
	for range 8 {
		sending.Go(func() {
			var body []byte
			for n := int(next.Add(1)) - 1; n < f.fleet.Len(); n = int(next.Add(1)) - 1 {
				body = make(n, round).AppendPutInventory(body[:0])
				sent.Add(int64(len(body)))
				if _, err := sender.Do(f.Context(), "PutInventory", body); err != nil {
					f.Error(err)
					return
				}
			}
		})
	}
	sending.Wait()
	took := time.Since(began)
	cpu := f.service.cpu(f) - before
	f.logf("%s: %.0f reports/s (with the clients on the same cores), %.1f MB/s, %.2f ms of the service's CPU a report",
		what, float64(f.fleet.Len())/took.Seconds(), float64(sent.Load())/1e6/took.Seconds(), 1000*cpu.Seconds()/float64(f.fleet.Len()))
	f.ReportMetric(float64(f.fleet.Len())/took.Seconds(), strings.Fields(what)[0]+"-reports/s")
}

// fleetQuestion is asked for its first page.
type fleetQuestion struct {
	name string
	ask  func(ctx context.Context, c *client.Client) error
}

func fleetQuestions(some inventory.NodeID) []fleetQuestion {
	get := func(in wire.GetInventoryRequest) func(context.Context, *client.Client) error {
		return func(ctx context.Context, c *client.Client) error {
			_, err := c.GetInventory(ctx, &in)
			return err
		}
	}
	filter := func(kind, key string, values ...string) wire.Filter {
		return wire.Filter{Key: "AWS:Application." + key, Values: values, Type: &kind}
	}
	one := func(f ...wire.Filter) wire.GetInventoryRequest { return wire.GetInventoryRequest{Filters: f} }
	count := func(expression string, f ...wire.Filter) wire.GetInventoryRequest {
		return wire.GetInventoryRequest{Filters: f, Aggregators: []wire.Aggregator{{Expression: &expression}}}
	}
	return []fleetQuestion{
		{"filter: Equal, common package", get(one(filter("Equal", "Name", "bash")))},
		{"filter: Equal, name and version of one entry", get(one(filter("Equal", "Name", "bash"), filter("Equal", "Version", "5.2.15-2+b13+u2")))},
		{"filter: name, version GreaterThan", get(one(filter("Equal", "Name", "bash"), filter("GreaterThan", "Version", "5.2.15-2+b13+u1")))},
		{"filter: BeginWith lib", get(one(filter("BeginWith", "Name", "lib")))},
		{"filter: NotEqual", get(one(filter("NotEqual", "Name", "bash")))},
		{"count: by platform", get(count("AWS:InstanceInformation.PlatformName"))},
		{"count: by every application name", get(count("AWS:Application.Name"))},
		{"count: the same within a filter", get(count("AWS:Application.Name", filter("Equal", "Name", "bash")))},
		{"listing: a page of 50 entries", func(ctx context.Context, c *client.Client) error {
			most := int32(50)
			_, err := c.ListInventoryEntries(ctx, &wire.ListInventoryEntriesRequest{InstanceId: string(some), TypeName: "AWS:Application", MaxResults: &most})
			return err
		}},
	}
}

func (f *fleetRun) questions() {
	f.Helper()
	const times = 21
	c := f.client()
	defer c.Close()
	for _, q := range fleetQuestions(f.fleet.ID(f.fleet.Len() / 2)) {
		var took []time.Duration
		for range times {
			began := time.Now()
			if err := q.ask(f.Context(), c); err != nil {
				f.Fatalf("%s: %v", q.name, err)
			}
			took = append(took, time.Since(began))
		}
		first := took[0]
		slices.Sort(took)
		f.logf("%s: first %v, median %v, worst %v", q.name, first.Round(10*time.Microsecond), took[times/2].Round(10*time.Microsecond), took[times-1].Round(10*time.Microsecond))
	}
}

// memory tells what the service takes, and fails when it is more than a small machine has.
func (f *fleetRun) memory() {
	f.Helper()
	const most = 2 << 30
	peak := f.service.status(f, "VmHWM") << 10
	_, metrics, err := f.service.get("/metrics")
	if err != nil {
		f.Fatal(err)
	}
	f.logf("memory: peak %d MiB resident, now %d MiB; index %s bytes, store %s bytes on disk", peak>>20, f.service.status(f, "VmRSS")>>10,
		sample(metrics, "stocktake_index_bytes"), sample(metrics, "stocktake_store_disk_bytes"))
	f.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
	if peak > most {
		f.Errorf("the service took %d MiB, more than the 2 GiB it is meant for", peak>>20)
	}
}

// restarts measures from the start of the process to the first answer, over what a stop and what a kill left.
func (f *fleetRun) restarts() {
	f.Helper()
	began := time.Now()
	if err := f.service.stop(); err != nil {
		f.Fatal(err)
	}
	f.logf("stop, snapshot written: %v", time.Since(began).Round(time.Millisecond))
	f.restart("with a snapshot")
	f.service.kill()
	f.restart("after kill -9, with a snapshot")
	f.service.kill()
	if err := os.Remove(filepath.Join(f.dir, "index", "index.snapshot")); err != nil {
		f.Fatal(err)
	}
	f.restart("without a snapshot")
}

func (f *fleetRun) restart(how string) {
	f.Helper()
	began := time.Now()
	f.service = start(f, f.dir)
	c := f.client()
	defer c.Close()
	most := int32(1)
	answer, err := c.GetInventory(f.Context(), &wire.GetInventoryRequest{MaxResults: &most})
	if err != nil || len(answer.Entities) != 1 {
		f.Fatalf("first answer %s: %v", how, err)
	}
	f.logf("start to first answer, %s: %v", how, time.Since(began).Round(time.Millisecond))
}

// status reads a line of the process's status, in KiB.
func (s *service) status(t testing.TB, name string) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in the process's status", name)
	return 0
}

// cpu gives the processor time the service has used.
func (s *service) cpu(t testing.TB) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] { // utime and stime, by proc(5)
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	const perSecond = 100
	return time.Duration(ticks) * time.Second / perSecond
}

// sample gives a metric's value as it is written.
func sample(metrics, name string) string {
	for line := range strings.Lines(metrics) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return "?"
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // without it the model is not known
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "model unknown"
}

func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	return strings.Join(strings.Fields(string(text) + " ? ? ?")[:3], " ")
}
