package bench

import "math"

// times draws how many times as fast as the others the products are.
func (p *page) times(r *Result) []*drawing {
	c := barChart{
		Title: "How many times as fast as the others",
		About: "Each bar says how many times as fast a product is as the side it names: by rate for reports, by median time for questions, " +
			"compared round by round. The line at 1 is as fast.",
		Unit: "times as fast", After: " times", Base: 1,
	}
	products := 0
	for _, s := range r.Sides {
		if s.Kind == Product {
			products++
		}
	}
	for _, l := range r.Lines {
		g := group{Name: l.Name}
		for _, ratio := range l.Ratios {
			against := p.side(ratio.Against)
			if against == nil || against.Kind == Floor {
				continue
			}
			b := bar{Side: against, Label: "than " + ratio.Against, At: ratio.Times}
			if products > 1 {
				b.Label = ratio.Side + " than " + ratio.Against
			}
			g.Bars = append(g.Bars, b)
		}
		if len(g.Bars) > 0 {
			c.Groups = append(c.Groups, g)
		}
	}
	return c.draw()
}

// groups collects the lines that have a figure on any side.
func (p *page) groups(r *Result, figure func(o *Operation) (b bar, ok bool)) []group {
	var all []group
	for _, l := range r.Lines {
		g, found := group{Name: l.Name}, false
		for i, s := range r.Sides {
			o, refused := l.on(i)
			b := bar{Note: refused}
			if o != nil {
				var ok bool
				if b, ok = figure(o); !ok {
					continue
				}
				found = true
			} else if refused == "" {
				continue
			}
			b.Side = p.side(s.Name)
			g.Bars = append(g.Bars, b)
		}
		if found {
			all = append(all, g)
		}
	}
	return all
}

func (p *page) rates(r *Result) []*drawing {
	return barChart{
		Title: "Reports a second",
		About: "Bars are medians of the rounds, lines across their ends reach from the least to the greatest round. Longer is better.",
		Unit:  "reports a second", After: " a second",
		Groups: p.groups(r, func(o *Operation) (bar, bool) {
			if o.PerSecond == nil {
				return bar{}, false
			}
			return bar{At: *o.PerSecond}, true
		}),
	}.draw()
}

func (p *page) answers(r *Result) []*drawing {
	return barChart{
		Title: "Time to an answer",
		About: "Filled symbols are medians, with a line from the least to the greatest round; hollow ones are the time that 99 % of the requests " +
			"did not exceed. Further left is better.",
		Unit: "ms", After: " ms", Points: true,
		Groups: p.groups(r, func(o *Operation) (bar, bool) { return bar{At: o.P50, Tail: o.P99}, o.PerSecond == nil }),
	}.draw()
}

func (p *page) processor(r *Result) []*drawing {
	return barChart{
		Title: "Processor time a request",
		About: "Time of one core that the server and all processes of its database take for a request, in microseconds: medians of the rounds, " +
			"lines from the least to the greatest round. Shorter is better.",
		Unit: "µs", After: " µs",
		Groups: p.groups(r, func(o *Operation) (bar, bool) {
			if o.CPU == nil {
				return bar{}, false
			}
			return bar{At: *o.CPU}, true
		}),
	}.draw()
}

// tail is where a share of the requests has its place in a chart of latencies. Up to 90 % the axis is even; beyond, 90 to
// 99 % take as much of it as 99 to 99.9 %, for what is slow is rare.
func tail(share float64) float64 {
	const even, slowest = 0.4, 3.5 // of the width; where the slowest request is, 99 % being 2 and 99.9 % 3
	if share <= 0.9 {
		return even * share / 0.9
	}
	return even + (1-even)*(min(-math.Log10(1-share), slowest)-1)/(slowest-1)
}

var tailMarks = []axisMark{{0, "0"}, {0.5, "50"}, {0.9, "90"}, {0.99, "99"}, {0.999, "99.9"}, {1, "all"}}

// latencies draws how long requests took, a chart for each line, all with the same axes.
func (p *page) latencies(r *Result) []*drawing {
	var values []float64
	var charts []curveChart
	for _, l := range r.Lines {
		c := curveChart{
			Title: l.Name,
			About: "The time that a share of the requests did not exceed, by side. Lower is better.",
			Unit:  "ms", Below: "% of requests took at most", Decades: 1, Across: tail, Marks: tailMarks, Table: latencyTable(l.Name),
		}
		for i, s := range r.Sides {
			if o, _ := l.on(i); o != nil {
				one := o.curve(p.side(s.Name))
				for _, at := range one.Points {
					values = append(values, at.Y)
				}
				c.Curves = append(c.Curves, one)
				c.Table.Rows = append(c.Table.Rows, o.latencyRow(p.side(s.Name)))
			}
		}
		charts = append(charts, c)
	}
	var all []*drawing
	for _, c := range charts {
		c.Values = values
		all = append(all, c.draw())
	}
	return all
}

// curve has the times of an operation by the share of requests that did not take longer.
func (o *Operation) curve(s *pageSide) curve {
	c := curve{Side: s}
	put := func(share, ms float64, name string) {
		p := point{X: share, Y: ms, Marked: name != ""}
		if p.Marked {
			p.Tip = s.Name + ", " + name + ": " + digits(ms) + " ms"
		}
		c.Points = append(c.Points, p)
	}
	if len(o.Quantiles) == 0 {
		put(0.5, o.P50.Median, "50 %")
		put(0.9, o.P90, "90 %")
		put(0.99, o.P99, "99 %")
	}
	for i, ms := range o.Quantiles {
		share, name := float64(i+1)/float64(len(o.Quantiles)+1), ""
		if len(o.Quantiles) == 99 && (i == 49 || i == 89 || i == 98) {
			name = whole(i+1) + " %"
		}
		put(share, ms, name)
	}
	put(0.999, o.P999, "99.9 %")
	put(1, o.Max, "the slowest")
	return c
}

var latencyShares = []int{1, 10, 25, 50, 75, 90, 99}

func latencyTable(name string) *grid {
	g := &grid{Caption: name + ": ms that a share of the requests did not exceed", Head: []string{"side"}}
	for _, share := range latencyShares {
		g.Head = append(g.Head, whole(share)+" %")
	}
	g.Head = append(g.Head, "99.9 %", "all")
	return g
}

func (o *Operation) latencyRow(s *pageSide) []cell {
	row := []cell{{Text: s.Name, Head: true, Side: s}}
	for _, share := range latencyShares {
		text := ""
		if len(o.Quantiles) == 99 {
			text = digits(o.Quantiles[share-1])
		} else if share == 50 {
			text = digits(o.P50.Median)
		} else if share == 90 {
			text = digits(o.P90)
		} else if share == 99 {
			text = digits(o.P99)
		}
		row = append(row, number(text))
	}
	return append(row, number(digits(o.P999)), number(digits(o.Max)))
}
