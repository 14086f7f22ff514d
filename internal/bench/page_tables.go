package bench

// tables are all figures of a run.
func (p *page) tables(r *Result) []*grid {
	all := []*grid{p.operations(r)}
	for _, s := range r.Sides {
		if s.Kind == Product {
			all = append(all, p.ratios(r, s.Name))
		}
	}
	return append(all, p.stored(r), p.memory(r), p.starts(r), p.steady(r), p.durability(r), leastCosts(r.Floors))
}

func (p *page) operations(r *Result) *grid {
	g := &grid{
		Caption: "Operations",
		Head: []string{
			"operation", "side", "requests", "per second", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "CPU µs", "allocations", "answer bytes",
		},
	}
	for _, l := range r.Lines {
		var rows [][]cell
		for i, s := range r.Sides {
			o, refused := l.on(i)
			if o == nil && refused == "" {
				continue
			}
			row := []cell{{Text: s.Name, Side: p.side(s.Name)}}
			if o == nil {
				rows = append(rows, append(row, cell{Text: refused, Span: len(g.Head) - 2}))
				continue
			}
			rows = append(rows, append(row,
				number(whole(o.Samples)), spreading(o.PerSecond), spreading(&o.P50), number(digits(o.P90)), number(digits(o.P99)),
				number(digits(o.P999)), number(digits(o.Max)), spreading(o.CPU), spreading(o.Allocations), number(whole(o.AnswerBytes)),
			))
		}
		g.under(l.Name, rows...)
	}
	return g
}

// ratios says of a product what it is beside each other side: so many times as fast, or so much of a floor.
func (p *page) ratios(r *Result, product string) *grid {
	g := &grid{Caption: product + ", beside the other sides", Head: []string{"operation"}}
	column := map[string]int{}
	for _, l := range r.Lines {
		for _, ratio := range l.Ratios {
			if _, known := column[ratio.Against]; !known && ratio.Side == product {
				column[ratio.Against] = len(g.Head)
				g.Head = append(g.Head, "against "+ratio.Against)
			}
		}
	}
	for _, l := range r.Lines {
		row, found := make([]cell, len(g.Head)), false
		row[0] = cell{Text: l.Name, Head: true}
		for _, ratio := range l.Ratios {
			if ratio.Side == product {
				row[column[ratio.Against]], found = p.ratio(ratio), true
			}
		}
		if found {
			g.Rows = append(g.Rows, row)
		}
	}
	return g
}

// ratio writes a ratio as what it is: times as fast as another, a share of a floor.
func (p *page) ratio(r Ratio) cell {
	if against := p.side(r.Against); against == nil || against.Kind != Floor {
		return cell{Text: digits(r.Times.Median) + " times", Below: r.Times.reach(), Number: true}
	}
	share := Spread{r.Times.Median * 100, r.Times.Min * 100, r.Times.Max * 100}
	return cell{Text: digits(share.Median) + " % of the floor", Below: share.reach(), Number: true}
}

func (p *page) stored(r *Result) *grid {
	g := &grid{Caption: "Bytes a node on disk", Head: []string{"when"}}
	for _, s := range r.Sides {
		if s.Kind != Floor {
			g.Head = append(g.Head, s.Name)
		}
	}
	for _, s := range r.Stored {
		row := []cell{{Text: s.When, Head: true}}
		for i, side := range r.Sides {
			if side.Kind == Floor {
				continue
			}
			one := number("")
			if i < len(s.Bytes) && s.Bytes[i] != 0 {
				one.Text = digits(s.Bytes[i])
			}
			if i < len(s.Feed) && s.Feed[i] != 0 {
				one.Below = "of them the feed " + digits(s.Feed[i])
			}
			row = append(row, one)
		}
		g.Rows = append(g.Rows, row)
	}
	return g
}

func mebibytes(n int64) string {
	if n == 0 {
		return ""
	}
	return digits(float64(n) / (1 << 20))
}

func (p *page) memory(r *Result) *grid {
	g := &grid{Caption: "Memory, MiB", Head: []string{"side", "when", "peak", "resident", "live heap", "index", "index, bytes a node", "entries"}}
	for _, m := range r.Memory {
		each := ""
		if m.Index > 0 && r.Nodes > 0 {
			each = digits(float64(m.Index) / float64(r.Nodes))
		}
		g.Rows = append(g.Rows, []cell{
			{Text: m.Side, Head: true, Side: p.side(m.Side)},
			{Text: m.When},
			number(mebibytes(m.Peak)), number(mebibytes(m.Resident)), number(mebibytes(m.Live)), number(mebibytes(m.Index)), number(each),
			number(whole(m.Entries)),
		})
	}
	return g
}

func (p *page) starts(r *Result) *grid {
	g := &grid{Caption: "Starts", Head: []string{"start", "side", "first answer, s", "CPU until then, s"}}
	for _, b := range r.Starts {
		var rows [][]cell
		for i, s := range r.Sides {
			if i < len(b.Sides) && b.Sides[i] != nil {
				rows = append(rows, []cell{
					{Text: s.Name, Side: p.side(s.Name)}, spreading(&b.Sides[i].FirstAnswer), spreading(&b.Sides[i].CPU),
				})
			}
		}
		g.under(b.Name, rows...)
	}
	return g
}

func (p *page) steady(r *Result) *grid {
	g := &grid{
		Caption: "A fleet at rest: reports of hashes alone, each sent when it is due",
		Head:    []string{"side", "reports a second", "seconds", "% of one core", "p50 ms from when it was due", "p99 ms"},
	}
	for _, s := range r.Steady {
		g.Rows = append(g.Rows, []cell{
			{Text: s.Side, Head: true, Side: p.side(s.Side)},
			number(digits(s.PerSecond)), number(digits(s.Seconds)), number(digits(s.CoreShare * 100)), number(digits(s.P50)), number(digits(s.P99)),
		})
	}
	return g
}

func (p *page) durability(r *Result) *grid {
	g := &grid{
		Caption: "Reports acknowledged before the process was killed",
		Head:    []string{"side", "kills", "acknowledged", "lost"},
	}
	for _, d := range r.Durability {
		g.Rows = append(g.Rows, []cell{
			{Text: d.Side, Head: true, Side: p.side(d.Side)}, number(whole(d.Kills)), number(whole(d.Acknowledged)), number(whole(d.Lost)),
		})
	}
	return g
}

// leastCosts has what was measured of them: nothing, where nothing was.
func leastCosts(f Floors) *grid {
	g := &grid{Caption: "What parts of the work cost at least", Head: []string{"part", "cost"}}
	for _, part := range []struct {
		name string
		cost Spread
		unit string
	}{
		{"every name and value of a full report's body found, nothing kept", f.Scan, "µs of one core"},
		{"SHA-256 of that body", f.SHA256, "µs of one core"},
		{"4 KiB appended to a file and synced, median", f.Fsync4, "ms"},
		{"4 KiB appended to a file and synced, 99 %", Spread{f.Fsync4P99, f.Fsync4P99, f.Fsync4P99}, "ms"},
		{"64 KiB appended to a file and synced, median", Spread{f.Fsync64P50, f.Fsync64P50, f.Fsync64P50}, "ms"},
		{"64 KiB appended to a file and synced, 99 %", Spread{f.Fsync64P99, f.Fsync64P99, f.Fsync64P99}, "ms"},
	} {
		if part.cost.Median != 0 {
			g.Rows = append(g.Rows, []cell{{Text: part.name, Head: true}, number(part.cost.spread() + " " + part.unit)})
		}
	}
	return g
}
