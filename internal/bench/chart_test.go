package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDigits(t *testing.T) {
	for v, expected := range map[float64]string{
		0: "0", 1: "1.00", 0.5: "0.500", 9.994: "9.99", 9.996: "10.0", 99.96: "100", 999.6: "1,000", 12_345: "12,300", 1_234_567: "1,230,000",
		0.012345: "0.0123", 0.00009996: "0.000100", -1234.5: "-1,230", -123: "-123", 1e-9: "1.00e-09", 1e15: "1.00e+15",
		math.Inf(1): "–", math.Inf(-1): "–",
	} {
		if got := digits(v); got != expected {
			t.Errorf("%v is written %q, expected %q", v, got, expected)
		}
	}
	if got := digits(math.NaN()); got != "–" {
		t.Errorf("no number is written %q", got)
	}
}

// Whatever an axis is made of, it keeps the order of values and its marks lie on it, few enough to read.
func TestAxis(t *testing.T) {
	for _, values := range [][]float64{
		nil, {0}, {1}, {3}, {10}, {0, 5}, {0.3, 0.31}, {1, 10}, {0.002, 9000}, {1e-9, 1e9}, {2, math.Inf(1)}, {math.NaN(), 4}, {1e-320}, {math.MaxFloat64}, {1e-99, 1e99},
	} {
		for _, decades := range []float64{1, 2} {
			t.Run(fmt.Sprint(values, decades), func(t *testing.T) {
				a := axisOf(values, decades, 100, 500)
				if !(a.low > 0) || a.decades() < decades-1e-6 {
					t.Fatalf("it reaches from %v to %v, expected %v decades or more", a.low, a.high, decades)
				}
				before := a.from
				marks := a.marks()
				if len(marks) < 2 || len(marks) > 12 {
					t.Errorf("%d marks: %v", len(marks), marks)
				}
				for _, m := range marks {
					if at := a.at(m); at < before || at > a.to {
						t.Errorf("the mark %v is at %v, after %v", m, at, before)
					} else {
						before = at
					}
				}
				for _, v := range values {
					at := a.at(v)
					if drawable(v) && math.Abs(math.Log10(a.low)+a.decades()*(at-100)/400-math.Log10(v)) > 1e-6 {
						t.Errorf("%v is at %v of %v to %v", v, at, a.low, a.high)
					} else if at < 100 || at > 500 || math.IsNaN(at) {
						t.Errorf("%v is at %v", v, at)
					}
				}
			})
		}
	}
}

// What is drawn stays inside its drawing.
func TestDrawingsStayInside(t *testing.T) {
	for name, r := range map[string]*Report{
		"made": made(), "large": {Runs: []*Result{madeOf(2000, 1e99), madeOf(20_000, 1e99)}}, "small": {Runs: []*Result{madeOf(2000, 1e-99), madeOf(20_000, 3e-5)}},
	} {
		p := r.page()
		all := p.Growth
		for _, run := range p.Runs {
			all = append(append(all, run.Charts...), run.Latencies...)
		}
		if len(all) == 0 {
			t.Fatalf("%s: nothing is drawn", name)
		}
		for _, d := range all {
			for _, m := range d.Marks {
				if m.X < 0 || m.Y < 0 || m.Width < 0 || m.Height < 0 || m.X+m.Width > d.Width || m.Y+m.Height > d.Height {
					t.Errorf("%s: %s: outside of %v by %v: %+v", name, d.Title, d.Width, d.Height, m)
				}
			}
		}
	}
}

// A chart of many operations is parted into such as fit on a page; each operation is in one of them, in its place.
func TestBarsInParts(t *testing.T) {
	side := &pageSide{Name: "one", Class: "side0"}
	other := &pageSide{Name: "other", Class: "side1"}
	for _, groups := range []int{1, 2, 15, 16, 17, 100, 1000} {
		for _, bars := range [][]bar{
			{{Side: side, At: Spread{3, 2, 4}}},
			{{Side: side, At: Spread{3, 2, 4}}, {Side: other, Note: "refused"}},
			{{Side: side, At: Spread{3, 2, 4}}, {Side: other, At: Spread{7, 7, 7}}, {Side: other}},
		} {
			c := barChart{Title: "chart", Unit: "ms"}
			var expected []string
			for i := range groups {
				c.Groups = append(c.Groups, group{fmt.Sprint("operation ", i), bars})
				expected = append(expected, fmt.Sprint("operation ", i))
			}
			var shown []string
			parts := c.draw()
			for _, d := range parts {
				if d.Height > barsHeight+barScale+4 {
					t.Errorf("%d groups of %d bars: a part is %v high", groups, len(bars), d.Height)
				}
				for _, row := range d.Table.Rows {
					if row[0].Head {
						shown = append(shown, row[0].Text)
					}
				}
				for _, text := range shown[len(shown)-1:] {
					if !drawnText(d, text) {
						t.Errorf("%d groups of %d bars: %q is in the table and not in the drawing", groups, len(bars), text)
					}
				}
			}
			if diff := cmp.Diff(expected, shown); diff != "" {
				t.Errorf("%d groups of %d bars in %d parts (-want +got):\n%s", groups, len(bars), len(parts), diff)
			}
		}
	}
	if parts := (barChart{}).draw(); len(parts) != 0 {
		t.Errorf("a chart of nothing has %d parts", len(parts))
	}
}

func drawnText(d *drawing, text string) bool {
	return slices.ContainsFunc(d.Marks, func(m mark) bool { return m.Text == text })
}

// The longer bar is of the greater value, and one below the line where bars begin lies before it.
func TestBarsByLength(t *testing.T) {
	side := &pageSide{Name: "one"}
	c := barChart{Base: 1, Groups: []group{{"a", []bar{
		{Side: side, At: Spread{0.2, 0.2, 0.2}}, {Side: side, At: Spread{3, 3, 3}}, {Side: side, At: Spread{40, 40, 40}}, {Side: side},
	}}}}
	var bars []mark
	for _, m := range c.draw()[0].Marks {
		if strings.HasPrefix(m.Class, "bar ") {
			bars = append(bars, m)
		}
	}
	if len(bars) != 3 {
		t.Fatalf("%d bars, expected 3: none for what is 0", len(bars))
	}
	base := bars[1].X
	if bars[0].X+bars[0].Width-base > 0.1 || bars[0].Width <= 0 || bars[2].X != base || bars[1].Width >= bars[2].Width {
		t.Errorf("the bars are %+v", bars)
	}
}
