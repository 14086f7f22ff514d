package bench

import (
	"fmt"
	"math"
)

// group is what belongs together in a chart of bars: one operation.
type group struct {
	Name string
	Bars []bar
}

// bar is one figure of a group. With a Tail it is drawn as two points: the median and the 99th percentile.
type bar struct {
	Side  *pageSide
	Label string // beside it; the name of the side where it is empty
	At    Spread
	Tail  float64
	Note  string // instead of a figure: why there is none
}

// barChart says what a chart of bars shows.
type barChart struct {
	Title, About string
	Unit         string  // of the axis, and of the table's columns
	After        string  // what follows a figure beside its bar
	Base         float64 // where bars begin; 0 is the low end of the axis
	Points       bool    // points for median and 99th percentile, instead of bars
	Groups       []group
}

const (
	barsWidth  = 960.0
	barRow     = 19.0
	barHead    = 24.0   // of a group: its name
	barGap     = 6.0    // between groups
	barScale   = 30.0   // below all: the numbers of the axis
	barsHeight = 1100.0 // fits on a printed page
)

// draw gives the chart, in as many parts of the same axis as are no higher than a printed page; none where it would be
// empty.
func (c barChart) draw() []*drawing {
	var values []float64
	gutter, last := 60.0, max(60, letters(c.Unit)+36)
	flat := c.flat()
	for _, g := range c.Groups {
		if flat {
			gutter = max(gutter, letters(g.Name)+14)
		}
		for _, b := range g.Bars {
			values = append(values, b.At.Median, b.At.Min, b.At.Max, b.Tail)
			gutter = max(gutter, letters(b.label())+14)
			last = max(last, letters(c.figure(b))+16)
		}
	}
	if c.Base > 0 {
		values = append(values, c.Base)
	} else {
		values = append(values, 0.6*least(values)) // so that the shortest bar is seen
	}
	if flat {
		c.About += " Every row: " + c.Groups[0].Bars[0].label() + "."
	}
	a := axisOf(values, 1, min(gutter, 420), barsWidth-min(last, 260))
	var all []*drawing
	parts := c.parts(flat)
	for i, groups := range parts {
		part := c
		part.Groups = groups
		if len(parts) > 1 {
			part.Title += fmt.Sprintf(" (%d of %d)", i+1, len(parts))
		}
		all = append(all, part.part(a, flat))
	}
	return all
}

// flat tells whether there is but one bar in each group, all of the same: they need no line for the name of the group.
func (c barChart) flat() bool {
	for _, g := range c.Groups {
		if len(g.Bars) != 1 || g.Bars[0].label() != c.Groups[0].Bars[0].label() {
			return false
		}
	}
	return len(c.Groups) > 0
}

// parts shares the groups out among drawings of about the same height.
func (c barChart) parts(flat bool) [][]group {
	sum := 0.0
	for _, g := range c.Groups {
		sum += g.height(flat)
	}
	most := sum / math.Ceil(sum/barsHeight)
	var parts [][]group
	height := 0.0
	for _, g := range c.Groups {
		if len(parts) == 0 || height >= most-1e-6 || height+g.height(flat) > barsHeight {
			parts, height = append(parts, nil), 0
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], g)
		height += g.height(flat)
	}
	return parts
}

func (g group) height(flat bool) float64 {
	if flat {
		return barRow
	}
	return barHead + float64(len(g.Bars))*barRow + barGap
}

