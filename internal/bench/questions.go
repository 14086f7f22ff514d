package bench

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/wire"
)

// patience is how long one kind of question is asked in a round, if once takes no longer.
const patience = 5 * time.Second

// questions measures everything that is asked.
func (b *bench) questions(ctx context.Context) error {
	first := b.runs[0]
	picked := first.pick()
	kinds := first.filterKinds(picked)
	var variants []*variant
	for _, k := range kinds {
		variants = append(variants, k.variants...)
	}
	t := first.scan(picked.common[0], variants)
	if err := b.listings(ctx); err != nil {
		return err
	}
	if err := b.filters(ctx, t, kinds); err != nil {
		return err
	}
	if err := b.walk(ctx, t, kinds[3].variants[0]); err != nil {
		return err
	}
	if err := b.counts(ctx, t, picked.common[0]); err != nil {
		return err
	}
	b.probe, b.probed = kinds[1].variants, t
	if err := b.remember(ctx, "after the questions"); err != nil {
		return err
	}
	return b.underReports(ctx, t, kinds)
}

// patiently asks a question so often, but no more once it took too long.
func (r *run) patiently(ctx context.Context, times int, ask func(n int) error) error {
	began := time.Now()
	for n := range times {
		if n > 0 && time.Since(began) > patience || ctx.Err() != nil {
			return ctx.Err()
		}
		if err := ask(n); err != nil {
			return err
		}
	}
	return nil
}

// listings measures the first page of a node's applications.
func (b *bench) listings(ctx context.Context) error {
	return b.lines([]string{"ListInventoryEntries, page of 50"}, false, everyone, func(r *run, i int, into []round) error {
		choice := rand.New(rand.NewPCG(r.Seed, uint64(i)))
		return r.patiently(ctx, r.Samples, func(int) error {
			n := choice.IntN(r.Nodes)
			return r.list(ctx, n, r.fleet.Report(n, r.round).Items[2].Content, &into[0])
		})
	})
}

// list asks for the first page of a node's applications and holds it against what it reported; nil: against nothing.
func (r *run) list(ctx context.Context, n int, content []inventory.Entry, into *round) error {
	body := (&wire.ListInventoryEntriesRequest{InstanceId: string(r.fleet.ID(n)), TypeName: "AWS:Application"}).AppendJSON(nil)
	answer, err := r.ask(ctx, call{"ListInventoryEntries", body}, into)
	if err == nil && !r.is(Floor) && content != nil {
		err = sameEntries(answer, content)
	}
	if err != nil {
		return fmt.Errorf("listing of node %s: %w", r.fleet.ID(n), err)
	}
	return nil
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

// counts measures aggregates: the first page of each after a change, and the same asked again; and all pages, held against
// the simulation.
func (b *bench) counts(ctx context.Context, t *truth, common string) error {
	for _, q := range b.runs[0].countKinds(t, common) {
		if err := b.count(ctx, q); err != nil {
			return err
		}
		b.checked(q.name+": rows", q.rows)
		b.checked("sum", q.total)
	}
	return nil
}

func (b *bench) count(ctx context.Context, q count) error {
	body := q.request.AppendJSON(nil)
	err := b.lines([]string{q.name + ", first page"}, false, everyone, func(r *run, _ int, into []round) error {
		return r.patiently(ctx, q.samples, func(int) error {
			if err := r.tick(ctx); err != nil {
				return err
			}
			return r.askCount(ctx, q, body, &into[0])
		})
	})
	if err != nil {
		return err
	}
	product := func(r *run) bool { return r.is(Product) }
	err = b.lines([]string{q.name + ", asked again"}, false, product, func(r *run, _ int, into []round) error {
		return r.patiently(ctx, q.samples, func(int) error { return r.askCount(ctx, q, body, &into[0]) })
	})
	if err != nil || q.rows <= pageRows {
		return err
	}
	names := []string{q.name + ", all pages: the first", q.name + ", all pages: later ones"}
	return b.lines(names, false, product, func(r *run, _ int, into []round) error {
		if err := r.tick(ctx); err != nil {
			return err
		}
		return r.countAll(ctx, q, into)
	})
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

// askCount asks for the first page of counts and holds it against the simulation.
func (r *run) askCount(ctx context.Context, q count, body []byte, into *round) error {
	answer, err := r.ask(ctx, call{"GetInventory", body}, into)
	if err != nil || r.is(Floor) {
		return err
	}
	var page wire.GetInventoryResponse
	if err := page.Decode(answer); err != nil {
		return err
	}
	rows, sum, err := q.sum(page)
	if want := min(q.rows, pageRows); err == nil && (rows != want || q.top != 0 && sum != q.top) {
		err = fmt.Errorf("wrong answer: %d rows with a sum of %d, expected %d with %d", rows, sum, want, q.top)
	}
	return err
}

// countAll reads every page and holds every row against the simulation. The first page and those after it are apart.
func (r *run) countAll(ctx context.Context, q count, into []round) error {
	rows, total, page := 0, 0, &into[0]
	for {
		answer, err := r.ask(ctx, call{"GetInventory", q.request.AppendJSON(nil)}, page)
		if err != nil {
			return err
		}
		var p wire.GetInventoryResponse
		if err := p.Decode(answer); err != nil {
			return err
		}
		n, sum, err := q.sum(p)
		if err != nil {
			return err
		}
		rows += n
		total += sum
		if p.NextToken == "" {
			break
		}
		q.request.NextToken, page = p.NextToken, &into[1]
	}
	if rows != q.rows || total != q.total {
		return fmt.Errorf("wrong answer: %d rows with a sum of %d, expected %d with %d", rows, total, q.rows, q.total)
	}
	return nil
}

// topOf is the sum of a first page of counts: of the greatest ones.
func topOf(counts map[string]int) int {
	sum := 0
	all := slices.Sorted(maps.Values(counts))
	for _, n := range all[max(0, len(all)-pageRows):] {
		sum += n
	}
	return sum
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
