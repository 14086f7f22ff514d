package ssm

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// customSchema is the record of a type an account made up: what was learnt from the items put.
type customSchema struct {
	// Attributes is the union over all versions, sorted. All are strings.
	Attributes []string
	// Version is the highest seen. Callers choose versions freely, so that a list of all would grow without end.
	Version string
	// Disabled is the version at or below which items are ignored; empty for none.
	Disabled string `json:",omitempty"`
	// Split is how entries are cut since the type's volatile attributes were learnt.
	Split inventory.Split
}

func (c customSchema) schema(t inventory.TypeName) inventory.Schema {
	s := inventory.Schema{Type: t, Version: c.Version, Listed: true, Volatile: c.Split.Volatile}
	for _, a := range c.Attributes {
		s.Attributes = append(s.Attributes, inventory.SchemaAttribute{Name: a})
	}
	return s
}

// catalogue is everything known of a partition's types at one moment. It is not changed once made.
type catalogue struct {
	head inventory.Position // of the records it was read at
	// fence is of the commits computed from the catalogue; see schemaRegistry.raise.
	fence store.Fence
	room  typeRoom
	// custom holds the types in the room that have a record; revision is of every record, those of no known type too.
	custom    map[inventory.TypeName]customSchema
	revision  map[inventory.TypeName]uint64
	subTypes  []string                         // compliance types seen, sorted
	deletions map[inventory.TypeName]*Deletion // those under way
}

// Schema makes catalogue an inventory.Catalogue.
func (c *catalogue) Schema(t inventory.TypeName) (inventory.Schema, bool) {
	if s, ok := inventory.BuiltIn(t); ok {
		return s, true
	}
	own, ok := c.custom[t]
	if !ok {
		return inventory.Schema{}, false
	}
	return own.schema(t), true
}

// split gives how entries of a type are cut.
func (c *catalogue) split(t inventory.TypeName) inventory.Split {
	if s, ok := inventory.BuiltIn(t); ok {
		return inventory.Split{Volatile: s.Volatile}
	}
	return c.custom[t].Split
}

// schemaRegistry reads partitions' catalogues from the store's records, and again when a record has moved.
type schemaRegistry struct {
	store   store.Store
	mu      sync.Mutex
	known   map[inventory.Partition]*catalogue
	reading map[inventory.Partition]*reading // that have not begun
	one     keyLocks                         // one reading of a partition at a time
	// teaching is held by a report that is judged again because another taught at the same time. It saves the racing
	// reports of this server their conflicts; correctness rests on the records' revisions.
	teaching keyLocks
}

// reading is a catalogue being read, for all who asked before it began.
type reading struct {
	done chan struct{}
	c    *catalogue
	err  error
}

func newSchemaRegistry(st store.Store) *schemaRegistry {
	return &schemaRegistry{store: st, known: map[inventory.Partition]*catalogue{}, reading: map[inventory.Partition]*reading{}}
}

const (
	recordSchema  = "schema"
	recordSubType = "subtype"
)

func schemaKey(p inventory.Partition, t inventory.TypeName) string {
	return store.Key(recordSchema, p.Account, p.Region, string(t))
}

// knownCatalogues bounds the catalogues in memory: a question in a made-up region makes one too.
const knownCatalogues = 1024

