package ssm

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"

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
	q, fault := s.listing(ctx, p, in)
	// Where the question itself is at fault, that the node is not known comes first.
	scan, err := s.readListed(ctx, q)
	if errors.Is(err, store.ErrNotFound) {
		return out, inventory.Errorf(inventory.InvalidInstanceID, "The node %s isn't known here. GetInventory lists the nodes.", in.Node)
	}
	if err = cmp.Or(err, fault); err != nil {
		return out, err
	}
	return s.listPage(ctx, q, scan)
}

// listing is a checked question for a page of entries.
type listing struct {
	key     inventory.NodeKey
	of      inventory.TypeName
	filters []inventory.Filter
	asked   []byte
	from    *token
	offset  int
	limit   int
}

// listing checks what was asked. With an error it still says of which node and type.
func (s *Service) listing(ctx context.Context, p inventory.Partition, in ListInventoryEntriesInput) (listing, error) {
	q := listing{
		key: inventory.NodeKey{Partition: p, Node: in.Node}, of: in.Type,
		limit: pageSize(cmp.Or(in.MaxResults, usualPage), s.cfg.Limits.PageEntries),
	}
	types, err := s.schemas.catalogue(ctx, p)
	if err != nil {
		return q, err
	}
	schema, known := types.Schema(in.Type)
	if !known {
		return q, inventory.Errorf(inventory.InvalidTypeName, "The inventory type %s isn't known. GetInventorySchema lists the types.", in.Type)
	}
	if q.filters, err = inventory.ParseEntryFilters(schema, in.Filters); err != nil {
		return q, err
	}
	if q.asked, err = question([]any{in.Node, in.Type, in.Filters}); err != nil {
		return q, err
	}
	if q.from, err = s.openToken(p, "ListInventoryEntries", q.asked, in.NextToken); q.from != nil {
		q.offset = q.from.Offset
	}
	return q, err
}

// readListed reads the node with its documents, and of those, if no filter has to see them all, what the page takes and
// whether there is more.
func (s *Service) readListed(ctx context.Context, q listing) (store.NodeScan, error) {
	if store, ok := s.store.(store.Excerpter); ok && len(q.filters) == 0 {
		return store.Excerpt(ctx, q.key, q.of, q.offset, q.limit+1)
	}
	return s.readNode(ctx, q.key, q.of)
}

func (s *Service) listPage(ctx context.Context, q listing, scan store.NodeScan) (ListInventoryEntriesOutput, error) {
	var out ListInventoryEntriesOutput
	var basis []byte
	var c typeContent
	var more bool
	var err error
	for range readTries {
		basis = documentsBasis(scan.Node, q.of)
		if q.from != nil && string(q.from.Basis) != string(basis) {
			return out, inventory.Errorf(inventory.InvalidNextToken, "The entries of %s have changed since the page before. Repeat the request without NextToken to begin again.", q.of)
		}
		if c, more, err = s.entriesFrom(ctx, scan, q.of, q.filters, q.offset, q.limit); !errors.Is(err, store.ErrNotFound) {
			break
		}
		// It was written since it was read, and the texts of its shapes are gone already.
		if scan, err = s.readListed(ctx, q); err != nil && !errors.Is(err, store.ErrNotFound) {
			break
		}
	}
	if err != nil {
		return out, err
	}
	out = ListInventoryEntriesOutput{SchemaVersion: c.SchemaVersion, CaptureTime: c.CaptureTime, Entries: c.Entries}
	if more {
		out.NextToken, err = s.sealToken(q.key.Partition, "ListInventoryEntries", q.asked, token{Offset: q.offset + q.limit, Basis: basis})
	}
	return out, err
}

// entriesFrom gives one page of the entries that meet the filters. Without filters only the page's own entries are put
// together.
func (s *Service) entriesFrom(ctx context.Context, scan store.NodeScan, t inventory.TypeName, filters []inventory.Filter, offset, limit int) (typeContent, bool, error) {
	var page typeContent
	skip, more := offset, false
	for i, state := range scan.Node.Items {
		if state.Type != t {
			continue
		}
		key := documentKey(scan.Node.Key, state.ItemKey)
		entries, err := s.documentEntries(ctx, key, scan.Documents[i].Refs, state.Context, filters, &skip, limit+1-len(page.Entries))
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
func (s *Service) documentEntries(ctx context.Context, key inventory.DocumentKey, refs []inventory.Ref, itemContext inventory.Entry, filters []inventory.Filter, skip *int, limit int) ([]inventory.Entry, error) {
	if len(filters) == 0 {
		skipped := min(*skip, len(refs))
		*skip -= skipped
		refs = refs[skipped:]
		return s.entries(ctx, key, refs[:min(len(refs), limit)], itemContext)
	}
	entries, err := s.entries(ctx, key, refs, itemContext)
	if err != nil {
		return nil, err
	}
	entries = inventory.FilterEntries(filters, entries)
	skipped := min(*skip, len(entries))
	*skip -= skipped
	entries = entries[skipped:]
	return entries[:min(len(entries), limit)], nil
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
