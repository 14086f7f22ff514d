package simulate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"stocktake/internal/inventory"
)

const (
	images        = 8
	basePackages  = 300
	extraPackages = 100 // a node has this many more, ten up or down
	services      = 150
	servicePool   = 600
	versions      = 3
	// The offsets of the two draws bring out what the workload was measured by: in 2,000 nodes about 41,000 names and
	// 60,000 packages in a version, in 20,000 nearly every name, and the commonest on well over half of the nodes.
	baseOffset  = 200
	extraOffset = 25
	// changedPercent is the share of reports that change anything, after the first.
	changedPercent = 5
	minEdits       = 2
	maxEdits       = 10
)

// In seconds. Round 0 is captured in the half hour from firstRound on, unless At says otherwise; packages were installed
// in the two years before it.
const (
	firstRound  = 1767225600 // 2026-01-01T00:00:00Z
	roundLength = 30 * 60
	installSpan = 2 * 365 * 24 * 60 * 60
)

// Fleet is a number of simulated nodes. It is never changed after New: its methods may be called from any goroutine.
type Fleet struct {
	seed   uint64
	nodes  int
	start  time.Time
	packs  []pack
	byRank []int32 // catalogue numbers, the most drawn first
	extra  zipf    // of a node's own packages, by rank
	images [images]image
}

// image is what the nodes of one machine image share.
type image struct {
	platform string
	version  string
	base     []int32 // catalogue numbers, sorted
	services []service
}

type service struct {
	name, display, needs, kind, starts string
}

// New makes the fleet of this many nodes that belongs to the seed. It costs a fifth of a second and thirty megabytes
// whatever the number: nodes are computed when they are asked for. A fleet of more nodes begins with the same ones.
func New(seed uint64, nodes int) *Fleet {
	packs, err := readCatalogue(packagesFile)
	if err != nil {
		// The file is part of the program: it cannot be wrong in one run and right in another.
		panic(err)
	}
	f := &Fleet{seed: seed, nodes: nodes, start: time.Unix(firstRound, 0).UTC(), packs: packs, extra: newZipf(len(packs), extraOffset)}
	f.rank()
	base := newZipf(len(packs), baseOffset)
	for i := range f.images {
		f.images[i] = f.image(i, base)
	}
	return f
}

// At gives the same fleet with its rounds captured from another time on. Nothing else in a report depends on it.
func (f *Fleet) At(start time.Time) *Fleet {
	moved := *f
	moved.start = start.UTC()
	return &moved
}

// Len is the number of nodes.
func (f *Fleet) Len() int { return f.nodes }

// ID gives the id of node n, from 0: `i-` and 17 hexadecimal digits.
func (f *Fleet) ID(n int) inventory.NodeID {
	h := hash(forID, f.seed, uint64(n))
	return inventory.NodeID(fmt.Sprintf("i-%016x%x", h, mix(h)>>60))
}

// rank orders the catalogue by how often a package is drawn: the essential ones first, both parts shuffled.
func (f *Fleet) rank() {
	order := make([]uint64, len(f.packs))
	f.byRank = make([]int32, len(f.packs))
	for i := range f.packs {
		f.byRank[i] = int32(i)
		order[i] = hash(forRank, f.seed, uint64(i))
		if f.packs[i].essential {
			order[i] >>= 32
		} else {
			order[i] |= 1 << 63
		}
	}
	slices.SortFunc(f.byRank, func(a, b int32) int { return cmp.Or(cmp.Compare(order[a], order[b]), cmp.Compare(a, b)) })
}

// draw adds packages to have until it holds n, and keeps it sorted.
func (f *Fleet) draw(z zipf, s stream, have []int32, n int) []int32 {
	for len(have) < n {
		p := f.byRank[z.draw(s.next())]
		if at, found := slices.BinarySearch(have, p); !found {
			have = slices.Insert(have, at, p)
		}
	}
	return have
}

func (f *Fleet) image(i int, packs zipf) image {
	platforms := []string{
		"Debian GNU/Linux 11", "Debian GNU/Linux 12", "Debian GNU/Linux 13", "Ubuntu 20.04", "Ubuntu 22.04", "Ubuntu 24.04",
		"Linux Mint 22", "Devuan GNU/Linux 5",
	}
	cut := strings.LastIndexByte(platforms[i], ' ')
	return image{
		platform: platforms[i][:cut], version: platforms[i][cut+1:],
		base:     f.draw(packs, stream(hash(forBase, f.seed, uint64(i))), nil, basePackages),
		services: f.services(i),
	}
}

// services gives an image's services, sorted by name: packages of the kind that run one, out of a pool all images share.
func (f *Fleet) services(i int) []service {
	var pool []int32
	for _, p := range f.byRank {
		if slices.Contains([]string{"admin", "net", "httpd", "mail", "database"}, f.packs[p].section) && len(pool) < servicePool {
			pool = append(pool, p)
		}
	}
	s := stream(hash(forService, f.seed, uint64(i)))
	for j := range services {
		k := j + below(s.next(), len(pool)-j)
		pool[j], pool[k] = pool[k], pool[j]
	}
	chosen := pool[:services]
	slices.Sort(chosen)
	kinds := []string{"Win32OwnProcess", "Win32ShareProcess", "KernelDriver"}
	starts := []string{"Automatic", "Automatic", "Manual", "Disabled"}
	out := make([]service, services)
	for j, p := range chosen {
		h := hash(forService, f.seed, uint64(p), 1)
		out[j] = service{
			name: f.packs[p].name, display: fmt.Sprintf("The %s service of %s", f.packs[p].name, f.packs[p].section),
			needs: f.packs[chosen[below(h, services)]].name,
			kind:  kinds[below(mix(h), len(kinds))], starts: starts[below(mix(h+1), len(starts))],
		}
	}
	return out
}
