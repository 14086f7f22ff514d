package bench

import (
	_ "embed" // of the page's template
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
)

//go:embed page.html
var pageSource string

// page is a report as the template of the page takes it.
type page struct {
	Title    string
	Sides    []*pageSide
	Machines []string
	Ran      *grid
	Runs     []*pageRun
	Growth   []*drawing
	Grown    []*pageSide // who is in them
	drawings int         // numbered so far
}

// pageSide is a server over all runs: it keeps its colour, its letter and its symbol in every chart.
type pageSide struct {
	Name, About string
	Kind        Kind
	Class       string
	Letter      string
	Shape       int
	Legend      *drawing
}

// pageRun is one run.
type pageRun struct {
	ID, Title string
	Sides     []*pageSide
	Charts    []*drawing // across the page
	Latencies []*drawing // one of an operation
	Tables    []*grid
	Agreed    []Checked
	Notes     []string
}

// grid is a table.
type grid struct {
	Caption string
	Head    []string
	Rows    [][]cell
}

type cell struct {
	Text   string
	Below  string // in small letters
	Head   bool   // it names its row
	Number bool
	Span   int // columns it takes; 0 is one
	Down   int // rows it names; 0 is one
	Side   *pageSide
}

func number(text string) cell { return cell{Text: text, Number: true} }

// spreading is a median, with what the rounds reach below it.
func spreading(s *Spread) cell {
	if s == nil {
		return cell{}
	}
	return cell{Text: digits(s.Median), Below: s.reach(), Number: true}
}

// under adds rows that one name stands for.
func (g *grid) under(name string, rows ...[]cell) {
	for i, row := range rows {
		if i == 0 {
			row = append([]cell{{Text: name, Head: true, Down: len(rows)}}, row...)
		}
		g.Rows = append(g.Rows, row)
	}
}

// Numbers tells of each column whether it has numbers.
func (g *grid) Numbers() []bool {
	are := make([]bool, len(g.Head))
	for _, row := range g.Rows {
		for i, one := range row { // a row under a name begins with its second column
			at := i + len(g.Head) - len(row)
			are[max(at, 0)] = are[max(at, 0)] || one.Number
		}
	}
	return are
}

// Page writes the report as one HTML page that needs nothing else: no script, no font, no picture, no network. Its charts
// are SVG, and the figures of each are in a table beside it. It is well-formed XML too. An error is one of the writer's.
func (r *Report) Page(w io.Writer) error {
	shown, err := template.New("page").Funcs(template.FuncMap{"count": whole[int]}).Parse(pageSource)
	if err != nil {
		return err
	}
	return shown.Execute(w, r.page())
}

func (r *Report) page() *page {
	p := &page{Title: "Stocktake benchmark"}
	for i, run := range r.Runs {
		for _, s := range run.Sides {
			p.add(s)
		}
		if about := run.Machine.text(); !slices.Contains(p.Machines, about) {
			p.Machines = append(p.Machines, about)
		}
		if i == 0 {
			p.Title += " of " + whole(run.Nodes) + " nodes"
		}
	}
	if n := len(r.Runs); n > 1 {
		p.Title = "Stocktake benchmark of " + whole(r.Runs[0].Nodes) + " to " + whole(r.Runs[n-1].Nodes) + " nodes"
	}
	p.Ran = ran(r.Runs)
	for i, run := range r.Runs {
		p.Runs = append(p.Runs, p.run(run, "run"+strconv.Itoa(i+1)))
	}
	p.Growth, p.Grown = p.growth(r.Runs), slices.DeleteFunc(slices.Clone(p.Sides), func(s *pageSide) bool { return s.Kind == Floor })
	return p
}

// Colours the page's style has for products and others, and for floors.
const (
	sideColours  = 6
	floorColours = 2
)

