package bench

import (
	"cmp"
	"math"
	"slices"
)

// curve is one side in a chart of curves.
type curve struct {
	Side   *pageSide
	Points []point
}

type point struct {
	X, Y   float64
	Marked bool   // it has the side's symbol
	Tip    string // what it says when pointed at
}

// curveChart says what a chart of curves shows. Its vertical axis is logarithmic, and has room for Values.
type curveChart struct {
	Title, About string
	Unit         string  // of the vertical axis
	Below        string  // what the horizontal axis is
	Decades      float64 // the vertical axis has at least so many
	Values       []float64
	Across       func(x float64) float64 // the share of the width where something is
	Marks        []axisMark
	Guide        []point // a line to compare slopes with; none where it is empty
	Curves       []curve
	Table        *grid
}

type axisMark struct {
	At   float64
	Text string
}

const (
	curvesWidth, curvesHeight                        = 340.0, 250.0
	curvesLeft, curvesRight, curvesTop, curvesBottom = 56.0, 24.0, 22.0, 42.0
)

// draw gives the chart; nil where it would be empty.
func (c curveChart) draw() *drawing {
	if !slices.ContainsFunc(c.Curves, func(one curve) bool {
		return slices.ContainsFunc(one.Points, func(p point) bool { return drawable(p.Y) })
	}) {
		return nil
	}
	d := &drawing{Title: c.Title, About: c.About, Small: true, Width: curvesWidth, Height: curvesHeight, Table: c.Table}
	a := axisOf(c.Values, c.Decades, curvesHeight-curvesBottom, curvesTop)
	right := curvesWidth - curvesRight
	for _, v := range a.marks() {
		d.path("rule", "", "M", curvesLeft, a.at(v), "H", right)
		d.text("tick end", curvesLeft-6, a.at(v)+4, onAxis(v), "")
	}
	for _, m := range c.Marks {
		x := c.across(m.At)
		d.path("rule", "", "M", x, curvesTop, "V", curvesHeight-curvesBottom)
		d.text("tick middle", x, curvesHeight-curvesBottom+15, m.Text, "")
	}
	d.text("tick", 4, 12, c.Unit, "")
	d.text("tick middle", (curvesLeft+right)/2, curvesHeight-8, c.Below, "")
	if len(c.Guide) == 2 {
		c.guide(d, a)
	}
	for _, one := range c.Curves {
		c.line(d, a, one)
	}
	c.names(d, a)
	return d
}

func (c curveChart) across(x float64) float64 {
	return curvesLeft + (curvesWidth-curvesRight-curvesLeft)*min(max(c.Across(x), 0), 1)
}

// guide draws the line to compare slopes with, as far as it stays inside.
func (c curveChart) guide(d *drawing, a axis) {
	from, to := c.Guide[0], c.Guide[1]
	if to.Y > a.high { // both axes are logarithmic
		share := math.Log(a.high/from.Y) / math.Log(to.Y/from.Y)
		to = point{X: from.X * math.Pow(to.X/from.X, share), Y: a.high}
	}
	d.path("guide", "in proportion to the nodes", "M", c.across(from.X), a.at(from.Y), "L", c.across(to.X), a.at(to.Y))
}

func (c curveChart) line(d *drawing, a axis, one curve) {
	var steps []any
	letter := "M"
	for _, p := range one.Points {
		if drawable(p.Y) {
			steps = append(steps, letter, c.across(p.X), a.at(p.Y))
			letter = "L"
		}
	}
	if len(steps) > 3 {
		d.path("curve "+one.Side.Class, one.Side.Name, steps...)
	}
	for _, p := range one.Points {
		if p.Marked && drawable(p.Y) {
			d.symbol(one.Side, "", c.across(p.X), a.at(p.Y), 3.2, p.Tip)
		}
	}
}

// names writes each side's letter at the end of its curve, none over another.
func (c curveChart) names(d *drawing, a axis) {
	type name struct {
		side *pageSide
		x, y float64
	}
	var all []name
	for _, one := range c.Curves {
		for _, p := range slices.Backward(one.Points) {
			if drawable(p.Y) {
				all = append(all, name{one.Side, c.across(p.X) + 8, a.at(p.Y)})
				break
			}
		}
	}
	slices.SortStableFunc(all, func(one, other name) int { return cmp.Compare(one.y, other.y) })
	const apart = 12.0
	for i := range all {
		if i > 0 {
			all[i].y = max(all[i].y, all[i-1].y+apart)
		}
	}
	for i, lowest := len(all)-1, curvesHeight-curvesBottom; i >= 0; i, lowest = i-1, all[i].y-apart {
		all[i].y = min(all[i].y, lowest)
	}
	for _, n := range all {
		d.text("letter "+n.side.Class, n.x, n.y+4, n.side.Letter, n.side.Name)
	}
}
