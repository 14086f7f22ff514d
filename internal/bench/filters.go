package bench

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

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
	// stable: no later report changes which nodes are found.
	stable bool
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
	var equal, rare, same, compare, none, begins, seldom, volatile []*variant
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
		begins = append(begins, newVariant(beginsWith(prefix), filter(keyName, "BeginWith", prefix)))
	}
	for _, name := range picked.rare {
		prefix := name[:max(1, len(name)-1)]
		seldom = append(seldom, newVariant(beginsWith(prefix), filter(keyName, "BeginWith", prefix)))
	}
	volatile = append(volatile, newVariant(func(v *node) bool { return v.newest > beginning }, filter(keyInstalled, "GreaterThan", beginning)))
	return []kind{
		{"GetInventory, equal, a common name", equal, true},
		{"GetInventory, equal, a rare name", rare, true},
		{"GetInventory, name and version in one entry", same, false},
		{"GetInventory, a name begins with", begins, true},
		{"GetInventory, a rare name begins with", seldom, true},
		{"GetInventory, version greater than", compare, false},
		{"GetInventory, no entry equals", none, true},
		{"GetInventory, installed after, volatile", volatile, false},
	}
}

func beginsWith(prefix string) func(*node) bool {
	return func(v *node) bool {
		at, _ := slices.BinarySearch(v.names, prefix)
		return at < len(v.names) && strings.HasPrefix(v.names[at], prefix)
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

// filters measures the first page of every kind of question.
func (b *bench) filters(ctx context.Context, t *truth, kinds []kind) error {
	for _, k := range kinds {
		err := b.lines([]string{k.name}, false, everyone, func(r *run, _ int, into []round) error {
			return r.patiently(ctx, r.Samples, func(n int) error {
				if err := r.tick(ctx); err != nil {
					return err
				}
				return r.askVariant(ctx, t, k.variants[n%len(k.variants)], &into[0])
			})
		})
		if err != nil {
			return err
		}
		found := 0
		for _, v := range k.variants {
			found += len(v.want(t))
		}
		b.checked(k.name+": nodes found", found)
	}
	return nil
}

// askVariant asks for the first page and holds it against the simulation.
func (r *run) askVariant(ctx context.Context, t *truth, v *variant, into *round) error {
	answer, err := r.ask(ctx, v.call, into)
	if err != nil {
		return fmt.Errorf("%s: %w", v.name, err)
	}
	if r.is(Floor) {
		return nil
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
func (b *bench) walk(ctx context.Context, t *truth, v *variant) error {
	want := v.want(t)
	names := []string{"GetInventory, a name begins with libg, all pages: the first", "GetInventory, a name begins with libg, all pages: later ones"}
	err := b.lines(names, false, answers, func(r *run, _ int, into []round) error {
		if err := r.tick(ctx); err != nil {
			return err
		}
		return r.walk(ctx, v, want, into)
	})
	b.checked("all pages of a question: nodes", len(want))
	return err
}

// walk reads all pages, of another server as many as patience allows.
func (r *run) walk(ctx context.Context, v *variant, want []string, into []round) error {
	began := time.Now()
	var got []string
	page, next := &into[0], v.call
	for {
		answer, err := r.ask(ctx, next, page)
		if err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
		var p wire.GetInventoryResponse
		if err := p.Decode(answer); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
		got = append(got, idsOf(p.Entities)...)
		if p.NextToken == "" {
			break
		}
		if r.is(Other) && time.Since(began) > patience {
			want = want[:min(len(got), len(want))]
			break
		}
		next.body = fmt.Appendf(v.call.body[:len(v.call.body)-1:len(v.call.body)-1], `,"NextToken":%q}`, p.NextToken)
		page = &into[1]
	}
	return sameIDs(v.name, got, want)
}
