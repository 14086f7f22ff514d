package bench

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// drawing is a chart as shapes in their places, with its figures as a table; the template of the page writes it as SVG.
type drawing struct {
	ID     int // no other drawing of the page has it
	Title  string
	About  string // in words, for who cannot see it
	Small  bool   // one of many side by side
	Width  place
	Height place
	Marks  []mark
	Table  *grid
}

// mark is a shape of a drawing: a text where Text is set, else a path where Path is, else a rectangle.
type mark struct {
	Class               string
	X, Y, Width, Height place
	Path                string
	Text                string
	Tip                 string // shown when it is pointed at
}

// place is a length in a drawing, written with one digit after the point.
type place float64

func (p place) String() string { return strconv.FormatFloat(math.Round(float64(p)*10)/10, 'f', -1, 64) }

func (d *drawing) rectangle(class string, x, y, width, height float64, tip string) {
	d.Marks = append(d.Marks, mark{Class: class, X: place(x), Y: place(y), Width: place(width), Height: place(height), Tip: tip})
}

func (d *drawing) path(class, tip string, steps ...any) {
	var b strings.Builder
	for _, step := range steps {
		switch step := step.(type) {
		case float64:
			b.WriteString(" " + place(step).String())
		default:
			fmt.Fprint(&b, step)
		}
	}
	d.Marks = append(d.Marks, mark{Class: class, Path: b.String(), Tip: tip})
}

func (d *drawing) text(class string, x, y float64, text, tip string) {
	d.Marks = append(d.Marks, mark{Class: class, X: place(x), Y: place(y), Text: text, Tip: tip})
}

// symbol draws a side's own shape: whoever sees no colours knows it by that.
func (d *drawing) symbol(s *pageSide, class string, x, y, r float64, tip string) {
	class = "symbol " + class + " " + s.Class
	switch s.Shape {
	case 0:
		d.path(class, tip, "M", x-r, y, "a", r, r, 0.0, 1.0, 0.0, 2*r, 0.0, "a", r, r, 0.0, 1.0, 0.0, -2*r, 0.0, "z")
	case 1:
		d.path(class, tip, "M", x-r, y-r, "h", 2*r, "v", 2*r, "h", -2*r, "z")
	case 2:
		d.path(class, tip, "M", x, y-1.3*r, "L", x+1.3*r, y, "L", x, y+1.3*r, "L", x-1.3*r, y, "z")
	default:
		d.path(class, tip, "M", x, y-1.2*r, "L", x+1.2*r, y+r, "L", x-1.2*r, y+r, "z")
	}
}

// axis is a logarithmic scale from low to high, drawn from one place to another.
type axis struct{ low, high, from, to float64 }

// drawable tells whether a value has a place on a logarithmic axis. What is far beyond all that can be measured has none.
func drawable(v float64) bool { return v > 1e-100 && v < 1e100 }

// axisOf makes an axis that has room for all of the values that can be drawn, and is at least so many decades long. It
// begins and ends at 1, 2 or 5 times a power of ten.
func axisOf(values []float64, decades, from, to float64) axis {
	low, high := math.Inf(1), 0.0
	for _, v := range values {
		if drawable(v) {
			low, high = min(low, v), max(high, v)
		}
	}
	if high == 0 {
		low, high = 1, 10
	}
	a := axis{stepBelow(low), stepAbove(high), from, to}
	for a.decades() < decades-1e-9 {
		a.high = stepAbove(a.high * 1.01)
		if a.decades() < decades-1e-9 {
			a.low = stepBelow(a.low * 0.99)
		}
	}
	return a
}

// decades is how long the axis is.
func (a axis) decades() float64 { return math.Log10(a.high / a.low) }

var steps = [...]float64{1, 2, 5, 10}

// stepBelow gives the greatest of the steps up to a value, but for what floating point loses.
func stepBelow(v float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(v)+1e-9))
	found := unit
	for _, s := range steps {
		if s*unit <= v*(1+1e-9) {
			found = s * unit
		}
	}
	return found
}

func stepAbove(v float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(v)+1e-9))
	for _, s := range steps {
		if s*unit >= v*(1-1e-9) {
			return s * unit
		}
	}
	return 10 * unit
}

// at gives the place of a value: an end of the axis for what lies beyond it, the low one for what has no place.
func (a axis) at(v float64) float64 {
	if !drawable(v) {
		return a.from
	}
	share := math.Log10(v/a.low) / a.decades()
	return a.from + (a.to-a.from)*min(max(share, 0), 1)
}

// marks are the values to write along the axis: few enough to read.
func (a axis) marks() []float64 {
	every := max(1, math.Ceil(a.decades()/7))
	inner := steps[:1]
	if a.decades() <= 2.5 {
		inner = steps[:3]
	}
	var at []float64
	for e := math.Floor(math.Log10(a.low) + 1e-9); e <= math.Log10(a.high)+1e-9; e += every {
		for _, s := range inner {
			if v := s * math.Pow(10, e); v >= a.low*(1-1e-9) && v <= a.high*(1+1e-9) {
				at = append(at, v)
			}
		}
	}
	return at
}

// digits writes a number with three digits that count, and its thousands apart.
func digits(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case v == 0:
		return "0"
	case math.Abs(v) >= 1e15 || math.Abs(v) < 1e-6:
		return strconv.FormatFloat(v, 'e', 2, 64)
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'e', 2, 64), 64) // it is a number: it was just written
	after := 2 - int(math.Floor(math.Log10(math.Abs(rounded))+1e-12))
	whole, part, _ := strings.Cut(strconv.FormatFloat(rounded, 'f', max(after, 0), 64), ".")
	if part != "" {
		part = "." + part
	}
	return apart(whole) + part
}

// onAxis writes a number as an axis has it, short: without zeros at its end.
func onAxis(v float64) string {
	if v >= 1e6 && v < 1e15 {
		return onAxis(v/1e6) + " M"
	}
	text := digits(v)
	if strings.Contains(text, ".") && !strings.Contains(text, "e") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// whole writes a count in full.
func whole[N int | int64](n N) string { return apart(strconv.FormatInt(int64(n), 10)) }

// apart puts a comma between the thousands of a whole number.
func apart(number string) string {
	sign, number, found := "-", strings.TrimPrefix(number, "-"), strings.HasPrefix(number, "-")
	if !found {
		sign = ""
	}
	for i := len(number) - 3; i > 0; i -= 3 {
		number = number[:i] + "," + number[i:]
	}
	return sign + number
}

// spread writes a median with the least and the greatest of the rounds, where they are not the same.
func (s *Spread) spread() string {
	switch {
	case s == nil:
		return ""
	case digits(s.Min) == digits(s.Max):
		return digits(s.Median)
	}
	return digits(s.Median) + " (" + s.reach() + ")"
}

// reach writes the least and the greatest, nothing where they are the same.
func (s *Spread) reach() string {
	if s == nil || digits(s.Min) == digits(s.Max) {
		return ""
	}
	return digits(s.Min) + "–" + digits(s.Max)
}

// letters is about how wide a text of a chart is.
func letters(text string) float64 {
	return float64(utf8.RuneCountInString(text)) * letterWidth
}

const letterWidth = 6.7 // at the 12 pixels that labels have

// shortened cuts a text to about a width.
func shortened(text string, width float64) string {
	runes := []rune(text)
	if room := int(width / letterWidth); len(runes) > room && room > 1 {
		return string(runes[:room-1]) + "…"
	}
	return text
}
