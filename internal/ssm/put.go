package ssm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// PutInventoryInput is one report.
type PutInventoryInput struct {
	Node  inventory.NodeID
	Items []inventory.Item
	// Administrator is true when the caller's key is not bound to nodes; only then may AWS:InstanceInformation be put.
	Administrator bool

	upload *complianceUpload // of a report of compliance
}

// PutInventory takes a report, all of it or nothing. The message is empty unless items were ignored because their schema
// version is disabled.
func (s *Service) PutInventory(ctx context.Context, p inventory.Partition, in PutInventoryInput) (message string, err error) {
	key := inventory.NodeKey{Partition: p, Node: in.Node}
	lock := s.nodes.of(key)
	lock.Lock()
	defer lock.Unlock()
	var before attempt
	try := func() (err error) {
		message, err = s.put(ctx, key, in, &before)
		return err
	}
	// What was remembered in vain does not count among the tries that meet others.
	if err = try(); errors.Is(err, store.ErrConflict) {
		err = retry(ctx, try)
	}
	if err != nil {
		s.counters.refused.Add(1)
	}
	return message, err
}

// attempt is what an attempt at a report met, for the next one.
type attempt struct {
	// remembered: the report was judged by what this server remembers, which the store did not confirm. From then on it is
	// judged by what is stored.
	remembered bool
	// taught: another taught at the same time.
	taught bool
	// fenced: what it was judged by is of before a deletion.
	fenced bool
}

// put judges a report and stores it. ErrConflict: what it was judged by has moved.
func (s *Service) put(ctx context.Context, key inventory.NodeKey, in PutInventoryInput, before *attempt) (string, error) {
	if before.taught {
		lock := s.schemas.teaching.of(inventory.NodeKey{Partition: key.Partition})
		lock.Lock()
		defer lock.Unlock()
	}
	r, err := s.newReport(ctx, key, in, before)
	if err != nil {
		return "", err
	}
	message, err := r.take(ctx, in)
	if err != nil && r.remembered && ctx.Err() == nil && !errors.Is(err, store.ErrUnavailable) {
		before.remembered = true
		s.known.forget(key)
		return "", fmt.Errorf("node %s may have changed since it was remembered: %w", key.Node, store.ErrConflict)
	}
	if !errors.Is(err, store.ErrFenced) {
		return message, err
	}
	// A deletion took its place in time, and the catalogue is read anew. A fence that refuses even then may be of a history
	// the records have lost in a fail-over; raising it from what they say now catches up with it, and does no harm else.
	if before.fenced {
		if err := s.schemas.raise(ctx); err != nil {
			return "", err
		}
	}
	before.fenced = true
	return "", fmt.Errorf("the types of %s were judged by what a deletion changed: %w", key.Node, store.ErrConflict)
}

// take judges the report and stores it.
func (r *report) take(ctx context.Context, in PutInventoryInput) (message string, err error) {
	items := in.Items
	if in.upload != nil {
		var stale bool
		if items, stale, err = r.complete(ctx, in.upload, items); err != nil || stale {
			return "", err
		}
	}
	if message, err = r.judgeAll(items); err != nil {
		return "", err
	}
	return message, r.store(ctx)
}

// judgeAll checks every item, and the report as a whole.
func (r *report) judgeAll(items []inventory.Item) (message string, err error) {
	total := 0
	for i := range items {
		if err := r.judge(&items[i]); err != nil {
			return "", err
		}
		total += items[i].Bytes
	}
	if limit := r.s.cfg.Limits.CallBytes; total > limit {
		return "", inventory.Errorf(inventory.TotalSizeLimitExceeded,
			"The items of this call are %d bytes in all; at most %d are accepted. Send the items in several calls.", total, limit)
	}
	if err := r.checkTypeCount(); err != nil {
		return "", err
	}
	r.refreshInformation()
	return r.message(), nil
}

