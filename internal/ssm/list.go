package ssm

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// ListInventoryEntriesInput asks for the entries a node holds of one type.
type ListInventoryEntriesInput struct {
	Node    inventory.NodeID
	Type    inventory.TypeName
	Filters []inventory.RawFilter
	// MaxResults is the page size; 0 for the largest.
	MaxResults int
	NextToken  string
}

// ListInventoryEntriesOutput is one page of them. SchemaVersion and CaptureTime are empty when nothing is stored.
type ListInventoryEntriesOutput struct {
	SchemaVersion string
	CaptureTime   string
	Entries       []inventory.Entry
	NextToken     string
}

// ListInventoryEntries gives a page of a node's entries of a type, in the order they were reported. Pages belong to one
// state of the documents: when a report changes them in between, the token of the next page is refused.
func (s *Service) ListInventoryEntries(ctx context.Context, p inventory.Partition, in ListInventoryEntriesInput) (ListInventoryEntriesOutput, error) {
	var out ListInventoryEntriesOutput
	key := inventory.NodeKey{Partition: p, Node: in.Node}
	node, err := s.store.Node(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return out, inventory.Errorf(inventory.InvalidInstanceID, "The node %s isn't known here. GetInventory lists the nodes.", in.Node)
	}
	if err != nil {
		return out, err
	}
	types, err := s.schemas.catalogue(ctx, p)
	if err != nil {
		return out, err
	}
	schema, known := types.Schema(in.Type)
	if !known {
		return out, inventory.Errorf(inventory.InvalidTypeName, "The inventory type %s isn't known. GetInventorySchema lists the types.", in.Type)
	}
	filters, err := inventory.ParseEntryFilters(schema, in.Filters)
	if err != nil {
		return out, err
	}
	asked, err := question([]any{in.Node, in.Type, in.Filters})
	if err != nil {
		return out, err
	}
	from, err := s.openToken(p, "ListInventoryEntries", asked, in.NextToken)
	if err != nil {
		return out, err
	}
	return s.listPage(ctx, p, node, in, filters, asked, from)
}

func (s *Service) listPage(ctx context.Context, p inventory.Partition, node inventory.Node, in ListInventoryEntriesInput, filters []inventory.Filter, asked []byte, from *token) (ListInventoryEntriesOutput, error) {
	var out ListInventoryEntriesOutput
	offset := 0
	if from != nil {
		offset = from.Offset
	}
	limit := pageSize(cmp.Or(in.MaxResults, usualPage), s.cfg.Limits.PageEntries)
	var basis []byte
	var c typeContent
	more, whole := false, false
	for try := 0; !whole; try++ {
		if try == readTries {
			return out, fmt.Errorf("%s of %s is written faster than it can be read: %w", in.Type, in.Node, store.ErrConflict)
		}
		basis = documentsBasis(node, in.Type)
		if from != nil && string(from.Basis) != string(basis) {
			return out, inventory.Errorf(inventory.InvalidNextToken, "The entries of %s have changed since the page before. Repeat the request without NextToken to begin again.", in.Type)
		}
		var err error
		if c, more, err = s.entriesFrom(ctx, node, in.Type, filters, offset, limit); err != nil {
			return out, err
		}
		if node, whole, err = s.still(ctx, node, in.Type); err != nil {
			return out, err
		}
	}
	var err error
	out = ListInventoryEntriesOutput{SchemaVersion: c.SchemaVersion, CaptureTime: c.CaptureTime, Entries: c.Entries}
	if more {
		out.NextToken, err = s.sealToken(p, "ListInventoryEntries", asked, token{Offset: offset + limit, Basis: basis})
	}
	return out, err
}

// still gives a node's record as it is now, and whether its documents of a type are those it had: what was read of them
// in between is of one state then.
func (s *Service) still(ctx context.Context, was inventory.Node, t inventory.TypeName) (now inventory.Node, same bool, err error) {
	now, err = s.store.Node(ctx, was.Key)
	if errors.Is(err, store.ErrNotFound) {
		now, err = inventory.Node{Key: was.Key}, nil
	}
	return now, bytes.Equal(documentsBasis(now, t), documentsBasis(was, t)), err
}

// entriesFrom gives one page of the entries that meet the filters. Without filters only the page's own entries are put
// together.
func (s *Service) entriesFrom(ctx context.Context, node inventory.Node, t inventory.TypeName, filters []inventory.Filter, offset, limit int) (typeContent, bool, error) {
	var page typeContent
	skip, more := offset, false
	for _, state := range node.ItemsOf(t) {
		entries, err := s.documentEntries(ctx, node.Key, state, filters, &skip, limit+1-len(page.Entries))
		if err != nil {
			return page, false, err
		}
		page.add(state, entries)
	}
	if len(page.Entries) > limit {
		page.Entries, more = page.Entries[:limit], true
	}
	return page, more, nil
}

// documentEntries gives up to limit entries of one document that meet the filters, after skipping the first *skip, which
// it counts down.
func (s *Service) documentEntries(ctx context.Context, node inventory.NodeKey, state inventory.ItemState, filters []inventory.Filter, skip *int, limit int) ([]inventory.Entry, error) {
	key := documentKey(node, state.ItemKey)
	for try := 0; ; try++ {
		d, err := s.store.Document(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			return nil, nil // removed since the record was read
		}
		if err != nil {
			return nil, err
		}
		refs, skipped := d.Refs, 0
		if len(filters) == 0 {
			skipped = min(*skip, len(refs))
			refs = refs[skipped:]
			refs = refs[:min(len(refs), limit)]
		}
		entries, err := s.entries(ctx, key, refs, state.Context)
		if errors.Is(err, store.ErrNotFound) && try < readTries {
			continue
		}
		if err != nil {
			return nil, err
		}
		if len(filters) > 0 {
			entries = inventory.FilterEntries(filters, entries)
			skipped = min(*skip, len(entries))
			entries = entries[skipped:]
			entries = entries[:min(len(entries), limit)]
		}
		*skip -= skipped
		return entries, nil
	}
}

// documentsBasis names the state of a node's documents of a type: it moves when any of them is written.
func documentsBasis(node inventory.Node, t inventory.TypeName) []byte {
	var b []byte
	for _, state := range node.ItemsOf(t) {
		b = binary.AppendUvarint(b, uint64(len(state.SubType)))
		b = append(b, state.SubType...)
		b = binary.AppendUvarint(b, state.Seq)
	}
	return b
}

// pageSize gives how many results a page has: what was asked for, at most the limit; none asked means the limit.
func pageSize(asked, limit int) int {
	if asked <= 0 || asked > limit {
		return limit
	}
	return asked
}

// usualPage is how many nodes or entries a page has when none are asked for (seen of the live service).
const usualPage = 50