// part draws some of the groups.
func (c barChart) part(a axis, flat bool) *drawing {
	height := barScale + 4
	for _, g := range c.Groups {
		height += g.height(flat)
	}
	d := &drawing{Title: c.Title, About: c.About, Width: barsWidth, Height: place(height), Table: c.table()}
	for _, v := range a.marks() {
		d.path("rule", "", "M", a.at(v), 4.0, "V", height-barScale+2)
		d.text("tick middle", a.at(v), height-14, onAxis(v), "")
	}
	d.text("tick end", barsWidth-4, height-14, c.Unit, "")
	if c.Base > 0 {
		d.path("base", "", "M", a.at(c.Base), 4.0, "V", height-barScale+2)
	}
	y := 4.0
	for _, g := range c.Groups {
		if !flat {
			d.text("group", 0, y+17, g.Name, "")
		}
		for i, b := range g.Bars {
			name := g.Name + ", " + b.label()
			if flat {
				b.Label = g.Name
				c.row(d, a, name, b, y)
			} else {
				c.row(d, a, name, b, y+barHead+float64(i)*barRow)
			}
		}
		y += g.height(flat)
	}
	return d
}

func (b bar) label() string {
	if b.Label != "" {
		return b.Label
	}
	return b.Side.Name
}

// figure is what stands at the end of a bar.
func (c barChart) figure(b bar) string {
	switch {
	case b.Note != "":
		return b.Note
	case c.Points:
		return digits(b.At.Median) + " · " + digits(b.Tail) + c.After
	}
	return b.At.spread() + c.After
}

func (c barChart) row(d *drawing, a axis, name string, b bar, y float64) {
	middle := y + barRow/2 - 1
	tip := name + ": " + c.figure(b)
	d.text("label end", a.from-8, middle+4, shortened(b.label(), a.from-10), tip)
	if b.Note != "" {
		d.text("note", a.from+6, middle+4, shortened(b.Note, barsWidth-a.from), tip)
		return
	}
	end := a.from
	if drawable(b.At.Median) {
		end = c.shape(d, a, b, middle, tip)
	}
	d.text("figure", end+8, middle+4, c.figure(b), "")
}

// shape draws the bar or the points, and gives where they end.
func (c barChart) shape(d *drawing, a axis, b bar, middle float64, tip string) float64 {
	base, at := a.from, a.at(b.At.Median)
	if c.Base > 0 {
		base = a.at(c.Base)
	}
	end := max(base, at)
	if c.Points {
		end = at
		if drawable(b.Tail) {
			end = max(at, a.at(b.Tail))
			d.path("range "+b.Side.Class, "", "M", at, middle, "H", a.at(b.Tail))
		}
	} else {
		d.rectangle("bar "+b.Side.Class, min(base, at), middle-6, math.Abs(at-base), 12, tip)
	}
	if b.At.Min != b.At.Max && drawable(b.At.Min) && drawable(b.At.Max) {
		from, to := a.at(b.At.Min), a.at(b.At.Max)
		d.path("whisker", "", "M", from, middle, "H", to, "M", from, middle-4, "v", 8.0, "M", to, middle-4, "v", 8.0)
		end = max(end, to)
	}
	if c.Points {
		d.symbol(b.Side, "", at, middle, 4.5, tip)
		if drawable(b.Tail) {
			d.symbol(b.Side, "hollow", a.at(b.Tail), middle, 4.5, tip)
		}
	}
	return end
}

// table has the figures of the chart.
func (c barChart) table() *grid {
	g := &grid{Caption: c.Title + ": figures", Head: []string{"operation", "side", "median, " + c.Unit, "least round", "greatest round"}}
	if c.Points {
		g.Head = append(g.Head, "99 %")
	}
	for _, one := range c.Groups {
		var rows [][]cell
		for _, b := range one.Bars {
			row := []cell{{Text: b.label(), Side: b.Side}}
			if b.Note != "" {
				rows = append(rows, append(row, cell{Text: b.Note, Span: len(g.Head) - 2}))
				continue
			}
			row = append(row, number(digits(b.At.Median)), number(digits(b.At.Min)), number(digits(b.At.Max)))
			if c.Points {
				row = append(row, number(digits(b.Tail)))
			}
			rows = append(rows, row)
		}
		g.under(one.Name, rows...)
	}
	return g
}

// least gives the smallest value that can be drawn, 0 where there is none.
func least(values []float64) float64 {
	found := 0.0
	for _, v := range values {
		if drawable(v) && (found == 0 || v < found) {
			found = v
		}
	}
	return found
}