// report is one PutInventory call being judged. Nothing of it is written until every item passed.
type report struct {
	s     *Service
	key   inventory.NodeKey
	admin bool
	now   time.Time
	types *catalogue
	// remembered: types and before are what this server remembers. The commit holds only if they are still right: a node's
	// revision tells of the record, and the fence of the deletions the catalogue does not know of. What else is new in the
	// catalogue does not matter to a report that teaches nothing, and one that teaches writes over records by their revision.
	remembered bool
	// before is the record as it is stored, node as it will be; contents the documents to write, in the order of their first item.
	before   inventory.Node
	node     inventory.Node
	read     documentsRead
	enrolls  bool
	order    []inventory.ItemKey
	contents map[inventory.ItemKey]content
	lessons  map[inventory.TypeName]customSchema
	subTypes []string
	ignored  []IgnoredItem
	attempt  *attempt
}

// content is what a document's entries will be.
type content struct {
	entries []inventory.Entry
	// kept is true when the stored entries stay and only what surrounds them (context, schema version) changes.
	kept bool
	// anew is true when the entries are written even if they are those stored.
	anew bool
}

// newReport reads what the report is judged by: the node's record, with the documents that have to be compared in any
// case, and the catalogue where it says anything about the types reported. What is built in needs none.
func (s *Service) newReport(ctx context.Context, key inventory.NodeKey, in PutInventoryInput, before *attempt) (*report, error) {
	r := &report{s: s, key: key, admin: in.Administrator, now: time.Now().UTC(), types: &catalogue{}, attempt: before}
	judgedByTypes := slices.ContainsFunc(in.Items, func(it inventory.Item) bool { return it.Type.Custom() || it.Type == inventory.TypeComplianceItem })
	if !before.remembered && r.recall(judgedByTypes) {
		return r, nil
	}
	if judgedByTypes {
		var err error
		// Before the node: whatever deletion this catalogue does not know of takes its heads after what the record holds now.
		if r.types, err = s.schemas.catalogue(ctx, key.Partition); err != nil {
			return nil, err
		}
		helped, err := s.helpSettle(ctx, key.Partition, r.types, in.Items)
		if err == nil && helped {
			err = fmt.Errorf("a deletion of %s takes its place in time: %w", key.Partition, store.ErrConflict)
		}
		if err != nil {
			return nil, err
		}
	}
	known, err := r.readNode(ctx, in.Items)
	switch {
	case err != nil:
		return nil, err
	case !known:
		if key.Node.Activated() || s.cfg.StrictEnrollment {
			return nil, notRegistered(key.Node)
		}
		r.enrolls = true
		r.node = inventory.Node{Key: key, Status: inventory.Active, Enrolled: r.now}
	case r.before.Status == inventory.Terminated:
		return nil, terminated(key.Node)
	default:
		r.node = r.before.Clone()
		r.node.Status = inventory.Active // a report is a sign of life
	}
	return r, nil
}

// judge checks one item against what is stored and what the items before it in the call made of that.
func (r *report) judge(given *inventory.Item) error {
	it, bare := r.restated(given)
	if it.Type.Custom() {
		if own := r.ownSchema(it.Type); !bare && own.Disabled != "" && compareVersions(it.SchemaVersion, own.Disabled) <= 0 {
			r.ignored = append(r.ignored, IgnoredItem{Time: r.now, Type: it.Type, Version: it.SchemaVersion, Disabled: own.Disabled})
			return nil
		}
	} else if err := r.checkBuiltIn(it, bare); err != nil {
		return err
	}
	sub, err := r.checkContext(it)
	if err != nil {
		return err
	}
	key := inventory.ItemKey{Type: it.Type, SubType: sub}
	stored := r.node.Item(key)
	doomed := r.doomed(key, stored)
	unchanged := stored != nil && !doomed && it.ContentHash != "" && stored.Hash == it.ContentHash
	switch {
	case it.HasContent && unchanged && !it.Type.Custom():
		// Its attributes were judged when it was stored, and what is stored stays.
	case it.HasContent:
		if err := r.checkContent(it); err != nil {
			return err
		}
	case it.ContentHash == "":
		return inventory.ItemErrorf(inventory.InvalidItemContent, it.Type, "The item of type %s has neither Content nor ContentHash. Send its Content; an empty list says that the node has none.", it.Type)
	case !unchanged:
		return inventory.ItemErrorf(inventory.ItemContentMismatch, it.Type, "The ContentHash of the item of type %s doesn't match the content stored for the node. Send the item with its Content.", it.Type)
	}
	if limit := r.s.cfg.Limits.ItemBytes; it.Bytes > limit {
		return inventory.ItemErrorf(inventory.ItemSizeLimitExceeded, it.Type, "The item of type %s is %d bytes; at most %d are accepted.", it.Type, it.Bytes, limit)
	}
	r.accept(key, it, stored, unchanged, doomed)
	return nil
}

