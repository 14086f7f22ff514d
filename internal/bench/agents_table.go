package bench

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// longPoll is the action that is meant to take long.
const longPoll = "GetMessages"

// mostP99 is how long, in milliseconds, 99 of 100 calls may take while agents keep their schedules.
const mostP99 = 250

// Table prints the result for people, as tables in Markdown.
func (r *AgentsResult) Table(w io.Writer) error {
	p := &printer{w: w}
	m := r.Machine
	p.line("%s, %d agents, %d packages on each, measured for %.0f s", r.Date.Format(time.DateTime), r.Agents, r.Packages, r.Seconds)
	p.line("%s: %d cores, %.1f GiB, Linux %s, %s; load average at the start %s; the agents ran on it too\n",
		m.Processor, m.Cores, float64(m.MemoryBytes)/(1<<30), m.Kernel, m.Go, m.Load)
	parts := r.parts()
	for _, phase := range r.Phases {
		if len(parts) > 1 && phase.scheduled() {
			continue // in few words below
		}
		p.line("%s: %.0f s, processor of the server %s\n", phase.Name, phase.Seconds, phase.cores())
		rows := [][]string{{"action", "attempts", "p50 ms", "p99 ms", "greatest ms", "come back later", "errors", "codes"}}
		for _, a := range phase.Actions {
			rows = append(rows, []string{
				a.Name, fmt.Sprint(a.Attempts), short(a.P50), short(a.P99), short(a.Max), fmt.Sprint(a.Retryable), fmt.Sprint(a.Errors), a.codes(),
			})
		}
		p.table(rows)
	}
	if len(parts) > 1 {
		p.parts(parts)
	}
	rows := [][]string{{"s", "resident MiB", "peak", "live heap", "connections"}}
	for i, s := range r.Memory {
		if most := 24; len(r.Memory) > most && (i+1)%((len(r.Memory)+most-1)/most) != 0 {
			continue
		}
		rows = append(rows, []string{fmt.Sprintf("%.0f", s.Seconds), mib(s.Resident), mib(s.Peak), mib(s.Live), fmt.Sprint(s.Connections)})
	}
	p.table(rows)
	if slope, over := r.Growth(); over > 0 {
		p.line("resident memory grows by %.2f %% a day, measured over %.1f h once it was settled%s", slope, over.Hours(), judged(over))
	}
	if r.Back > 0 {
		p.line("after kill -9 and a start, every agent was heard of within %.1f s, and had polled, reported and was waiting for messages within %.1f s", r.Heard, r.Back)
	}
	p.line("nodes: %d online, %d lost, %d missing; %d runs of the association, %d failed, %d reported twice\n",
		r.Online, r.Lost, r.Missing, r.Runs, r.FailedRuns, r.Again)
	return p.err
}

func (p *AgentsPhase) cores() string {
	if p.CPU == 0 {
		return "not measured"
	}
	return fmt.Sprintf("%.1f s, %.0f %% of a core", p.CPU, 100*p.CPU/p.Seconds)
}

func (a *AgentsAction) codes() string {
	var all []string
	for _, code := range slices.Sorted(maps.Keys(a.Codes)) {
		all = append(all, fmt.Sprintf("%s %d", code, a.Codes[code]))
	}
	return strings.Join(all, ", ")
}

// Check says what the run shows that it should not: an answer that tells no agent to come back later and is an error, a
// node that is not online, a failed run of an association, and, while agents keep their schedules, any failure at all and
// calls that take too long.
func (r *AgentsResult) Check() error {
	var all []error
	for _, phase := range r.Phases {
		for _, a := range phase.Actions {
			scheduled := phase.scheduled()
			if a.Errors > 0 || scheduled && a.Retryable > 0 {
				all = append(all, fmt.Errorf("%s: %s: %s", phase.Name, a.Name, a.codes()))
			}
			if scheduled && a.Name != longPoll && a.P99 > mostP99 {
				all = append(all, fmt.Errorf("%s: %s: p99 is %s ms, over %d", phase.Name, a.Name, short(a.P99), mostP99))
			}
		}
	}
	if r.Lost > 0 || r.Missing > 0 {
		all = append(all, fmt.Errorf("%d nodes are lost and %d missing", r.Lost, r.Missing))
	}
	if r.FailedRuns > 0 {
		all = append(all, fmt.Errorf("%d runs of the association failed", r.FailedRuns))
	}
	return errors.Join(append(all, r.checkLasting()...)...)
}
