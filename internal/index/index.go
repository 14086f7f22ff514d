package index

import (
	"slices"
	"strings"
	"sync"

	"stocktake/internal/inventory"
)

// Config is what an index is made with.
type Config struct {
	// Store is the id of the store the index follows.
	Store [16]byte
	// Shards is how many shards its feed has.
	Shards int
	// Nodes and Shapes bound a partition (nodes known, and shapes of one type); Fits tells when they would be passed.
	// 0 is no bound.
	Nodes  int
	Shapes int
	// Regions bounds the partitions of an account that have nodes; Fits tells when a node would begin one more.
	Regions int
}

// Index is the fleet of one store in memory.
type Index struct {
	config Config

	mu         sync.RWMutex
	partitions map[inventory.Partition]*partition
	bulk       bool // of new partitions

	// sweeping is held by Sweep, which renumbers, and for reading by what goes through numbers in several holds of a
	// partition's lock.
	sweeping sync.RWMutex

	positionsMu sync.Mutex
	positions   []inventory.Position
	unsettled   []uint64 // of each shard: how often replacing its nodes began or ended; odd while it lasts
}

// New makes an empty index at the zero position of every shard.
func New(c Config) *Index {
	return &Index{
		config:     c,
		partitions: map[inventory.Partition]*partition{},
		positions:  make([]inventory.Position, c.Shards),
		unsettled:  make([]uint64, c.Shards),
	}
}

// Store gives the id of the store the index follows.
func (x *Index) Store() [16]byte { return x.config.Store }

// Positions gives, for each shard, the position up to which changes are in the index. They may be in it further.
func (x *Index) Positions() []inventory.Position {
	x.positionsMu.Lock()
	defer x.positionsMu.Unlock()
	return slices.Clone(x.positions)
}

// Position gives the position of one shard.
func (x *Index) Position(shard int) inventory.Position {
	x.positionsMu.Lock()
	defer x.positionsMu.Unlock()
	return x.positions[shard]
}

func (x *Index) positionsAndUnsettled() ([]inventory.Position, []uint64) {
	x.positionsMu.Lock()
	defer x.positionsMu.Unlock()
	return slices.Clone(x.positions), slices.Clone(x.unsettled)
}

// SetPosition sets a shard's position, after the shard was loaded.
func (x *Index) SetPosition(shard int, at inventory.Position) {
	x.positionsMu.Lock()
	defer x.positionsMu.Unlock()
	x.positions[shard] = at
}

// advance moves a shard's position forward, never back.
func (x *Index) advance(shard int, at inventory.Position) {
	x.positionsMu.Lock()
	defer x.positionsMu.Unlock()
	if at.Seq > x.positions[shard].Seq {
		x.positions[shard] = at
	}
}

// partition gives a partition, nil where nothing was ever loaded or applied.
func (x *Index) partition(p inventory.Partition) *partition {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.partitions[p]
}