// restated gives an item that only repeats the hash stored under the version stored. What an item without content says of its
// version counts for nothing: the stock agent was seen to give all of a call that of the one it looked at last. Bare is one that
// repeats nothing: its node is to send the whole, whose version counts.
func (r *report) restated(it *inventory.Item) (restated *inventory.Item, bare bool) {
	if it.HasContent || it.ContentHash == "" {
		return it, false
	}
	sub := ""
	if it.Type == inventory.TypeComplianceItem {
		sub, _ = it.Context.Get("ComplianceType")
	}
	stored := r.node.Item(inventory.ItemKey{Type: it.Type, SubType: sub})
	if stored == nil || stored.Hash != it.ContentHash {
		return it, true
	}
	again := *it
	again.SchemaVersion = stored.SchemaVersion
	return &again, false
}

// doomed reports whether a document is about to go with a deletion of its type. A report is then judged as if it were
// gone, and written even if it says the same: what is put after the deletion began stays.
func (r *report) doomed(key inventory.ItemKey, stored *inventory.ItemState) bool {
	if _, pending := r.contents[key]; pending || stored == nil {
		return false
	}
	running := r.types.deletions[key.Type]
	return running != nil && running.covers(r.key, *stored)
}

// accept puts an item that passed into the record, and its content among those to write.
func (r *report) accept(key inventory.ItemKey, it *inventory.Item, stored *inventory.ItemState, unchanged, anew bool) {
	state := inventory.ItemState{
		ItemKey: key, SchemaVersion: it.SchemaVersion, CaptureTime: it.CaptureTime, Arrival: r.now,
		Hash: it.ContentHash, Context: it.Context, Entries: len(it.Content),
	}
	switch {
	case !unchanged:
		r.write(key, content{entries: it.Content, anew: anew})
	case state.SchemaVersion != stored.SchemaVersion || !sameContext(r.types.split(it.Type), state.Context, stored.Context):
		if _, pending := r.contents[key]; !pending {
			r.write(key, content{kept: true})
		} // else the entries come from an item before this one in the same call, and take this one's context
	}
	if unchanged {
		state.Entries = stored.Entries
	}
	if stored != nil {
		state.Seq = stored.Seq
	}
	r.node.SetItem(state)
}

func (r *report) write(key inventory.ItemKey, c content) {
	before, again := r.contents[key]
	if !again {
		r.order = append(r.order, key)
	}
	c.anew = c.anew || before.anew
	if r.contents == nil {
		r.contents = map[inventory.ItemKey]content{}
	}
	r.contents[key] = c
}

// sameContext reports whether two contexts make the same of a document for the index: the same shapes, and the same
// volatile attributes, whatever those say.
func sameContext(split inventory.Split, a, b inventory.Entry) bool {
	shapeA, volatileA := split.Cut(a)
	shapeB, volatileB := split.Cut(b)
	return slices.Equal(shapeA, shapeB) && slices.EqualFunc(volatileA, volatileB, func(x, y inventory.Attribute) bool { return x.Name == y.Name })
}

func (r *report) checkBuiltIn(it *inventory.Item, bare bool) error {
	schema, ok := inventory.BuiltIn(it.Type)
	if !ok {
		return inventory.Errorf(inventory.InvalidTypeName, "The inventory type %s isn't known. Types of your own begin with Custom:", it.Type)
	}
	if schema.Made && (it.Type != inventory.TypeInstanceInformation || !r.admin) {
		return inventory.Errorf(inventory.InvalidTypeName, "The inventory type %s is written by the service itself and can't be put.", it.Type)
	}
	if it.SchemaVersion != schema.Version && !bare {
		return inventory.Errorf(inventory.UnsupportedInventorySchemaVersion, "The inventory type %s has schema version %s; %s isn't supported.", it.Type, schema.Version, it.SchemaVersion)
	}
	return nil
}

