package bench

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Table prints the comparison for people, as tables in Markdown.
func (c *Comparison) Table(w io.Writer) error {
	m := c.Machine
	p := &printer{w: w}
	p.line("%s, %d nodes, seed %d, %d reports at a time, %d rounds by turns", c.Date.Format(time.DateTime), c.Nodes, c.Seed, c.Workers, c.Rounds)
	p.line("%s: %d cores, %.1f GiB, Linux %s, %s; load average at the start %s", m.Processor, m.Cores, float64(m.MemoryBytes)/(1<<30), m.Kernel, m.Go, m.Load)
	p.line("a full report has %d bytes, one of hashes %d; CPU is of the server and of all processes of its database", c.FullBytes, c.HashBytes)
	p.line("times: how many times as fast as %s, by round\n", c.Sides[0])
	rows := [][]string{{"operation", "side", "requests", "per second", "p50 ms", "p99 ms", "max ms", "CPU us", "times"}}
	for _, l := range c.Lines {
		for i, o := range l.Sides {
			name, times := l.Name, ""
			if i > 0 {
				name, times = "", l.Times[i].text()
			}
			rows = append(rows, []string{
				name, c.Sides[i], fmt.Sprint(o.Samples), o.PerSecond.text(), o.P50.text(), short(o.P99), short(o.Max), o.CPU.text(), times,
			})
		}
	}
	p.table(rows)
	head := append([]string{"bytes a node on disk"}, c.Sides...)
	rows = [][]string{head}
	for _, s := range c.Stored {
		row := []string{s.When}
		for i, bytes := range s.Bytes {
			text := fmt.Sprintf("%.0f", bytes)
			if i > 0 && s.Bytes[0] > 0 {
				text += fmt.Sprintf(" (%.2f)", bytes/s.Bytes[0])
			}
			row = append(row, text)
		}
		rows = append(rows, row)
	}
	p.table(rows)
	rows = [][]string{append([]string{"first answer after a start, s"}, c.Sides...)}
	for _, b := range c.Began {
		row := []string{b.Name}
		for _, s := range b.Sides {
			text := ""
			if s != nil {
				text = s.FirstAnswer.text()
			}
			row = append(row, text)
		}
		rows = append(rows, row)
	}
	p.table(rows)
	var checks []string
	for _, one := range c.Checked {
		checks = append(checks, fmt.Sprintf("%s %d", one.What, one.Count))
	}
	p.line("all sides agreed with the simulation: %s", strings.Join(checks, ", "))
	return p.err
}
