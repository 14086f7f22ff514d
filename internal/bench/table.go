package bench

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Table prints the result for people, as tables in Markdown.
func (r *Result) Table(w io.Writer) error {
	p := &printer{w: w}
	r.head(p)
	r.operations(p)
	r.disk(p)
	r.beginnings(p)
	r.memory(p)
	r.rest(p)
	return p.err
}

func (r *Result) head(p *printer) {
	m := r.Machine
	p.line("%s, %d nodes, seed %d, %d reports at a time, %d rounds by turns, a question asked %d times in each",
		r.Date.Format(time.DateTime), r.Nodes, r.Seed, r.Workers, r.Rounds, r.Samples)
	p.line("%s: %d cores, %.1f GiB, Linux %s, %s; load average at the start %s", m.Processor, m.Cores, float64(m.MemoryBytes)/(1<<30), m.Kernel, m.Go, m.Load)
	for _, s := range r.Sides {
		p.line("- %s: %s", s.Name, s.About)
	}
	for _, note := range r.Notes {
		p.line("- %s", note)
	}
	f := r.Floors
	p.line("a full report has %d bytes, one of hashes %d; a bare scan of the former takes %s us, its SHA-256 %s us",
		r.FullBytes, r.HashBytes, f.Scan.text(), f.SHA256.text())
	p.line("4 KiB written and synced: p50 %s ms, p99 %s ms; 64 KiB: %s and %s\n", f.Fsync4.text(), short(f.Fsync4P99), short(f.Fsync64P50), short(f.Fsync64P99))
}

// operations leaves out what the JSON and the page have beside: floors of questions, greatest times, sizes of answers.
func (r *Result) operations(p *printer) {
	rows := [][]string{{"operation", "side", "per second", "p50 ms", "p99 ms", "CPU us", "allocations", "times as fast as"}}
	for _, l := range r.Lines {
		name := l.Name
		for i, o := range l.Sides {
			side := r.Sides[i]
			switch {
			case o != nil && (side.Kind != Floor || o.PerSecond != nil):
				allocations := ""
				if o.Allocations != nil {
					allocations = fmt.Sprintf("%.0f", o.Allocations.Median)
				}
				rows = append(rows, []string{
					name, side.Name, o.PerSecond.text(), o.P50.text(), short(o.P99), o.CPU.text(), allocations, r.against(l, side.Name),
				})
			case o == nil && l.Missing[i] != "":
				rows = append(rows, []string{name, side.Name, "", l.Missing[i], "", "", "", ""})
			default:
				continue
			}
			name = ""
		}
	}
	p.table(rows)
}

// against lists the ratios of one side.
func (r *Result) against(l Line, side string) string {
	var all []string
	for _, other := range r.Sides {
		times := l.ratio(side, other.Name)
		switch {
		case times == nil:
		case other.Kind == Floor:
			all = append(all, fmt.Sprintf("%.0f %% of %s", 100*times.Median, other.Name))
		default:
			all = append(all, other.Name+" "+times.text())
		}
	}
	return strings.Join(all, "; ")
}

// bySide begins a table with a column for each side that is no floor.
func (r *Result) bySide(first string) [][]string {
	head := []string{first}
	for _, s := range r.Sides {
		if s.Kind != Floor {
			head = append(head, s.Name)
		}
	}
	return [][]string{head}
}

func (r *Result) disk(p *printer) {
	rows := r.bySide("bytes a node on disk")
	for _, s := range r.Stored {
		row := []string{s.When}
		for i := range r.Sides {
			if r.Sides[i].Kind == Floor {
				continue
			}
			text := ""
			if s.Bytes[i] > 0 {
				text = fmt.Sprintf("%.0f", s.Bytes[i])
			}
			if s.Feed[i] > 0 {
				text += fmt.Sprintf(", without its feed %.0f", s.Bytes[i]-s.Feed[i])
			}
			row = append(row, text)
		}
		rows = append(rows, row)
	}
	p.table(rows)
}

func (r *Result) beginnings(p *printer) {
	rows := r.bySide("first answer after a start, s (CPU s)")
	for _, b := range r.Starts {
		row := []string{b.Name}
		for i, s := range b.Sides {
			switch {
			case r.Sides[i].Kind == Floor:
			case s == nil:
				row = append(row, "")
			default:
				row = append(row, s.FirstAnswer.text()+" ("+short(s.CPU.Median)+")")
			}
		}
		rows = append(rows, row)
	}
	p.table(rows)
}

func (r *Result) memory(p *printer) {
	rows := [][]string{{"memory, MiB", "side", "peak", "resident", "live heap", "index", "index bytes a node", "entries"}}
	for _, at := range r.Memory {
		rows = append(rows, []string{
			at.When, at.Side, mib(at.Peak), mib(at.Resident), mib(at.Live), mib(at.Index), fmt.Sprint(at.Index / int64(r.Nodes)), fmt.Sprint(at.Entries),
		})
	}
	p.table(rows)
}

func (r *Result) rest(p *printer) {
	for _, s := range r.Steady {
		p.line("%s: %.0f unchanged reports a second, as of a million nodes every half hour, for %.1f s: %.1f %% of one core, p50 %s ms, p99 %s ms",
			s.Side, s.PerSecond, s.Seconds, 100*s.CoreShare, short(s.P50), short(s.P99))
	}
	for _, d := range r.Durability {
		p.line("%s: kill -9 under load, %d times: %d reports acknowledged, %d lost", d.Side, d.Kills, d.Acknowledged, d.Lost)
	}
	var checks []string
	for _, c := range r.Checked {
		checks = append(checks, fmt.Sprintf("%s %d", c.What, c.Count))
	}
	p.line("all sides agreed with the simulation: %s\n", strings.Join(checks, ", "))
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