// checkContent judges attributes: against the schema of a built-in type, or as lessons on one of the account's own.
func (r *report) checkContent(it *inventory.Item) error {
	if it.Type.Custom() {
		next, changed, err := r.ownSchema(it.Type).teach(it.Type, it.SchemaVersion, it.Content, r.s.cfg.Limits.CustomAttributes)
		if err != nil {
			return err
		}
		r.learn(it.Type, next, changed)
		return nil
	}
	if it.Type == inventory.TypeInstanceInformation && len(it.Content) > 1 {
		return inventory.ItemErrorf(inventory.InvalidItemContent, it.Type, "A node has one entry of %s; the item has %d.", it.Type, len(it.Content))
	}
	return r.checkUnknown(it)
}

// checkUnknown judges attributes that a built-in type's schema does not have. They are kept, unless the configuration
// says otherwise, up to a bound: each name a type was ever reported with costs memory for ever.
func (r *report) checkUnknown(it *inventory.Item) error {
	schema, _ := inventory.BuiltIn(it.Type)
	limit := r.s.cfg.Limits.Attributes
	var unknown []string
	var judged []string // in order, as the names of every entry are
	for _, e := range it.Content {
		next := 0
		for _, a := range e {
			for next < len(judged) && judged[next] != a.Name {
				next++
			}
			if next++; next <= len(judged) {
				continue
			}
			at, _ := slices.BinarySearch(judged, a.Name)
			judged, next = slices.Insert(judged, at, a.Name), at+1
			if schema.Has(a.Name) {
				continue
			}
			if r.s.cfg.RefuseUnknownAttributes {
				return inventory.ItemErrorf(inventory.InvalidItemContent, it.Type, "The inventory type %s has no attribute %q.", it.Type, clip(a.Name))
			}
			if unknown = append(unknown, a.Name); len(unknown) > limit {
				return r.tooManyAttributes(it)
			}
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	if known, fresh := r.s.replica.Index().NewAttributes(r.key.Partition, it.Type, unknown); fresh > 0 && known+fresh > limit {
		return r.tooManyAttributes(it)
	}
	for _, name := range unknown {
		r.s.noteUnknownAttribute(schema.Type, name)
	}
	return nil
}

func (r *report) tooManyAttributes(it *inventory.Item) error {
	return inventory.ItemErrorf(inventory.InvalidItemContent, it.Type,
		"The inventory type %s would be known with more than %d attributes, most of them not in its schema.", it.Type, r.s.cfg.Limits.Attributes)
}

// ownSchema gives a Custom type's schema as this call has taught it so far.
func (r *report) ownSchema(t inventory.TypeName) customSchema {
	if taught, ok := r.lessons[t]; ok {
		return taught
	}
	return r.types.custom[t]
}

func (r *report) learn(t inventory.TypeName, next customSchema, changed bool) {
	if !changed {
		return
	}
	if r.lessons == nil {
		r.lessons = map[inventory.TypeName]customSchema{}
	}
	r.lessons[t] = next
}

func (r *report) checkTypeCount() error {
	places := r.types.places()
	types := len(places)
	for t := range r.lessons {
		if !slices.Contains(places, t) {
			types++
		}
	}
	if limit := r.s.cfg.Limits.CustomTypes; types > limit && types > len(places) {
		return inventory.Errorf(inventory.CustomSchemaCountLimitExceeded,
			"The account would have %d custom inventory types in this region; at most %d are accepted. Delete one with DeleteInventory and the option DeleteSchema.", types, limit)
	}
	return nil
}

// message says which items were ignored.
func (r *report) message() string {
	var texts []string
	for _, i := range r.ignored {
		texts = append(texts, i.reason())
	}
	return strings.Join(texts, ". ")
}

// noteUnknownAttribute counts an attribute a built-in type should not have and logs the first of each type.
func (s *Service) noteUnknownAttribute(t inventory.TypeName, name string) {
	s.counters.unknownAttributes.Add(1)
	if _, noted := s.unknownOnce.LoadOrStore(t, true); !noted {
		s.log.Warn("built-in inventory type reported with an attribute that is not in its schema; it is kept", "type", string(t), "attribute", clip(name))
	}
}

// clip bounds what a message or log line repeats of a caller's words.
func clip(s string) string {
	const most = 100
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
