package store

import (
	"context"

	"stocktake/internal/inventory"
)

// Excerpter is the role of a store that reads part of a node's entries for less than all of them.
type Excerpter interface {
	// Excerpt is Read of one node with its documents of one type, and ErrNotFound where there is none. Documents have all
	// their refs, but of those only so many from the first on, counted from 0 through all these documents, say what they are
	// of; the others hold nothing of meaning.
	Excerpt(ctx context.Context, key inventory.NodeKey, t inventory.TypeName, first, most int) (NodeScan, error)
}
