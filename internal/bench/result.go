package bench

import (
	"math"
	"slices"
	"time"
)

// Report is what one command measured: a run for each size of fleet, the smallest first.
type Report struct{ Runs []*Result }

// Result is what a run found. Times are of the wall clock unless they say CPU; CPU is that of the server under test and of
// all processes of its database, never of the clients.
type Result struct {
	Date    time.Time
	Nodes   int
	Seed    uint64
	Workers int // reports at a time
	Rounds  int
	Samples int // of a question in a round
	Machine Machine
	// FullBytes and HashBytes are what the bodies of reports have on average, in full and as hashes alone.
	FullBytes, HashBytes int
	Sides                []SideResult
	Floors               Floors
	Lines                []Line
	Stored               []Stored
	Starts               []Beginning
	Memory               []Memory
	Steady               []Steady
	Durability           []Durability
	Checked              []Checked // what every side was held against: numbers of the simulation
	Notes                []string  // what was left out, and why
}

// Kind says what a side is measured for.
type Kind string

const (
	// Product is the service.
	Product Kind = "product"
	// Other is another server of the same API, which the product is compared with.
	Other Kind = "other"
	// Floor is a server that reads a request and answers with as many bytes as the product did, and nothing true.
	Floor Kind = "floor"
)

// SideResult is one server of the run.
type SideResult struct {
	Name string
	Kind Kind
	// About says in words what it is, and how it makes durable what it acknowledges.
	About string
}

// Line is one kind of request, by side in the order of Result.Sides.
type Line struct {
	Name string
	// Sides are what each took; nil where a side has no part in it. Missing says why, where it refused.
	Sides   []*Operation
	Missing []string
	// Ratios compare each product with each other side.
	Ratios []Ratio
}

// Ratio says how many times as fast as another side a product was, round by round: by rate where there is one, else by the
// median time. Against a floor that is the share of it that was reached.
type Ratio struct {
	Side, Against string
	Times         Spread
}

// Operation is one kind of request on one side.
type Operation struct {
	Samples int
	// PerSecond is the rate of reports, by round; nil for questions, which are asked one after the other.
	PerSecond *Spread `json:",omitempty"`
	// P50 to Max are milliseconds of one request, P50 by round, the others over all rounds.
	P50            Spread
	P90, P99, P999 float64
	Max            float64
	// Quantiles are the milliseconds that 1 %, 2 %, ... 99 % of the requests did not exceed.
	Quantiles   []float64
	CPU         *Spread `json:",omitempty"` // microseconds a request, by round
	Allocations *Spread `json:",omitempty"` // objects the server allocates on its heap for a request, by round
	AnswerBytes int     // on average
	// ByRound is what PerSecond, or else P50, is the spread of.
	ByRound []float64
}

// Floors are what parts of the work cost at least, measured alone between the rounds: for a full report's body in
// microseconds of one core, for a write to the disk of the data folder in milliseconds.
type Floors struct {
	Scan   Spread // every name and value of the body found, nothing kept
	SHA256 Spread // of the body, as a signature needs it
	Fsync4 Spread // 4 KiB appended to a file and synced: the median of a round
	// Fsync4P99 and the two of 64 KiB are of all rounds together.
	Fsync4P99, Fsync64P50, Fsync64P99 float64
}

// Stored is bytes a node, by side; 0 where it is not known.
type Stored struct {
	When  string
	Bytes []float64
	// Feed is how many of them the feed of changes takes.
	Feed []float64
}

// Beginning is one way to start, by side; nil where a side has none.
type Beginning struct {
	Name  string
	Sides []*Start
}

// Start is how soon a server answers.
type Start struct {
	// FirstAnswer is seconds from the start of the process to the first answer to a question; CPU until then.
	FirstAnswer Spread
	CPU         Spread
}

// Memory is a server's memory at one moment, in bytes.
type Memory struct {
	Side, When     string
	Peak, Resident int64 // as the kernel counts it
	Live           int64 // on the heap, after the newest collection
	Index          int64 // as the server estimates it
	Entries        int64
}

// Steady is a fleet that reports hashes alone at a fixed rate, every report sent when it is due.
type Steady struct {
	Side      string
	PerSecond float64
	Seconds   float64
	CoreShare float64 // of one core, by the server
	P50, P99  float64 // milliseconds from when a report was due to its answer
}

// Durability tells of reports acknowledged just before the process was killed.
type Durability struct {
	Side                      string
	Kills, Acknowledged, Lost int
}

// Checked is a number that the servers and the simulation agree on.
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
	// Rounds are few: of an even number of them neither of the two in the middle is better than the other.
	middle := (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
	return Spread{Median: middle, Min: sorted[0], Max: sorted[len(sorted)-1]}
}

// quantile gives the smallest value that at least a share q of the sorted values do not exceed.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(at, 0), len(sorted)-1)]
}

// compare fills in the ratios of a line.
func (l *Line) compare(sides []SideResult) {
	for i, product := range sides {
		if product.Kind != Product || l.Sides[i] == nil {
			continue
		}
		for j, other := range sides {
			if i != j && l.Sides[j] != nil {
				l.Ratios = append(l.Ratios, Ratio{product.Name, other.Name, timesAs(l.Sides[j], l.Sides[i])})
			}
		}
	}
}

// ratio gives the ratio of two sides by name, nil where it was not measured.
func (l *Line) ratio(side, against string) *Spread {
	for i := range l.Ratios {
		if r := &l.Ratios[i]; r.Side == side && r.Against == against {
			return &r.Times
		}
	}
	return nil
}

// timesAs says how many times as fast as one operation another is, round by round as far as both went.
func timesAs(one, other *Operation) Spread {
	var times []float64
	for i := range min(len(one.ByRound), len(other.ByRound)) {
		if other.PerSecond != nil {
			times = append(times, other.ByRound[i]/one.ByRound[i])
		} else {
			times = append(times, one.ByRound[i]/other.ByRound[i])
		}
	}
	return spreadOf(times)
}
