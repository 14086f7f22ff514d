package bench

import (
	"math"
	"slices"
)

// growth draws cost against the number of nodes, where there are runs of more than one.
func (p *page) growth(runs []*Result) []*drawing {
	runs = slices.Clone(runs)
	slices.SortStableFunc(runs, func(one, other *Result) int { return one.Nodes - other.Nodes })
	if len(runs) < 2 || runs[0].Nodes < 1 || runs[0].Nodes == runs[len(runs)-1].Nodes {
		return nil
	}
	var all []*drawing
	for _, name := range namesOf(runs, func(r *Result) []Line { return r.Lines }, func(l Line) string { return l.Name }) {
		all = append(all, p.operationGrowth(runs, name))
	}
	for _, when := range namesOf(runs, func(r *Result) []Stored { return r.Stored }, func(s Stored) string { return s.When }) {
		all = append(all, p.series(runs, series{title: "Disk a node, " + when, unit: "bytes a node"}, func(r *Result, side int) float64 {
			at := slices.IndexFunc(r.Stored, func(s Stored) bool { return s.When == when })
			if at < 0 || side >= len(r.Stored[at].Bytes) {
				return 0
			}
			return r.Stored[at].Bytes[side]
		}))
	}
	all = append(all,
		p.series(runs, series{title: "Index memory a node", unit: "bytes a node"}, lastMemory(func(m Memory) int64 { return m.Index })),
		p.series(runs, series{title: "Live heap a node", unit: "bytes a node"}, lastMemory(func(m Memory) int64 { return m.Live })),
	)
	for _, name := range namesOf(runs, func(r *Result) []Beginning { return r.Starts }, func(b Beginning) string { return b.Name }) {
		all = append(all, p.series(runs, series{title: "First answer after a start: " + name, unit: "s", guided: true}, func(r *Result, side int) float64 {
			at := slices.IndexFunc(r.Starts, func(b Beginning) bool { return b.Name == name })
			if at < 0 || side >= len(r.Starts[at].Sides) || r.Starts[at].Sides[side] == nil {
				return 0
			}
			return r.Starts[at].Sides[side].FirstAnswer.Median
		}))
	}
	return p.keep(all...)
}

// namesOf collects what things of all runs are called, each name once.
func namesOf[T any](runs []*Result, of func(*Result) []T, name func(T) string) []string {
	var all []string
	for _, r := range runs {
		for _, one := range of(r) {
			if !slices.Contains(all, name(one)) {
				all = append(all, name(one))
			}
		}
	}
	return all
}

// operationGrowth draws what a request costs: processor time for reports, of which many are under way at a time, and the
// median time for questions.
func (p *page) operationGrowth(runs []*Result, name string) *drawing {
	find := func(r *Result, side int) *Operation {
		at := slices.IndexFunc(r.Lines, func(l Line) bool { return l.Name == name })
		if at < 0 {
			return nil
		}
		o, _ := r.Lines[at].on(side)
		return o
	}
	rated, timed := false, false
	for _, r := range runs {
		for i := range r.Sides {
			if o := find(r, i); o != nil && o.PerSecond != nil {
				rated, timed = true, timed || o.CPU != nil
			}
		}
	}
	s := series{title: name + ": median time", unit: "ms", guided: true}
	figure := func(o *Operation) float64 { return o.P50.Median }
	switch {
	case timed:
		s = series{title: name + ": processor time", unit: "µs a report", guided: true}
		figure = func(o *Operation) float64 {
			if o.CPU == nil {
				return 0
			}
			return o.CPU.Median
		}
	case rated:
		s = series{title: name + ": rate", unit: "reports a second"}
		figure = func(o *Operation) float64 {
			if o.PerSecond == nil {
				return 0
			}
			return o.PerSecond.Median
		}
	}
	return p.series(runs, s, func(r *Result, side int) float64 {
		if o := find(r, side); o != nil {
			return figure(o)
		}
		return 0
	})
}

// lastMemory gives a server's memory a node at the last moment when it was known.
func lastMemory(bytes func(Memory) int64) func(r *Result, side int) float64 {
	return func(r *Result, side int) float64 {
		for _, m := range slices.Backward(r.Memory) {
			if m.Side == r.Sides[side].Name && bytes(m) > 0 {
				return float64(bytes(m)) / float64(r.Nodes)
			}
		}
		return 0
	}
}

// series is a figure over the runs.
type series struct {
	title, unit string
	guided      bool // with a line for what grows with the nodes
}

// series draws a figure of products and others against the number of nodes; nil where no side has it in two runs. A figure
// of 0 is one that was not measured.
func (p *page) series(runs []*Result, s series, figure func(r *Result, side int) float64) *drawing {
	c := curveChart{
		Title: s.title, About: s.title + " against the number of nodes, by side.", Unit: s.unit, Below: "nodes", Decades: 2,
		Table: &grid{Caption: s.title + ", " + s.unit, Head: []string{"side"}},
	}
	c.Across, c.Marks = nodesAxis(runs)
	for _, m := range c.Marks {
		c.Table.Head = append(c.Table.Head, m.Text+" nodes")
	}
	for _, side := range p.Sides {
		if side.Kind == Floor {
			continue
		}
		one := curve{Side: side}
		row := make([]cell, len(c.Marks)+1)
		row[0] = cell{Text: side.Name, Head: true, Side: side}
		for _, r := range runs {
			at := slices.IndexFunc(r.Sides, func(of SideResult) bool { return of.Name == side.Name })
			if at < 0 || r.Nodes < 1 || !drawable(figure(r, at)) {
				continue
			}
			v := figure(r, at)
			one.Points = append(one.Points, point{X: float64(r.Nodes), Y: v, Marked: true, Tip: side.Name + ", " + whole(r.Nodes) + " nodes: " + digits(v) + " " + s.unit})
			c.Values = append(c.Values, v)
			row[1+slices.IndexFunc(c.Marks, func(m axisMark) bool { return m.At == float64(r.Nodes) })] = number(digits(v))
		}
		if len(one.Points) > 0 {
			c.Curves, c.Table.Rows = append(c.Curves, one), append(c.Table.Rows, row)
		}
	}
	grows := slices.IndexFunc(c.Curves, func(one curve) bool { return len(one.Points) > 1 })
	if grows < 0 {
		return nil
	}
	if s.guided {
		points := c.Curves[grows].Points
		from, to := points[0], points[len(points)-1]
		c.Guide = []point{from, {X: to.X, Y: from.Y * to.X / from.X}}
	}
	return c.draw()
}

// nodesAxis is a logarithmic axis with a mark for each number of nodes.
func nodesAxis(runs []*Result) (across func(nodes float64) float64, marks []axisMark) {
	least, greatest := float64(runs[0].Nodes), float64(runs[len(runs)-1].Nodes)
	for _, r := range runs {
		if m := (axisMark{float64(r.Nodes), whole(r.Nodes)}); !slices.Contains(marks, m) {
			marks = append(marks, m)
		}
	}
	return func(nodes float64) float64 {
		return 0.05 + 0.9*math.Log(nodes/least)/math.Log(greatest/least)
	}, marks
}
