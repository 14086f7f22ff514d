package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// What a long run with agents is judged by.
const (
	// mostGrowth is how much the resident memory may grow a day, in percent of what it is.
	mostGrowth = 1.0
	// judgedFrom is the time over which growth has to be seen to be judged: what settles in an hour is no growth.
	judgedFrom = 12 * time.Hour
	// flatParts is how many parts there have to be for their p99 to be compared, flatFrom the p99 in milliseconds below
	// which nothing is made of it.
	flatParts, flatFrom = 8, 25.0
)

func (p *AgentsPhase) scheduled() bool { return strings.HasPrefix(p.Name, scheduledPhase) }

// parts gives the parts of the measured time.
func (r *AgentsResult) parts() []AgentsPhase {
	var all []AgentsPhase
	for _, p := range r.Phases {
		if p.scheduled() {
			all = append(all, p)
		}
	}
	return all
}

// slowest gives the action, long polls apart, with the greatest p99.
func (p *AgentsPhase) slowest() (a AgentsAction) {
	for _, b := range p.Actions {
		if b.Name != longPoll && b.P99 > a.P99 {
			a = b
		}
	}
	return a
}

// parts prints a line for each part.
func (p *printer) parts(parts []AgentsPhase) {
	rows := [][]string{{"on their schedules", "s", "calls", "greatest p99 ms", "of", "come back later", "errors", "server's processor"}}
	for i, part := range parts {
		calls, later, failed := 0, 0, 0
		for _, a := range part.Actions {
			calls, later, failed = calls+a.Attempts, later+a.Retryable, failed+a.Errors
		}
		slowest := part.slowest()
		rows = append(rows, []string{
			fmt.Sprintf("part %d", i+1), fmt.Sprintf("%.0f", part.Seconds), fmt.Sprint(calls), short(slowest.P99), slowest.Name,
			fmt.Sprint(later), fmt.Sprint(failed), part.cores(),
		})
	}
	p.table(rows)
}

// Growth gives by how many percent of itself the resident memory grew a day, as the line through the samples after the first
// quarter of the measured time has it, and the time between the first and the last of them; 0 where there are too few.
func (r *AgentsResult) Growth() (percent float64, over time.Duration) {
	var settled []MemorySample
	for _, s := range r.Memory {
		if s.Seconds >= r.Seconds/4 && s.Seconds <= r.Seconds && s.Resident > 0 {
			settled = append(settled, s)
		}
	}
	slices.SortFunc(settled, func(a, b MemorySample) int { return int(a.Seconds - b.Seconds) })
	if len(settled) < 4 {
		return 0, 0
	}
	var meanX, meanY float64
	for _, s := range settled {
		meanX += s.Seconds / float64(len(settled))
		meanY += float64(s.Resident) / float64(len(settled))
	}
	var both, square float64
	for _, s := range settled {
		both += (s.Seconds - meanX) * (float64(s.Resident) - meanY)
		square += (s.Seconds - meanX) * (s.Seconds - meanX)
	}
	over = time.Duration((settled[len(settled)-1].Seconds - settled[0].Seconds) * float64(time.Second))
	return both / square * (24 * time.Hour).Seconds() / meanY * 100, over
}

func judged(over time.Duration) string {
	if over < judgedFrom {
		return fmt.Sprintf(" (not judged: that takes %.0f h)", judgedFrom.Hours())
	}
	return ""
}

// checkLasting says what a run shows to get worse with time.
func (r *AgentsResult) checkLasting() (all []error) {
	if slope, over := r.Growth(); over >= judgedFrom && slope > mostGrowth {
		all = append(all, fmt.Errorf("resident memory grows by %.2f %% a day, over %.1f", slope, mostGrowth))
	}
	parts := r.parts()
	if len(parts) < flatParts {
		return all
	}
	quarter := len(parts) / 4
	early, late := medianP99(parts[:quarter]), medianP99(parts[len(parts)-quarter:])
	if late > max(2*early, flatFrom) {
		all = append(all, fmt.Errorf("p99 is not flat: %s ms in the first quarter of the time, %s ms in the last", short(early), short(late)))
	}
	return all
}

// medianP99 gives the median of the parts' greatest p99, in milliseconds.
func medianP99(parts []AgentsPhase) float64 {
	var all []float64
	for _, p := range parts {
		all = append(all, p.slowest().P99)
	}
	slices.Sort(all)
	return all[len(all)/2]
}
