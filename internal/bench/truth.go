package bench

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"sync"

	"stocktake/internal/inventory"
)

// truth is what a plain scan of the simulated fleet says. Text is folded as answers are: to lower case.
type truth struct {
	ids       []string // of all nodes, sorted
	platforms map[string]int
	names     map[string]int
	within    map[string]int // names on the nodes that hold the first of the common names
	triples   map[uint64]int // name, version and platform, hashed
	total     int            // the sum over triples
	hash      func(parts ...string) uint64
}

func newTruth() *truth {
	return &truth{platforms: map[string]int{}, names: map[string]int{}, within: map[string]int{}, triples: map[uint64]int{}}
}

func (t *truth) add(v *node, common string) {
	t.platforms[v.platform]++
	_, inside := v.versions[common]
	for name, version := range v.versions {
		t.names[name]++
		t.triples[t.hash(name, version, v.platform)]++
		if inside {
			t.within[name]++
		}
	}
}

func (t *truth) merge(o *truth) {
	for _, pair := range [][2]map[string]int{{t.platforms, o.platforms}, {t.names, o.names}, {t.within, o.within}} {
		for key, n := range pair[1] {
			pair[0][key] += n
		}
	}
	for key, n := range o.triples {
		t.triples[key] += n
	}
}

// node is one node as the scan sees it.
type node struct {
	rank     int // of its id
	platform string
	versions map[string]string // of each package
	names    []string          // sorted
	newest   string            // installation
}

// variant is a question of filters with the nodes it should find, by the rank of their ids.
type variant struct {
	name  string // for messages
	call  call
	holds func(*node) bool
	found []bool
}

// want gives the ids the variant should find, sorted.
func (v *variant) want(t *truth) []string {
	var ids []string
	for rank, found := range v.found {
		if found {
			ids = append(ids, t.ids[rank])
		}
	}
	return ids
}

// sortIDs gives the ids of all nodes sorted, and each node's rank among them.
func (r *run) sortIDs() (ids []string, rank []int) {
	order := make([]int, r.Nodes)
	names := make([]string, r.Nodes)
	for n := range order {
		order[n], names[n] = n, string(r.fleet.ID(n))
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(names[a], names[b]) })
	ids, rank = make([]string, r.Nodes), make([]int, r.Nodes)
	for at, n := range order {
		ids[at], rank[n] = names[n], at
	}
	return ids, rank
}

// node reads one node's report of the newest round.
func (r *run) node(n, rank int) *node {
	v := &node{rank: rank, versions: map[string]string{}}
	for _, item := range r.fleet.Report(n, r.round).Items {
		for _, e := range item.Content {
			switch item.Type {
			case inventory.TypeInstanceInformation:
				platform, _ := e.Get("PlatformName")
				v.platform = strings.ToLower(platform)
			case "AWS:Application":
				name, _ := e.Get("Name")
				version, _ := e.Get("Version")
				installed, _ := e.Get("InstalledTime")
				name = strings.ToLower(name)
				v.versions[name] = strings.ToLower(version)
				v.names = append(v.names, name)
				v.newest = max(v.newest, installed)
			}
		}
	}
	return v
}

// scan counts the whole fleet, and settles which nodes each variant should find.
func (r *run) scan(common string, variants []*variant) *truth {
	ids, rank := r.sortIDs()
	for _, v := range variants {
		v.found = make([]bool, r.Nodes)
	}
	seed := maphash.MakeSeed()
	hash := func(parts ...string) uint64 { return maphash.String(seed, strings.Join(parts, "\x00")) }
	t := newTruth()
	t.ids, t.hash = ids, hash
	var merging sync.Mutex
	const part = 64
	done := r.Progress("counting the simulation", r.Nodes)
	r.parallel((r.Nodes+part-1)/part, func(i int) {
		mine := newTruth()
		mine.hash = hash
		for n := i * part; n < min((i+1)*part, r.Nodes); n++ {
			v := r.node(n, rank[n])
			mine.add(v, common)
			for _, one := range variants {
				one.found[v.rank] = one.holds(v)
			}
			done(1)
		}
		merging.Lock()
		defer merging.Unlock()
		t.merge(mine)
	})
	for _, n := range t.triples {
		t.total += n
	}
	return t
}
