package bench

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"stocktake/internal/wire"
)

const (
	keyName      = "AWS:Application.Name"
	keyVersion   = "AWS:Application.Version"
	keyInstalled = "AWS:Application.InstalledTime"
	// pageNodes is the largest page the API gives.
	pageNodes = 50
	// variety is how many different questions of a kind are asked in turn.
	variety = 8
	// beginning is the day the simulated reports begin: what was installed after it came with a changed report.
	beginning = "2026-01-01T00:00:00Z"
)

// kind is a group of questions that are measured as one operation.
type kind struct {
	name     string
	variants []*variant
}

// names are the packages questions are about, picked by how many nodes have them.
type names struct {
	common []string // most nodes first
	rare   []string // about one node of two thousand, at least one
	base   map[string]string
}

// pick chooses the names, from a look at part of the fleet.
func (r *run) pick() names {
	counts := map[string]int{}
	versions := map[string]string{}
	_, rank := r.sortIDs()
	sample := min(r.Nodes, 2000)
	for n := range sample {
		for name, version := range r.node(n, rank[n]).versions {
			counts[name]++
			if known, ok := versions[name]; !ok || len(version) < len(known) {
				versions[name] = version // the others add a suffix
			}
		}
	}
	all := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return cmp.Or(counts[b]-counts[a], cmp.Compare(a, b)) })
	rare := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return counts[name] > 2 })
	return names{common: all[:min(variety, len(all))], rare: rare[:min(variety, len(rare))], base: versions}
}

// filterKinds gives the questions of filters.
func (r *run) filterKinds(picked names) []kind {
	var equal, rare, same, compare, none, begins, volatile []*variant
	has := func(name string) func(*node) bool {
		return func(v *node) bool { _, ok := v.versions[name]; return ok }
	}
	for _, name := range picked.common {
		base := picked.base[name]
		equal = append(equal, newVariant(has(name), filter(keyName, "Equal", name)))
		same = append(same, newVariant(func(v *node) bool { return v.versions[name] == base+"+u1" },
			filter(keyName, "Equal", name), filter(keyVersion, "Equal", base+"+u1")))
		compare = append(compare, newVariant(func(v *node) bool { return strings.HasPrefix(v.versions[name], base+"+u") },
			filter(keyName, "Equal", name), filter(keyVersion, "GreaterThan", base)))
		none = append(none, newVariant(func(v *node) bool { return !has(name)(v) }, filter(keyName, "NotEqual", name)))
	}
	for _, name := range picked.rare {
		rare = append(rare, newVariant(has(name), filter(keyName, "Equal", name)))
	}
	for _, prefix := range []string{"libg", "libc", "libs", "python3-", "perl", "fonts-", "x11", "zlib"} {
		begins = append(begins, newVariant(func(v *node) bool {
			at, _ := slices.BinarySearch(v.names, prefix)
			return at < len(v.names) && strings.HasPrefix(v.names[at], prefix)
		}, filter(keyName, "BeginWith", prefix)))
	}
	volatile = append(volatile, newVariant(func(v *node) bool { return v.newest > beginning }, filter(keyInstalled, "GreaterThan", beginning)))
	return []kind{
		{"GetInventory, equal, a common name", equal},
		{"GetInventory, equal, a rare name", rare},
		{"GetInventory, name and version in one entry", same},
		{"GetInventory, a name begins with", begins},
		{"GetInventory, version greater than", compare},
		{"GetInventory, no entry equals", none},
		{"GetInventory, installed after, volatile", volatile},
	}
}

func filter(key, operator, value string) wire.Filter {
	return wire.Filter{Key: key, Values: []string{value}, Type: &operator}
}

func newVariant(holds func(*node) bool, filters ...wire.Filter) *variant {
	request := &wire.GetInventoryRequest{Filters: filters}
	body := request.AppendJSON(nil)
	return &variant{name: string(body), call: call{"GetInventory", body}, holds: holds}
}

// askFilters measures the first pages of every kind of question, round by round.
func (r *run) askFilters(ctx context.Context, t *truth, kinds []kind) error {
	took := make([][]round, len(kinds))
	for i := range took {
		took[i] = make([]round, r.Rounds)
	}
	done := r.Progress("questions with filters", r.Rounds*len(kinds)*r.Samples)
	for i := range r.Rounds {
		for k, kind := range kinds {
			for n := range r.Samples {
				if err := r.tick(ctx); err != nil {
					return err
				}
				if err := r.askVariant(ctx, t, kind.variants[n%len(kind.variants)], &took[k][i]); err != nil {
					return err
				}
				done(1)
			}
		}
	}
	for k, kind := range kinds {
		r.operation(kind.name, took[k], false)
		found := 0
		for _, v := range kind.variants {
			found += len(v.want(t))
		}
		r.checked(kind.name+": nodes found", found)
	}
	return nil
}

// askVariant asks for the first page and holds it against the simulation.
func (r *run) askVariant(ctx context.Context, t *truth, v *variant, into *round) error {
	answer, err := r.ask(ctx, v.call, into)
	if err != nil {
		return fmt.Errorf("%s: %w", v.name, err)
	}
	var page wire.GetInventoryResponse
	if err := page.Decode(answer); err != nil {
		return fmt.Errorf("%s: %w", v.name, err)
	}
	want := v.want(t)
	if more := len(want) > pageNodes; more != (page.NextToken != "") {
		return fmt.Errorf("%s: wrong answer: another page: %v, expected %v", v.name, !more, more)
	}
	return sameIDs(v.name, idsOf(page.Entities), want[:min(len(want), pageNodes)])
}

func idsOf(entities []wire.Entity) []string {
	ids := make([]string, len(entities))
	for i := range entities {
		ids[i] = entities[i].Id
	}
	return ids
}

func sameIDs(what string, got, want []string) error {
	if len(got) != len(want) {
		return fmt.Errorf("%s: wrong answer: %d nodes, expected %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			return fmt.Errorf("%s: wrong answer: node %d is %s, expected %s", what, i, got[i], want[i])
		}
	}
	return nil
}

// walk measures all pages of a question that finds most of the fleet. The first page and those after it are apart.
func (r *run) walk(ctx context.Context, t *truth, v *variant) error {
	first, later := make([]round, r.Rounds), make([]round, r.Rounds)
	want := v.want(t)
	done := r.Progress("all pages of a question", r.Rounds*(len(want)/pageNodes+1))
	for i := range r.Rounds {
		if err := r.tick(ctx); err != nil {
			return err
		}
		var got []string
		into, next := &first[i], v.call
		for {
			answer, err := r.ask(ctx, next, into)
			if err != nil {
				return fmt.Errorf("%s: %w", v.name, err)
			}
			var page wire.GetInventoryResponse
			if err := page.Decode(answer); err != nil {
				return fmt.Errorf("%s: %w", v.name, err)
			}
			got = append(got, idsOf(page.Entities)...)
			done(1)
			if page.NextToken == "" {
				break
			}
			next.body = fmt.Appendf(v.call.body[:len(v.call.body)-1:len(v.call.body)-1], `,"NextToken":%q}`, page.NextToken)
			into = &later[i]
		}
		if err := sameIDs(v.name, got, want); err != nil {
			return err
		}
	}
	r.operation("GetInventory, a name begins with libg, first of all pages", first, false)
	if len(later[0].took) > 0 {
		r.operation("GetInventory, a name begins with libg, later pages", later, false)
	}
	r.checked("all pages of a question: nodes", len(want))
	return nil
}

func (r *run) checked(what string, count int) {
	r.result.Checked = append(r.result.Checked, Checked{what, count})
}
