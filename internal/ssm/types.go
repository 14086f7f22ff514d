package ssm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// typeRoom is the record that says which Custom types a partition has: a type is known when it is in the room and has a
// schema record. Types enter and leave by a compare-and-swap of this one record, so that the quota holds however many
// servers teach at the same time. A type enters before its schema record is written, and that is dropped after it left:
// servers that teach the same new type then meet at its record, of which one makes the first and the others find it. A
// type whose writer died in between keeps its place for when it comes again; a record whose type was being dropped is of
// no type, and written over when the type comes again.
type typeRoom struct {
	Types []inventory.TypeName

	revision uint64
	// whole is true of a record from before it held the types: every schema record then is of a known type.
	whole bool
}

const recordSchemaRoom = "schema-room"

func schemaRoomKey(p inventory.Partition) string {
	return store.Key(recordSchemaRoom, p.Account, p.Region)
}

func (room *typeRoom) has(t inventory.TypeName) bool {
	return room.whole || slices.Contains(room.Types, t)
}

func (r *schemaRegistry) readRoom(ctx context.Context, p inventory.Partition) (room typeRoom, err error) {
	rec, err := r.store.Record(ctx, schemaRoomKey(p))
	if errors.Is(err, store.ErrNotFound) {
		return room, nil
	}
	if err != nil {
		return room, err
	}
	if room.whole = len(rec.Value) == 0; !room.whole {
		if err := json.Unmarshal(rec.Value, &room); err != nil {
			return room, fmt.Errorf("%w: record %s: %w", store.ErrCorrupt, rec.Key, err)
		}
	}
	room.revision = rec.Revision
	return room, nil
}

// places gives the types that are in the room, known or about to be.
func (c *catalogue) places() []inventory.TypeName {
	if c.room.whole {
		return slices.Sorted(maps.Keys(c.custom))
	}
	return c.room.Types
}

// putRoom says which types there are. ErrConflict: the room has changed since the catalogue was read.
func (r *schemaRegistry) putRoom(ctx context.Context, p inventory.Partition, c *catalogue, types []inventory.TypeName) error {
	text, err := json.Marshal(typeRoom{Types: types})
	if err != nil {
		return err
	}
	_, err = r.store.PutRecord(ctx, store.Record{Key: schemaRoomKey(p), Value: text, Revision: c.room.revision})
	return err
}

// learn writes what a report teaches about its types before the report itself is committed. ErrConflict: another call
// taught at the same time; judge the report anew.
func (r *schemaRegistry) learn(ctx context.Context, p inventory.Partition, c *catalogue, lessons map[inventory.TypeName]customSchema, subTypes []string) error {
	var fresh, known []inventory.TypeName
	for _, t := range slices.Sorted(maps.Keys(lessons)) {
		if _, ok := c.custom[t]; ok {
			known = append(known, t)
		} else {
			fresh = append(fresh, t)
		}
	}
	if len(fresh) > 0 {
		if err := r.addTypes(ctx, p, c, fresh, lessons); err != nil {
			return err
		}
	}
	for _, t := range known {
		if err := r.putSchema(ctx, p, t, lessons[t], c.revision[t]); err != nil {
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

func (r *schemaRegistry) putSchema(ctx context.Context, p inventory.Partition, t inventory.TypeName, own customSchema, revision uint64) error {
	text, err := json.Marshal(own)
	if err != nil {
		return err
	}
	_, err = r.store.PutRecord(ctx, store.Record{Key: schemaKey(p, t), Value: text, Revision: revision})
	return err
}

// addTypes makes types known: first they get their place in the room, then their records.
func (r *schemaRegistry) addTypes(ctx context.Context, p inventory.Partition, c *catalogue, fresh []inventory.TypeName, lessons map[inventory.TypeName]customSchema) error {
	places := c.places()
	types := slices.Clone(places)
	for _, t := range fresh {
		if !slices.Contains(places, t) {
			types = append(types, t)
		}
	}
	if len(types) > len(places) {
		if err := r.putRoom(ctx, p, c, types); err != nil {
			return err
		}
	}
	for _, t := range fresh {
		if err := r.putSchema(ctx, p, t, lessons[t], c.revision[t]); err != nil {
			return err
		}
	}
	return nil
}

// settleOption lets a deletion's schema option take effect: the type is dropped, or the newest version seen and with it
// all older ones disabled. It does nothing unless the deletion is under way and not settled. So one that is settled twice
// leaves alone what was taught after: whoever read of that before the record it changes reads here that it is settled,
// and whoever did not finds that record moved.
func (r *schemaRegistry) settleOption(ctx context.Context, p inventory.Partition, d *Deletion) error {
	return retry(ctx, func() error {
		c, err := r.read(ctx, p)
		if err != nil {
			return err
		}
		own, known := c.custom[d.Type]
		if now := c.deletions[d.Type]; now == nil || now.ID != d.ID || now.settled() || !known {
			return nil
		}
		if d.SchemaOption == DeleteSchema {
			return r.dropType(ctx, p, c, d.Type)
		}
		own.Disabled = own.Version
		return r.putSchema(ctx, p, d.Type, own, c.revision[d.Type])
	})
}

// dropType makes a type unknown.
func (r *schemaRegistry) dropType(ctx context.Context, p inventory.Partition, c *catalogue, t inventory.TypeName) error {
	types := slices.DeleteFunc(slices.Clone(c.places()), func(known inventory.TypeName) bool { return known == t })
	if err := r.putRoom(ctx, p, c, types); err != nil {
		return err
	}
	err := r.store.DeleteRecord(ctx, schemaKey(p, t), c.revision[t])
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return nil // a report computed before is being refused
	}
	return err
}

// fenceTypes is the fence of commits that were computed from a catalogue, and recordTypesFence where its number is kept.
const (
	fenceTypes       = "types"
	recordTypesFence = "service/types-fence"
)

// fence gives the fence for what is computed from records read after it, and the revision of its record.
func (r *schemaRegistry) fence(ctx context.Context) (store.Fence, uint64, error) {
	f := store.Fence{Lease: fenceTypes, Number: 1}
	rec, err := r.store.Record(ctx, recordTypesFence)
	if errors.Is(err, store.ErrNotFound) {
		return f, 0, nil
	}
	if err != nil {
		return f, 0, err
	}
	if f.Number, err = strconv.ParseUint(string(rec.Value), 10, 63); err != nil || f.Number == 0 {
		return f, 0, fmt.Errorf("%w: record %s is no number: %q", store.ErrCorrupt, rec.Key, rec.Value)
	}
	return f, rec.Revision, nil
}

// raise has the store refuse every commit computed from a catalogue read before: on whichever server it was computed, and
// however long ago, it takes effect before raise returns or never. Its caller's report is then judged anew. A deletion
// raises between what it changes in the catalogue and the heads it takes, so that no report is judged by the schema of
// before and stored past the heads.
func (r *schemaRegistry) raise(ctx context.Context) error {
	var f store.Fence
	err := retry(ctx, func() (err error) {
		var revision uint64
		if f, revision, err = r.fence(ctx); err != nil {
			return err
		}
		f.Number++
		_, err = r.store.PutRecord(ctx, store.Record{Key: recordTypesFence, Value: strconv.AppendUint(nil, f.Number, 10), Revision: revision})
		return err
	})
	if err != nil {
		return err
	}
	if err := r.store.RaiseFence(ctx, f); !errors.Is(err, store.ErrFenced) {
		return err
	}
	return nil // it is higher already, by another that raised at the same time
}
