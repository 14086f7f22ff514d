package store

import (
	"context"

	"stocktake/internal/inventory"
)

// Outliner is the role of a store that numbers the shapes of a partition and type, for who starts by reading all of it:
// each text is read once, and documents take a number a ref. Numbers are good for as long as the store is open.
type Outliner interface {
	// EachText calls use with the texts of all shapes and their numbers, some at a time, all of one partition and type. It
	// gives use's first error.
	EachText(ctx context.Context, use func(Numbered) error) error
	// Outline is Scan without what entries carry outside of shapes. A document may name a number newer than EachText
	// told.
	Outline(ctx context.Context, shard int, after *inventory.NodeKey, limit int) (nodes []NodeOutline, more bool, err error)
}

// Numbered is shapes of a partition and type with the store's numbers for them, both of the same length.
type Numbered struct {
	Partition inventory.Partition
	Type      inventory.TypeName
	Numbers   []uint32
	Shapes    []inventory.Shape
}

// NodeOutline is one node as an outline finds it.
type NodeOutline struct {
	Node inventory.Node
	// Documents run parallel to Node.Items.
	Documents []DocumentOutline
}

// DocumentOutline is a document by numbers.
type DocumentOutline struct {
	Split uint32
	// Shapes has the number of every ref's shape; Volatile the names of the attributes that any ref carries itself.
	Shapes   []uint32
	Volatile []string
}