func (x *Index) makePartition(p inventory.Partition) *partition {
	if part := x.partition(p); part != nil {
		return part
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	part := x.partitions[p]
	if part == nil {
		p = inventory.Partition{Account: strings.Clone(p.Account), Region: strings.Clone(p.Region)}
		part = newPartition(p)
		part.bulk = x.bulk
		x.partitions[p] = part
	}
	return part
}

// all gives every partition, sorted by account and region.
func (x *Index) all() []*partition {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := make([]*partition, 0, len(x.partitions))
	for _, part := range x.partitions {
		out = append(out, part)
	}
	slices.SortFunc(out, func(a, b *partition) int {
		if c := strings.Compare(a.key.Account, b.key.Account); c != 0 {
			return c
		}
		return strings.Compare(a.key.Region, b.key.Region)
	})
	return out
}

// Partitions gives the partitions anything was loaded into or applied to, sorted by account and region.
func (x *Index) Partitions() []inventory.Partition {
	var out []inventory.Partition
	for _, part := range x.all() {
		out = append(out, part.key)
	}
	return out
}

// Knows reports whether a node has any document.
func (x *Index) Knows(key inventory.NodeKey) bool {
	part := x.partition(key.Partition)
	if part == nil {
		return false
	}
	part.mu.RLock()
	defer part.mu.RUnlock()
	n, ok := part.numbers[key.Node]
	return ok && part.known.Contains(n)
}

// Fits reports whether a partition has room for so many new nodes and new shapes of a type. The error is an
// inventory.Error for the reporter.
func (x *Index) Fits(p inventory.Partition, nodes int, t inventory.TypeName, shapes int) error {
	haveNodes, haveShapes := 0, 0
	if nodes > 0 {
		if err := x.fitsRegion(p); err != nil {
			return err
		}
	}
	if part := x.partition(p); part != nil {
		part.mu.RLock()
		haveNodes = int(part.known.GetCardinality())
		if table := part.tables[t]; table != nil {
			haveShapes = table.live
		}
		part.mu.RUnlock()
	}
	if most := x.config.Nodes; most > 0 && nodes > 0 && haveNodes+nodes > most {
		return inventory.Errorf(inventory.TotalSizeLimitExceeded,
			"The account holds %d nodes in this region; its limit is %d. Remove nodes, or raise the limit.", haveNodes, most)
	}
	if most := x.config.Shapes; most > 0 && shapes > 0 && haveShapes+shapes > most {
		return inventory.ItemErrorf(inventory.ItemSizeLimitExceeded, t,
			"The account holds %d different entries of %s in this region; its limit is %d. Delete inventory of the type, or raise the limit.", haveShapes, t, most)
	}
	return nil
}

// fitsRegion reports whether the partition has nodes already, or its account has room for one more region.
func (x *Index) fitsRegion(p inventory.Partition) error {
	if x.config.Regions == 0 {
		return nil
	}
	regions := 0
	for _, part := range x.all() {
		if part.key.Account != p.Account {
			continue
		}
		part.mu.RLock()
		used := !part.known.IsEmpty()
		part.mu.RUnlock()
		if used && part.key == p {
			return nil
		}
		if used {
			regions++
		}
	}
	if regions >= x.config.Regions {
		return inventory.Errorf(inventory.TotalSizeLimitExceeded,
			"The account holds nodes in %d regions, its limit; %s would be one more. Use one of those, or raise the limit.", regions, p.Region)
	}
	return nil
}

// NewAttributes gives how many attributes the partition knows of a type, and how many of the given names, each of them
// different, are not among them.
func (x *Index) NewAttributes(p inventory.Partition, t inventory.TypeName, names []string) (known, fresh int) {
	part := x.partition(p)
	if part == nil {
		return 0, len(names)
	}
	part.mu.RLock()
	defer part.mu.RUnlock()
	tab := part.tables[t]
	if tab == nil {
		return 0, len(names)
	}
	for _, name := range names {
		if _, ok := tab.attrNumber[name]; !ok {
			fresh++
		}
	}
	return len(tab.attrs), fresh
}

// TypeStats counts what a partition holds of one type.
type TypeStats struct {
	Type inventory.TypeName
	// Nodes report the type; Shapes are the different entries they have; Entries are pairs of node and shape.
	Nodes, Shapes, Entries int
	// Values are the different texts of its attributes, those no shape has any more included.
	Values int
}

// PartitionStats counts what a partition holds.
type PartitionStats struct {
	Partition inventory.Partition
	Nodes     int
	Types     []TypeStats // by name
	// Bytes estimates the memory held.
	Bytes int
}

// Stats counts what the index holds, partitions sorted by account and region.
func (x *Index) Stats() []PartitionStats {
	parts := x.all()
	out := make([]PartitionStats, 0, len(parts))
	for _, part := range parts {
		out = append(out, part.stats())
	}
	return out
}

func (part *partition) stats() PartitionStats {
	part.mu.RLock()
	defer part.mu.RUnlock()
	s := PartitionStats{Partition: part.key, Nodes: int(part.known.GetCardinality())}
	s.Bytes = int(part.ids.n) * 128
	for _, t := range part.tables {
		s.Types = append(s.Types, TypeStats{
			Type: t.typ, Nodes: int(t.all.GetCardinality()), Shapes: t.live, Entries: t.elements, Values: int(t.values.n),
		})
		s.Bytes += t.bytes()
	}
	slices.SortFunc(s.Types, func(a, b TypeStats) int { return strings.Compare(string(a.Type), string(b.Type)) })
	return s
}

// bytes estimates a table's memory: dictionaries exactly, sets of nodes by what sets and their members took in simulated
// fleets of 2,000 to 100,000 nodes.
func (t *table) bytes() int {
	const shapeBytes, valueBytes, groupBytes = 24 + 24 + 125, 12 + 12, 4096
	return t.texts.bytes() + t.rows.bytes() + t.lists.bytes() + t.byID.bytes() + t.byText.bytes() +
		int(t.shapes.n)*shapeBytes + int(t.values.n)*valueBytes + int(t.groups.n)*groupBytes + t.elements*9/10
}
