package ssm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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
	head     inventory.Position // of the records it was read at
	custom   map[inventory.TypeName]customSchema
	revision map[inventory.TypeName]uint64
	room     uint64   // revision of the record that moves with every type added
	subTypes []string // compliance types seen, sorted
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
	store store.Store
	mu    sync.Mutex
	known map[inventory.Partition]*catalogue
	// teaching is held while schemas are written, and by a report that is judged again for as long as that takes, so
	// that it loses to others but once.
	teaching sync.Mutex
}

func newSchemaRegistry(st store.Store) *schemaRegistry {
	return &schemaRegistry{store: st, known: map[inventory.Partition]*catalogue{}}
}

const (
	recordSchema  = "schema"
	recordSubType = "subtype"
	// recordSchemaRoom moves with every type added, so that reports that add types at the same time do not pass the quota
	// together.
	recordSchemaRoom = "schema-room"
)

func schemaKey(p inventory.Partition, t inventory.TypeName) string {
	return store.Key(recordSchema, p.Account, p.Region, string(t))
}

// knownCatalogues bounds the catalogues in memory: a question in a made-up region makes one too.
const knownCatalogues = 1024

// catalogue gives the partition's catalogue as fresh as the records are.
func (r *schemaRegistry) catalogue(ctx context.Context, p inventory.Partition) (*catalogue, error) {
	head, err := r.store.RecordsHead(ctx)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	c := r.known[p]
	r.mu.Unlock()
	if c != nil && c.head == head {
		return c, nil
	}
	fresh, err := r.read(ctx, p, head)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known[p] == nil && len(r.known) >= knownCatalogues {
		clear(r.known)
	}
	r.known[p] = fresh
	return fresh, nil
}

func schemaRoomKey(p inventory.Partition) string {
	return store.Key(recordSchemaRoom, p.Account, p.Region)
}

func (r *schemaRegistry) read(ctx context.Context, p inventory.Partition, head inventory.Position) (*catalogue, error) {
	c := &catalogue{head: head, custom: map[inventory.TypeName]customSchema{}, revision: map[inventory.TypeName]uint64{}}
	room, err := r.store.Record(ctx, schemaRoomKey(p))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	c.room = room.Revision
	err = eachRecord(ctx, r.store, store.Key(recordSchema, p.Account, p.Region, ""), func(rec store.Record) error {
		parts := store.KeyParts(rec.Key)
		t := inventory.TypeName(parts[len(parts)-1])
		var own customSchema
		if err := json.Unmarshal(rec.Value, &own); err != nil {
			return fmt.Errorf("%w: record %s: %w", store.ErrCorrupt, rec.Key, err)
		}
		c.custom[t], c.revision[t] = own, rec.Revision
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
	slices.Sort(c.subTypes)
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

// learn writes what a report teaches about its types before the report itself is committed. ErrConflict: another call
// taught at the same time; judge the report anew.
func (r *schemaRegistry) learn(ctx context.Context, p inventory.Partition, c *catalogue, lessons map[inventory.TypeName]customSchema, subTypes []string) error {
	names := slices.Sorted(maps.Keys(lessons))
	if slices.ContainsFunc(names, func(t inventory.TypeName) bool { return c.revision[t] == 0 }) {
		if _, err := r.store.PutRecord(ctx, store.Record{Key: schemaRoomKey(p), Revision: c.room}); err != nil {
			return err
		}
	}
	for _, t := range names {
		text, err := json.Marshal(lessons[t])
		if err != nil {
			return err
		}
		if _, err := r.store.PutRecord(ctx, store.Record{Key: schemaKey(p, t), Value: text, Revision: c.revision[t]}); err != nil {
			return err
		}
	}
	for _, sub := range subTypes {
		rec := store.Record{Key: store.Key(recordSubType, p.Account, p.Region, sub)}
		if _, err := r.store.PutRecord(ctx, rec); err != nil && !errors.Is(err, store.ErrConflict) {
			return err // a conflict means that the sub-type is known already
		}
	}
	return nil
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
