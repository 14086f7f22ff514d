package e2e

import (
	"flag"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var overload = flag.Duration("overload", 3*time.Second, "how long the overload test offers five times what the service can do")

const (
	overloadNodes   = 100
	overloadEntries = 1000
	// burstWaits is as long as what comes is waited for as a burst is, and some more.
	burstWaits = 3 * time.Second
)

// overloadReports are reports that change what is stored, each time one is taken: two a node, by turns. They are signed anew
// before their signatures are too old.
type overloadReports struct {
	s      *service
	bodies [2 * overloadNodes][]byte
	signed atomic.Pointer[[2 * overloadNodes][]byte]
}

func newOverloadReports(t *testing.T, s *service) *overloadReports {
	t.Helper()
	reports := &overloadReports{s: s}
	for i := range reports.bodies {
		var b strings.Builder
		fmt.Fprintf(&b, `{"InstanceId":"i-%017d","Items":[{"TypeName":"AWS:Application","SchemaVersion":"1.1","CaptureTime":"2026-01-02T03:04:05Z","ContentHash":"%d","Content":[`, i/2, i)
		for e := range overloadEntries {
			if e > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"Name":"package-%d","Version":"1.%d","Publisher":"Debian","Architecture":"amd64"}`, e, e%7+i%2)
		}
		b.WriteString(`]}]}`)
		reports.bodies[i] = []byte(b.String())
	}
	reports.sign(t)
	return reports
}

func (o *overloadReports) sign(t *testing.T) {
	t.Helper()
	var signed [2 * overloadNodes][]byte
	for i, body := range o.bodies {
		signed[i] = o.s.signed(t, "PutInventory", floodRegion, body)
	}
	o.signed.Store(&signed)
}

// request takes nodes in turn, and of each its reports in turn.
func (o *overloadReports) request(i int64) []byte {
	return o.signed.Load()[i%overloadNodes*2+i/overloadNodes%2]
}

// TestOverloadIsShed offers five times as many reports as the service can take: it goes on taking about as many as it can,
// tells the others soon, and is its old self soon after.
func TestOverloadIsShed(t *testing.T) {
	s := start(t, t.TempDir(), anyRate...)
	reports := newOverloadReports(t, s)
	warm := scaled(10*time.Second, time.Second)
	calm := offer(s.address(), 16, 0, warm, warm, reports.request)
	peak := float64(len(calm.took)) / warm.Seconds()
	t.Logf("peak: %.0f reports a second; %v", peak, calm)
	if calm.failed+len(calm.refused) > 0 || peak < 1 {
		t.Fatalf("a load it can bear is refused: %v", calm)
	}

	ended := make(chan struct{})
	resigned := make(chan struct{})
	go func() {
		defer close(resigned)
		for {
			select {
			case <-ended:
				return
			case <-time.After(2 * time.Minute):
				reports.sign(t)
			}
		}
	}()
	const askers = 2000
	flood := offer(s.address(), askers, 5*peak, burstWaits, *overload, reports.request)
	close(ended)
	<-resigned
	goodput := float64(len(flood.took)) / overload.Seconds()
	t.Logf("offered %.0f a second for %v: %.0f taken a second, %.0f %% of the peak; %v", float64(flood.asked())/overload.Seconds(), *overload,
		goodput, 100*goodput/peak, flood)
	if flood.failed > 0 {
		t.Errorf("of the overload %d were neither taken nor refused: %s", flood.failed, flood.fault)
	}
	if *floods && len(flood.refused) == 0 {
		t.Error("nothing was refused: that was no overload")
	}
	if least := scaled(0.9, 0.2) * peak; goodput < least && !raceEnabled {
		t.Errorf("it took %.0f a second, of %.0f it can", goodput, peak)
	}
	if late := percentile(flood.refused, 99); *floods && late > 50*time.Millisecond {
		t.Errorf("refusals took %v at the 99th percentile", late)
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

// recovery gives how long a load that can be borne takes until all of a second's is.
func (s *service) recovery(t *testing.T, reports *overloadReports, rate float64) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		at := time.Since(began)
		o := offer(s.address(), 64, rate, 0, time.Second, reports.request)
		if len(o.refused)+o.failed == 0 {
			return at
		}
		t.Logf("%v after: %v", at.Round(time.Millisecond), o)
		if at > patience {
			t.Fatal("it never recovers")
		}
	}
}
