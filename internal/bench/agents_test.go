package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/simulate/agent"
)

func TestRecordSumsAttemptsUp(t *testing.T) {
	r := newRecord()
	p := r.begin("phase")
	note := func(action, code string, status int, err error, ms int) {
		r.note(agent.Attempt{Action: action, Code: code, Status: status, Err: err, Began: time.Now(), Took: time.Duration(ms) * time.Millisecond})
	}
	for ms := 1; ms <= 200; ms++ {
		note("PutInventory", "", 200, nil, ms)
	}
	note("PutInventory", "ThrottlingException", 400, nil, 1000)
	note("PutInventory", "InternalServerError", 500, nil, 1)
	note("PutInventory", "InvalidInstanceId", 400, nil, 1)
	note("PutInventory", "", 0, fmt.Errorf("post: %w", syscall.ECONNREFUSED), 5000)
	note("RegisterManagedInstance", "TooManyUpdates", 400, nil, 3)
	note(channel, "AccessDeniedException", 403, nil, 3) // which nobody expects anything else of
	r.note(agent.Attempt{Action: "PutInventory", Status: 200, Began: time.Now().Add(-time.Hour), Took: time.Hour})
	want := []AgentsAction{
		{
			"PutInventory", 204, 100, 199, 1000, 3, 1,
			map[string]int{"ThrottlingException": 1, "InternalServerError": 1, "InvalidInstanceId": 1, "connection refused": 1},
		},
		{"RegisterManagedInstance", 1, 3, 3, 3, 1, 0, map[string]int{"TooManyUpdates": 1}},
	}
	if diff := cmp.Diff(want, p.result().Actions); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestReasonsOfNoAnswer(t *testing.T) {
	for want, err := range map[string]error{
		"connection refused":         fmt.Errorf("dial: %w", syscall.ECONNREFUSED),
		"connection reset":           fmt.Errorf("write: %w", syscall.EPIPE),
		"connection closed":          fmt.Errorf("read: %w", io.EOF),
		"out of files or ports here": fmt.Errorf("dial: %w", syscall.EMFILE),
		"time-out":                   &net.OpError{Op: "dial", Err: context.DeadlineExceeded},
		"no answer":                  errors.New("something else"),
	} {
		if got := reason(err); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
}

func TestCheckOfARunWithAgents(t *testing.T) {
	good := func() *AgentsResult {
		return &AgentsResult{Online: 3, Phases: []AgentsPhase{
			{Name: scheduledPhase, Actions: []AgentsAction{{Name: longPoll, P99: 15000}, {Name: "PutInventory", P99: 250}}},
			{Name: "all at once", Actions: []AgentsAction{{Name: "PutInventory", P99: 9000, Retryable: 100}}},
		}}
	}
	if err := good().Check(); err != nil {
		t.Errorf("a good run: %v", err)
	}
	for text, spoil := range map[string]func(*AgentsResult){
		"1 nodes are lost and 0 missing":                            func(r *AgentsResult) { r.Lost = 1 },
		"0 nodes are lost and 2 missing":                            func(r *AgentsResult) { r.Missing = 2 },
		"1 runs of the association failed":                          func(r *AgentsResult) { r.FailedRuns = 1 },
		"on their schedules: PutInventory: p99 is 251 ms, over 250": func(r *AgentsResult) { r.Phases[0].Actions[1].P99 = 251 },
		"on their schedules: GetMessages: time-out 1": func(r *AgentsResult) {
			r.Phases[0].Actions[0].Retryable, r.Phases[0].Actions[0].Codes = 1, map[string]int{"time-out": 1}
		},
		"all at once: PutInventory: InvalidInstanceId 1": func(r *AgentsResult) {
			r.Phases[1].Actions[0].Errors, r.Phases[1].Actions[0].Codes = 1, map[string]int{"InvalidInstanceId": 1}
		},
	} {
		r := good()
		spoil(r)
		if err := r.Check(); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want %s", err, text)
		}
	}
}

func TestNetworkGivesEachAgentASourceAndKeepsWithinItsRoom(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	w := newNetwork(2, l.Addr().String())
	sources := map[string]bool{}
	var open []net.Conn
	dial := func(ctx context.Context, n int) (net.Conn, error) {
		return w.dial(w.dialer(n))(ctx, "tcp", l.Addr().String())
	}
	for n := range 2 {
		c, err := dial(t.Context(), n*70_000)
		if err != nil {
			t.Fatal(err)
		}
		host, _, _ := net.SplitHostPort(c.LocalAddr().String())
		sources[host] = true
		open = append(open, c)
	}
	if len(sources) != 2 {
		t.Errorf("the agents come from %v", sources)
	}
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := dial(soon, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a third connection where there is room for two: %v", err)
	}
	for range 2 { // the second time is nothing
		_ = open[0].Close()
	}
	c, err := dial(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	_ = open[1].Close()
}

// lasting is a run of hours with a part each, whose memory and p99 are as the functions say.
func lasting(hours int, resident func(hour float64) float64, p99 func(hour int) float64) *AgentsResult {
	r := &AgentsResult{Seconds: float64(hours) * 3600}
	for hour := range hours {
		r.Phases = append(r.Phases, AgentsPhase{
			Name:    fmt.Sprintf("%s, part %d", scheduledPhase, hour+1),
			Actions: []AgentsAction{{Name: longPoll, P99: 20_000}, {Name: "PutInventory", Attempts: 10, P99: p99(hour)}},
		})
		for half := range 2 {
			at := float64(hour) + float64(half)/2
			r.Memory = append(r.Memory, MemorySample{Seconds: at * 3600, Resident: int64(resident(at))})
		}
	}
	return r
}

func TestLongRunsAreJudged(t *testing.T) {
	const gib = 1 << 30
	flat := func(int) float64 { return 10 }
	growing := func(percentADay float64) func(float64) float64 {
		return func(hour float64) float64 { return gib * (1 + percentADay/100*hour/24) }
	}
	for name, c := range map[string]struct {
		run  *AgentsResult
		want string
	}{
		"steady":                {lasting(72, growing(0), flat), ""},
		"within the limit":      {lasting(72, growing(0.9), flat), ""},
		"growing":               {lasting(72, growing(2), flat), "resident memory grows by 1.9"},
		"settling at first":     {lasting(72, func(hour float64) float64 { return gib * (1 - 0.5/(1+hour*hour)) }, flat), ""},
		"growing, but short":    {lasting(6, growing(50), flat), ""},
		"slower by the hour":    {lasting(24, growing(0), func(hour int) float64 { return 10 + 4*float64(hour) }), "p99 is not flat"},
		"slow, as it always is": {lasting(24, growing(0), func(int) float64 { return 200 }), ""},
		"one slow hour":         {lasting(24, growing(0), func(hour int) float64 { return map[bool]float64{true: 240, false: 10}[hour == 20] }), ""},
	} {
		said := ""
		if err := c.run.Check(); err != nil {
			said = err.Error()
		}
		if c.want == "" && said != "" || !strings.Contains(said, c.want) {
			t.Errorf("%s: %q, want %q", name, said, c.want)
		}
	}
	var table strings.Builder
	if err := lasting(24, growing(2), flat).Table(&table); err != nil || strings.Count(table.String(), "| part ") != 24 || !strings.Contains(table.String(), "grows by 1.9") {
		t.Errorf("%v\n%s", err, table.String())
	}
}
