package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Result is what a benchmark found. Times are of the wall clock unless they say CPU, and CPU is the server's alone.
type Result struct {
	Date    time.Time
	Nodes   int
	Seed    uint64
	Workers int
	Rounds  int
	Machine Machine
	// FullBytes and HashBytes are what the bodies of reports have on average, in full and as hashes alone.
	FullBytes, HashBytes int
	Operations           []Operation
	Starts               []Start     `json:",omitempty"`
	Memory               []Memory    `json:",omitempty"`
	DiskBytesPerNode     float64     `json:",omitempty"` // after a clean stop
	StopSeconds          *Spread     `json:",omitempty"` // from the signal to the end of the process, the snapshot written
	Durability           *Durability `json:",omitempty"`
	Checked              []Checked   // what was held against the simulation
}

// Operation is one kind of request.
type Operation struct {
	Name    string
	Samples int
	// PerSecond is the rate of reports, by round; nil for questions, which are asked one after the other.
	PerSecond *Spread `json:",omitempty"`
	// P50 to Max are milliseconds of one request, P50 by round, the others over all rounds.
	P50         Spread
	P99, P999   float64
	Max         float64
	CPU         *Spread `json:",omitempty"` // microseconds a request, by round
	AnswerBytes int     // on average

	rounds []float64 // what PerSecond, or else P50, is the spread of
}

// Start is one way to start.
type Start struct {
	Name string
	// FirstAnswer is seconds from the start of the process to the first answer to a question; CPU until then.
	FirstAnswer Spread
	CPU         *Spread `json:",omitempty"`
}

// Memory is the server's memory at one moment, in bytes.
type Memory struct {
	When                string
	Peak, Resident      int64 // as the kernel counts it
	Heap, HeapGoal      int64 // garbage included; at which the next collection ends
	Index               int64 // as the server estimates it
	Entries, Fsyncs     int64
	Batches, CommitsAll int64
}

// Durability tells of reports acknowledged just before the process was killed.
type Durability struct{ Kills, Acknowledged, Lost int }

// Checked is a number that the server and the simulation agree on.
type Checked struct {
	What  string
	Count int
}

// Spread is a median over rounds with its least and greatest.
type Spread struct{ Median, Min, Max float64 }

func spreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	return Spread{Median: quantile(sorted, 0.5), Min: sorted[0], Max: sorted[len(sorted)-1]}
}

// quantile gives the smallest value that at least a share q of the sorted values do not exceed.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(at, 0), len(sorted)-1)]
}

// Table prints the result for people, as tables in Markdown.
func (r *Result) Table(w io.Writer) error {
	m := r.Machine
	p := &printer{w: w}
	p.line("%s, %d nodes, seed %d, %d at a time, %d rounds", r.Date.Format(time.DateTime), r.Nodes, r.Seed, r.Workers, r.Rounds)
	p.line("%s: %d cores, %.1f GiB, Linux %s, %s; load average at the start %s", m.Processor, m.Cores, float64(m.MemoryBytes)/(1<<30), m.Kernel, m.Go, m.Load)
	p.line("a full report has %d bytes, one of hashes %d\n", r.FullBytes, r.HashBytes)
	rows := [][]string{{"operation", "requests", "per second", "p50 ms", "p99 ms", "max ms", "CPU us", "answer bytes"}}
	for _, o := range r.Operations {
		rows = append(rows, []string{
			o.Name, fmt.Sprint(o.Samples), o.PerSecond.text(), o.P50.text(), short(o.P99), short(o.Max), o.CPU.text(), fmt.Sprint(o.AnswerBytes),
		})
	}
	p.table(rows)
	rows = [][]string{{"start", "first answer s", "CPU s"}}
	for _, s := range r.Starts {
		rows = append(rows, []string{s.Name, s.FirstAnswer.text(), s.CPU.text()})
	}
	p.table(rows)
	rows = [][]string{{"memory, MiB", "peak", "resident", "heap", "heap goal", "index", "entries"}}
	for _, at := range r.Memory {
		rows = append(rows, []string{at.When, mib(at.Peak), mib(at.Resident), mib(at.Heap), mib(at.HeapGoal), mib(at.Index), fmt.Sprint(at.Entries)})
	}
	p.table(rows)
	if r.DiskBytesPerNode > 0 {
		p.line("disk after a clean stop: %.0f bytes a node; a clean stop takes %s s", r.DiskBytesPerNode, r.StopSeconds.text())
	}
	if d := r.Durability; d != nil {
		p.line("kill -9 under load, %d times: %d reports acknowledged, %d lost", d.Kills, d.Acknowledged, d.Lost)
	}
	var checks []string
	for _, c := range r.Checked {
		checks = append(checks, fmt.Sprintf("%s %d", c.What, c.Count))
	}
	p.line("agreed with the simulation: %s", strings.Join(checks, ", "))
	return p.err
}

// printer keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// table prints rows, the first of them the head; nothing where there is only the head.
func (p *printer) table(rows [][]string) {
	if len(rows) < 2 {
		return
	}
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell), 3)
		}
	}
	for n, row := range rows {
		for i, cell := range row {
			row[i] = cell + strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
		}
		p.line("| %s |", strings.Join(row, " | "))
		if n == 0 {
			for i := range row {
				row[i] = strings.Repeat("-", width[i])
			}
			p.line("|-%s-|", strings.Join(row, "-|-"))
		}
	}
	p.line("")
}

func (s *Spread) text() string {
	switch {
	case s == nil:
		return ""
	case s.Min == s.Max:
		return short(s.Median)
	}
	return short(s.Median) + " (" + short(s.Min) + "-" + short(s.Max) + ")"
}

// short gives three digits that count.
func short(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func mib(n int64) string { return fmt.Sprintf("%.0f", float64(n)/(1<<20)) }
