package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"stocktake/internal/inventory"
	"stocktake/internal/wire"
)

// questions measures everything that is asked.
func (r *run) questions(ctx context.Context) error {
	picked := r.pick()
	kinds := r.filterKinds(picked)
	var variants []*variant
	for _, k := range kinds {
		variants = append(variants, k.variants...)
	}
	t := r.scan(picked.common[0], variants)
	if err := r.listings(ctx); err != nil {
		return err
	}
	if err := r.askFilters(ctx, t, kinds); err != nil {
		return err
	}
	begins := kinds[3].variants[0]
	if err := r.walk(ctx, t, begins); err != nil {
		return err
	}
	if err := r.counts(ctx, t, picked.common[0]); err != nil {
		return err
	}
	r.probe, r.probed = kinds[1].variants, t
	return r.remember(ctx, "after the questions")
}

// listings measures the first page of a node's applications.
func (r *run) listings(ctx context.Context) error {
	took := make([]round, r.Rounds)
	choice := rand.New(rand.NewPCG(r.Seed, 1))
	entries := 0
	done := r.Progress("listings", r.Rounds*r.Samples)
	for i := range took {
		for range r.Samples {
			n, err := r.list(ctx, choice.IntN(r.Nodes), &took[i])
			if err != nil {
				return err
			}
			entries += n
			done(1)
		}
	}
	r.operation("ListInventoryEntries, page of 50", took, false)
	r.checked("listings: entries", entries)
	return nil
}

// list asks for the first page of a node's applications and holds it against the simulation. It gives the entries.
func (r *run) list(ctx context.Context, n int, into *round) (int, error) {
	content := r.fleet.Report(n, r.round).Items[2].Content
	body := (&wire.ListInventoryEntriesRequest{InstanceId: string(r.fleet.ID(n)), TypeName: "AWS:Application"}).AppendJSON(nil)
	answer, err := r.ask(ctx, call{"ListInventoryEntries", body}, into)
	if err == nil {
		err = sameEntries(answer, content)
	}
	if err != nil {
		return 0, fmt.Errorf("listing of node %s: %w", r.fleet.ID(n), err)
	}
	return min(len(content), pageNodes), nil
}

func sameEntries(answer []byte, content []inventory.Entry) error {
	var page wire.ListInventoryEntriesResponse
	if err := page.Decode(answer); err != nil {
		return err
	}
	want := content[:min(len(content), pageNodes)]
	if len(page.Entries) != len(want) {
		return fmt.Errorf("wrong answer: %d entries, expected %d", len(page.Entries), len(want))
	}
	for i, e := range page.Entries {
		same := slices.EqualFunc(e, want[i], func(p wire.Pair, a inventory.Attribute) bool { return p.Name == a.Name && p.Value == a.Value })
		if !same {
			return fmt.Errorf("wrong answer: entry %d is %v, expected %v", i, e, want[i])
		}
	}
	return nil
}

// count is a question of counts: its request, and how a row is held against the simulation.
type count struct {
	name    string
	samples int // a round
	request wire.GetInventoryRequest
	columns []string
	// want gives the count a row should have; rows and total are those of the whole answer.
	want        func(values []string) int
	rows, total int
	top         int // the sum of the first page; 0: not known
}

// pageRows is how many rows a page of counts has.
const pageRows = 10_000

// counts measures aggregates: the first page of each, after a change; and all pages once, held against the simulation.
func (r *run) counts(ctx context.Context, t *truth, common string) error {
	for _, q := range r.countKinds(t, common) {
		if err := r.count(ctx, q); err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
	}
	return nil
}