// add gives a side its looks, once for all runs.
func (p *page) add(s SideResult) {
	if p.side(s.Name) != nil {
		return
	}
	n, same := len(p.Sides), 0
	for _, other := range p.Sides {
		if (other.Kind == Floor) == (s.Kind == Floor) {
			same++
		}
	}
	class := "side" + strconv.Itoa(same%sideColours)
	if s.Kind == Floor {
		class = "floor" + strconv.Itoa(same%floorColours)
	}
	letter := string(rune('A' + n%26))
	if n >= 26 {
		letter += strconv.Itoa(n / 26)
	}
	added := &pageSide{
		Name: s.Name, About: s.About, Kind: s.Kind, Class: class + " dash" + strconv.Itoa(n%4), Letter: letter, Shape: n % 4,
	}
	added.Legend = added.legend()
	p.Sides = append(p.Sides, added)
}

// side finds a side by its name; nil where no run has it.
func (p *page) side(name string) *pageSide {
	for _, s := range p.Sides {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// legend is how a side looks.
func (s *pageSide) legend() *drawing {
	d := &drawing{Title: s.Letter + ": " + s.Name, Width: 54, Height: 18}
	d.path("curve "+s.Class, "", "M", 2.0, 9.0, "H", 34.0)
	d.symbol(s, "", 18, 9, 4.5, "")
	d.text("letter "+s.Class, 40, 13, s.Letter, "")
	return d
}

// keep numbers the drawings that show something, and leaves out the others.
func (p *page) keep(all ...*drawing) []*drawing {
	var kept []*drawing
	for _, d := range all {
		if d != nil {
			p.drawings++
			d.ID = p.drawings
			kept = append(kept, d)
		}
	}
	return kept
}

func (m *Machine) text() string {
	parts := []string{m.Processor}
	if m.Cores > 0 {
		parts = append(parts, fmt.Sprintf("%d cores", m.Cores))
	}
	if m.MemoryBytes > 0 {
		parts = append(parts, fmt.Sprintf("%.1f GiB of memory", float64(m.MemoryBytes)/(1<<30)))
	}
	if m.Kernel != "" {
		parts = append(parts, "Linux "+m.Kernel)
	}
	parts = append(parts, m.Go)
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), ", ")
}

// ran says of each run what it was.
func ran(runs []*Result) *grid {
	g := &grid{
		Caption: "Runs",
		Head: []string{
			"nodes", "begun (UTC)", "seed", "reports at a time", "rounds", "samples of a question a round", "bytes of a full report",
			"bytes of one of hashes", "load average",
		},
	}
	for _, r := range runs {
		g.Rows = append(g.Rows, []cell{
			{Text: whole(r.Nodes), Head: true, Number: true},
			{Text: r.Date.UTC().Format("2006-01-02 15:04:05")},
			number(strconv.FormatUint(r.Seed, 10)),
			number(whole(r.Workers)), number(whole(r.Rounds)), number(whole(r.Samples)), number(whole(r.FullBytes)), number(whole(r.HashBytes)),
			{Text: r.Machine.Load},
		})
	}
	return g
}

func (p *page) run(r *Result, id string) *pageRun {
	v := &pageRun{ID: id, Title: whole(r.Nodes) + " nodes", Agreed: r.Checked, Notes: r.Notes}
	for _, s := range r.Sides {
		v.Sides = append(v.Sides, p.side(s.Name))
	}
	v.Charts = p.keep(slices.Concat(p.times(r), p.rates(r), p.answers(r), p.processor(r))...)
	v.Latencies = p.keep(p.latencies(r)...)
	for _, g := range p.tables(r) {
		if len(g.Rows) > 0 {
			v.Tables = append(v.Tables, g)
		}
	}
	return v
}

// on is what a line has of a side; nil where it has nothing. Where the side refused, it says why.
func (l *Line) on(side int) (o *Operation, refused string) {
	if side < len(l.Sides) {
		o = l.Sides[side]
	}
	if o == nil && side < len(l.Missing) {
		refused = l.Missing[side]
	}
	return o, refused
}
