package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var (
	overload = flag.Duration("overload", time.Second, "how long the overload test offers five times what the service can do")
	apart    = flag.Bool("apart", false, "have the service of the overload test on a core of its own, away from its clients")
)

const (
	overloadEntries = 1000
	overloadStates  = 4
	// grows is by how much more askers must get more done for more of them to be tried.
	grows = 1.05
)

// overloadReports are reports of so many states of each node. They are signed anew before their signatures are too old.
type overloadReports struct {
	s      *service
	bodies [][]byte
	signed atomic.Pointer[[][]byte]
}

func newOverloadReports(t *testing.T, s *service) *overloadReports {
	t.Helper()
	reports := &overloadReports{s: s, bodies: make([][]byte, scaled(100, 20)*overloadStates)}
	for i := range reports.bodies {
		var b strings.Builder
		fmt.Fprintf(&b, `{"InstanceId":"i-%017d","Items":[{"TypeName":"AWS:Application","SchemaVersion":"1.1","CaptureTime":"2026-01-02T03:04:05Z","ContentHash":"%d","Content":[`, i/overloadStates, i)
		for e := range overloadEntries {
			if e > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"Name":"package-%d","Version":"1.%d","Publisher":"Debian","Architecture":"amd64"}`, e, e%7+i%overloadStates)
		}
		b.WriteString(`]}]}`)
		reports.bodies[i] = []byte(b.String())
	}
	reports.sign(t)
	return reports
}

func (o *overloadReports) sign(t *testing.T) {
	t.Helper()
	signed := make([][]byte, len(o.bodies))
	for i, body := range o.bodies {
		signed[i] = o.s.signed(t, "PutInventory", floodRegion, body)
	}
	o.signed.Store(&signed)
}

// request takes any of them, so that of those that are taken as many change what is stored however many are refused in between.
func (o *overloadReports) request(int64) []byte {
	signed := *o.signed.Load()
	return signed[rand.IntN(len(signed))]
}

// TestOverloadIsShed offers five times as many reports as the service can take: it goes on taking about as many as it can,
// tells the others soon, and is its old self soon after.
func TestOverloadIsShed(t *testing.T) {
	s := overloadable(t)
	reports := newOverloadReports(t, s)
	peak, calm := s.mostTaken(t, reports)
	flood, goodput, soon := &outcome{}, 0.0, 0.0
	for tries := 0; tries < 3 && len(flood.refused) == 0; tries++ {
		peak = max(peak, goodput) // it was no flood: others left less of the processor before
		flood, goodput, soon = s.flood(t, reports, 5*peak)
	}
	t.Logf("%.0f taken a second, %.0f %% of the peak", goodput, 100*goodput/peak)
	if flood.failed > 0 {
		t.Errorf("of the overload %d were neither taken nor refused: %s", flood.failed, flood.fault)
	}
	if len(flood.refused) == 0 {
		t.Error("nothing was refused: that was no overload")
	}
	if least := scaled(0.9, 0.2) * peak; goodput < least {
		t.Errorf("it took %.0f a second, of %.0f it can", goodput, peak)
	}
	if late := percentile(flood.refused, 99); *floods && (late > 50*time.Millisecond || soon < 0.99) {
		t.Errorf("refusals took %v at the 99th percentile at the clients; %.4f of them left the service within 50 ms", late, soon)
	}
	if was, is := percentile(calm.took, 99), percentile(flood.took, 99); *floods && is > 2*was {
		t.Errorf("what was taken took %v at the 99th percentile, %v without overload", is, was)
	}
	reports.sign(t)
	recovered := s.recovery(t, reports, peak/2)
	t.Logf("at half the peak, nothing refused after %v", recovered)
	if recovered > 10*time.Second {
		t.Errorf("recovered after %v", recovered)
	}
	if status, text, err := s.get("/readyz"); err != nil || status != http.StatusOK {
		t.Errorf("not ready after it: %d %s %v", status, text, err)
	}
}

// flood offers reports at a rate, whatever becomes of them, and gives that, how many a second the service took from the first to
// the last, and which share of the refusals left it within 50 ms.
func (s *service) flood(t *testing.T, reports *overloadReports, rate float64) (o *outcome, goodput, soon float64) {
	t.Helper()
	// What comes first is waited for as a burst is, and what waited then is served for as long again.
	skip := scaled(5*time.Second, 2200*time.Millisecond)
	before := make(chan shedding, 1)
	time.AfterFunc(skip, func() { before <- s.shedding(t) })
	stop := reports.resign(t)
	const askers = 2000
	used, all := s.processorTime(t), s.reportsTaken(t)
	o = offer(s.address(), askers, rate, skip, *overload, reports.request)
	taken := s.reportsTaken(t) - all
	goodput = taken / time.Since(used.at).Seconds()
	used.log(t, s, taken)
	stop()
	t.Logf("offered %.0f a second for %v: %v", float64(o.asked())/overload.Seconds(), *overload, o)
	was := <-before
	return o, goodput, was.soon(t, s)
}

// overloadable starts a service whose rates hold nobody; where it is to be apart, on the last core, and its clients on the others.
// In the short form it has but one core, for the sake of other tests.
func overloadable(t *testing.T) *service {
	t.Helper()
	s := embedded(t.TempDir(), anyRate...)
	s.process.Path = raced(t)
	if !*floods {
		s.process.Env = append(os.Environ(), "GOMAXPROCS=1")
	}
	if *apart {
		last := runtime.NumCPU() - 1
		command := append([]string{"-c", strconv.Itoa(last)}, s.process.Args...)
		s.process.Path, s.process.Args = tool(t, "taskset"), append([]string{"taskset"}, command...)
		pin := exec.CommandContext(t.Context(), tool(t, "taskset"), "-a", "-c", "-p", fmt.Sprintf("0-%d", last-1), strconv.Itoa(os.Getpid()))
		if text, err := pin.CombinedOutput(); err != nil {
			t.Fatalf("pinning the clients: %v\n%s", err, text)
		}
	}
	s, err := s.run()
	if err != nil {
		t.Fatal(err)
	}
	s.watch(t)
	return s
}

// mostTaken gives how many reports a second the service takes at most, and what became of them then: it has ever more askers
// that ask again as soon as they are answered, until twice more of them got no more done. In the long form those that got most
// done then go on for as long as the overload does: what is put off for some seconds, the store's upkeep above all, is in both.
func (s *service) mostTaken(t *testing.T, reports *overloadReports) (peak float64, at *outcome) {
	t.Helper()
	vain, best := 0, 0
	for askers := 16; askers <= scaled(1024, 16); askers *= 2 {
		rate, o := s.taken(t, reports, askers, scaled(8*time.Second, 500*time.Millisecond))
		if at == nil && len(o.refused)+o.failed > 0 {
			t.Fatalf("a load it can bear is refused: %v", o)
		}
		vain++
		if rate > peak*grows {
			vain = 0
		}
		if rate > peak {
			peak, at, best = rate, o, askers
		}
		if vain == 2 || len(o.refused)+o.failed > 0 {
			break
		}
	}
	if peak == 0 {
		t.Fatal("nothing was taken")
	}
	if *floods {
		stop := reports.resign(t)
		peak, at = s.taken(t, reports, best, *overload)
		stop()
	}
	return peak, at
}

// taken has so many askers that ask again as soon as they are answered, and gives how many reports a second were taken.
func (s *service) taken(t *testing.T, reports *overloadReports, askers int, lasting time.Duration) (rate float64, o *outcome) {
	t.Helper()
	used, all := s.processorTime(t), s.reportsTaken(t)
	o = offer(s.address(), askers, 0, 0, lasting, reports.request)
	taken := s.reportsTaken(t) - all
	rate = taken / time.Since(used.at).Seconds()
	t.Logf("%d askers for %v: %.0f reports a second; %v", askers, lasting, rate, o)
	used.log(t, s, taken)
	return rate, o
}

// resign signs the reports anew until it is stopped, before their signatures are too old.
func (o *overloadReports) resign(t *testing.T) (stop func()) {
	t.Helper()
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ended:
				return
			case <-time.After(2 * time.Minute):
				o.sign(t)
			}
		}
	}()
	return func() {
		close(ended)
		<-done
	}
}

// shedding counts refusals as the service did: all, and those that were answered within 50 ms.
type shedding struct{ all, within float64 }

func (s *service) shedding(t *testing.T) shedding {
	t.Helper()
	const name = "stocktake_throttled_duration_seconds_"
	return shedding{s.metric(t, name+"count"), s.metric(t, name+`bucket{le="0.05"}`)}
}

// reportsTaken gives how many reports the service has taken since its start.
func (s *service) reportsTaken(t *testing.T) float64 {
	t.Helper()
	const name = "stocktake_reports_total"
	return s.metric(t, name+`{outcome="stored"}`) + s.metric(t, name+`{outcome="unchanged"}`)
}

func (s *service) metric(t *testing.T, name string) float64 {
	t.Helper()
	_, text, err := s.get("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(text, "\n"+name+" ")
	number, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		t.Fatalf("metric %s: %v", name, err)
	}
	return n
}

// soon gives the share of refusals since then that the service answered within 50 ms.
func (was shedding) soon(t *testing.T, s *service) float64 {
	t.Helper()
	is := s.shedding(t)
	all, soon := is.all-was.all, is.within-was.within
	t.Logf("by the service's own count %.0f were refused, %.2f %% of them within 50 ms", all, 100*soon/max(all, 1))
	return soon / max(all, 1)
}

// recovery gives how long a load that can be borne takes until all of a second's is.
func (s *service) recovery(t *testing.T, reports *overloadReports, rate float64) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		at := time.Since(began)
		o := offer(s.address(), 64, rate, 0, scaled(time.Second, 300*time.Millisecond), reports.request)
		if len(o.refused)+o.failed == 0 {
			return at
		}
		t.Logf("%v after: %v", at.Round(time.Millisecond), o)
		if at > patience {
			t.Fatal("it never recovers")
		}
	}
}

// processorTime is how much of the processor the service and its clients had used at a time.
type processorTime struct {
	at              time.Time
	service, client time.Duration
}

func (s *service) processorTime(t *testing.T) processorTime {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var ticks [2]int64
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	for i := range ticks {
		if ticks[i], err = strconv.ParseInt(fields[11+i], 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		t.Fatal(err)
	}
	return processorTime{time.Now(), time.Duration(ticks[0]+ticks[1]) * 10 * time.Millisecond, time.Duration(own.Utime.Nano() + own.Stime.Nano())}
}

// log tells how many cores were used since then, in which so many reports were taken: where others take the processor, that says
// more than how many a second.
func (p processorTime) log(t *testing.T, s *service, reports float64) {
	t.Helper()
	now := s.processorTime(t)
	took := now.at.Sub(p.at)
	used := now.service - p.service
	t.Logf("the service used %.2f cores, its clients %.2f; %.0f reports for a second of the service's processor time",
		float64(used)/float64(took), float64(now.client-p.client)/float64(took), reports/max(used.Seconds(), 0.01))
}