// countKinds gives the questions of counts.
func (r *run) countKinds(t *truth, common string) []count {
	few := max(r.Samples/10, 1)
	platform, name, version := "AWS:InstanceInformation.PlatformName", keyName, keyVersion
	byName := []wire.Aggregator{{Expression: &name}}
	return []count{
		{
			"count by platform", r.Samples,
			wire.GetInventoryRequest{Aggregators: []wire.Aggregator{{Expression: &platform}}},
			[]string{"PlatformName"},
			func(v []string) int { return t.platforms[v[0]] }, len(t.platforms), sum(t.platforms), topOf(t.platforms),
		},
		{
			"count by every application name", few,
			wire.GetInventoryRequest{Aggregators: byName},
			[]string{"Name"},
			func(v []string) int { return t.names[v[0]] }, len(t.names), sum(t.names), topOf(t.names),
		},
		{
			"count by name within a common name", few,
			wire.GetInventoryRequest{Aggregators: byName, Filters: []wire.Filter{filter(keyName, "Equal", common)}},
			[]string{"Name"},
			func(v []string) int { return t.within[v[0]] }, len(t.within), sum(t.within), topOf(t.within),
		},
		{
			"count by name, version, platform", max(few/4, 1),
			wire.GetInventoryRequest{Aggregators: []wire.Aggregator{{
				Expression: &name, Aggregators: []wire.Aggregator{{Expression: &version, Aggregators: []wire.Aggregator{{Expression: &platform}}}},
			}}},
			[]string{"Name", "Version", "PlatformName"},
			func(v []string) int { return t.triples[t.hash(v...)] }, len(t.triples), t.total, 0,
		},
	}
}

func sum(counts map[string]int) int {
	n := 0
	for _, one := range counts {
		n += one
	}
	return n
}

func (r *run) count(ctx context.Context, q count) error {
	first, again, later := make([]round, r.Rounds), make([]round, r.Rounds), make([]round, 1)
	done := r.Progress(q.name, 2*r.Rounds*q.samples)
	body := q.request.AppendJSON(nil)
	for i := range first {
		for range q.samples {
			if err := r.tick(ctx); err != nil {
				return err
			}
			for _, into := range []*round{&first[i], &again[i]} {
				if _, err := r.ask(ctx, call{"GetInventory", body}, into); err != nil {
					return err
				}
				done(1)
			}
		}
	}
	if err := r.countAll(ctx, q, &later[0]); err != nil {
		return err
	}
	r.operation(q.name+", first page", first, false)
	r.operation(q.name+", asked again", again, false)
	if len(later[0].took) > 0 {
		r.operation(q.name+", later pages", later, false)
	}
	r.checked(q.name+": rows", q.rows)
	r.checked("sum", q.total)
	return nil
}

// countAll reads every page and holds every row against the simulation.
func (r *run) countAll(ctx context.Context, q count, later *round) error {
	rows, total, into := 0, 0, new(round)
	for {
		answer, err := r.ask(ctx, call{"GetInventory", q.request.AppendJSON(nil)}, into)
		if err != nil {
			return err
		}
		var page wire.GetInventoryResponse
		if err := page.Decode(answer); err != nil {
			return err
		}
		n, sum, err := q.sum(page)
		if err != nil {
			return err
		}
		rows += n
		total += sum
		if page.NextToken == "" {
			break
		}
		q.request.NextToken, into = page.NextToken, later
	}
	if rows != q.rows || total != q.total {
		return fmt.Errorf("wrong answer: %d rows with a sum of %d, expected %d with %d", rows, total, q.rows, q.total)
	}
	return nil
}

// sum holds a page of rows against the simulation, and counts and sums them up.
func (q *count) sum(page wire.GetInventoryResponse) (rows, total int, err error) {
	for _, e := range page.Entities {
		for _, data := range e.Data {
			for _, row := range data.Content {
				n, err := q.row(row)
				if err != nil {
					return 0, 0, err
				}
				rows++
				total += n
			}
		}
	}
	return rows, total, nil
}

// row holds one row against the simulation and gives its count.
func (q *count) row(row wire.Entry) (int, error) {
	values := make([]string, len(q.columns))
	n := -1
	for _, pair := range row {
		if pair.Name == "Count" {
			n, _ = strconv.Atoi(pair.Value) // no number is no count that is right
		}
		if at := slices.Index(q.columns, pair.Name); at >= 0 {
			values[at] = pair.Value
		}
	}
	if want := q.want(values); n != want || want == 0 {
		return 0, fmt.Errorf("wrong answer: %s is counted %d times, expected %d", strings.Join(values, ", "), n, want)
	}
	return n, nil
}