// catalogue gives the partition's catalogue as fresh as the records are: nothing in it is older than the call. One that
// was read before is good as long as the records' head is the very same; a head that is only smaller may be of another
// history.
func (r *schemaRegistry) catalogue(ctx context.Context, p inventory.Partition) (*catalogue, error) {
	head, err := r.store.RecordsHead(ctx)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	if c := r.known[p]; c != nil && c.head == head {
		r.mu.Unlock()
		return c, nil
	}
	next, joined := r.reading[p]
	if !joined {
		next = &reading{done: make(chan struct{})}
		r.reading[p] = next
	}
	r.mu.Unlock()
	if joined {
		select {
		case <-next.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if next.err == nil || ctx.Err() != nil {
			return next.c, next.err
		}
		return r.read(ctx, p) // the failure may be that another caller went away
	}
	r.lead(ctx, p, next)
	return next.c, next.err
}

// remembered gives the catalogue as it was last read here, however long ago; nil for none.
func (r *schemaRegistry) remembered(p inventory.Partition) *catalogue {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known[p]
}

// lead reads the catalogue for all who join before it begins, and keeps it.
func (r *schemaRegistry) lead(ctx context.Context, p inventory.Partition, next *reading) {
	lock := r.one.of(inventory.NodeKey{Partition: p})
	lock.Lock()
	defer lock.Unlock()
	r.mu.Lock()
	delete(r.reading, p) // who comes now may know of something newer
	r.mu.Unlock()
	next.c, next.err = r.read(ctx, p)
	close(next.done)
	if next.err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known[p] == nil && len(r.known) >= knownCatalogues {
		clear(r.known)
	}
	r.known[p] = next.c
}

// read gives the catalogue of now. The head and the fence are read first: should a record move meanwhile, the catalogue
// counts as older than it is.
func (r *schemaRegistry) read(ctx context.Context, p inventory.Partition) (*catalogue, error) {
	c := &catalogue{custom: map[inventory.TypeName]customSchema{}, revision: map[inventory.TypeName]uint64{}}
	var err error
	if c.head, err = r.store.RecordsHead(ctx); err != nil {
		return nil, err
	}
	if c.fence, _, err = r.fence(ctx); err != nil {
		return nil, err
	}
	if c.room, err = r.readRoom(ctx, p); err != nil {
		return nil, err
	}
	err = eachRecord(ctx, r.store, store.Key(recordSchema, p.Account, p.Region, ""), func(rec store.Record) error {
		parts := store.KeyParts(rec.Key)
		t := inventory.TypeName(parts[len(parts)-1])
		var own customSchema
		if err := json.Unmarshal(rec.Value, &own); err != nil {
			return fmt.Errorf("%w: record %s: %w", store.ErrCorrupt, rec.Key, err)
		}
		c.revision[t] = rec.Revision
		if c.room.has(t) {
			c.custom[t] = own
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = eachRecord(ctx, r.store, store.Key(recordSubType, p.Account, p.Region, ""), func(rec store.Record) error {
		parts := store.KeyParts(rec.Key)
		c.subTypes = append(c.subTypes, parts[len(parts)-1])
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(c.subTypes)
	c.deletions, err = runningDeletions(ctx, r.store, p)
	return c, err
}

// eachRecord calls f for every record below a prefix, in key order.
func eachRecord(ctx context.Context, records store.Records, prefix string, f func(store.Record) error) error {
	const page = 500
	after := ""
	for {
		recs, err := records.ListRecords(ctx, prefix, after, page)
		if err != nil {
			return err
		}
		for _, rec := range recs {
			if err := f(rec); err != nil {
				return err
			}
		}
		if len(recs) < page {
			return nil
		}
		after = recs[len(recs)-1].Key
	}
}

// teach gives the schema after an item of the given version and attribute names, and whether it differs from before.
func (c customSchema) teach(t inventory.TypeName, version string, content []inventory.Entry, limit int) (customSchema, bool, error) {
	next, changed := c, false
	if c.Version == "" || compareVersions(version, c.Version) > 0 {
		next.Version, changed = version, true
	}
	shared := true // next's attributes with c's
	for _, e := range content {
		for _, a := range e {
			at, known := slices.BinarySearch(next.Attributes, a.Name)
			if known {
				continue
			}
			if i := slices.IndexFunc(next.Attributes, func(n string) bool { return strings.EqualFold(n, a.Name) }); i >= 0 {
				return c, false, inventory.ItemErrorf(inventory.InvalidItemContent, t,
					"The attribute %s of %s is already known as %s. Attribute names must be spelt the same way in every report.", a.Name, t, next.Attributes[i])
			}
			if len(next.Attributes) >= limit {
				return c, false, inventory.ItemErrorf(inventory.InvalidItemContent, t,
					"The inventory type %s would have more than %d attributes, all versions together.", t, limit)
			}
			if shared {
				next.Attributes, shared, changed = slices.Clone(c.Attributes), false, true
			}
			next.Attributes = slices.Insert(next.Attributes, at, a.Name)
		}
	}
	return next, changed, nil
}

// compareVersions orders schema versions, major.minor, by number.
func compareVersions(a, b string) int {
	majorA, minorA, _ := strings.Cut(a, ".")
	majorB, minorB, _ := strings.Cut(b, ".")
	if c := compareNumbers(majorA, majorB); c != 0 {
		return c
	}
	return compareNumbers(minorA, minorB)
}

// compareNumbers compares numbers of at most six digits, as the wire's pattern allows.
func compareNumbers(a, b string) int {
	x, _ := strconv.Atoi(a)
	y, _ := strconv.Atoi(b)
	return x - y
}
