package store

import (
	"context"
	"io"

	"stocktake/internal/inventory"
)

// Fence is the number of a lease a commit was made under. Whoever takes the lease over has a greater one, and raises the
// fence before doing any of the work, so that a holder that was only paused can write no more.
type Fence struct {
	// Lease is the lease's name; empty: the commit is made under none. A store keeps the number of every name for ever, so
	// names are of kinds of work, not of pieces of it.
	Lease string
	// Number is the lease's at the time its holder took it: from 1 on, below 1<<63.
	Number uint64
}

// Fences is the store's role for work that one server does at a time.
type Fences interface {
	// RaiseFence makes every commit that carries a smaller number of the lease fail with ErrFenced: once it has returned,
	// none of them takes effect any more, whenever it began; but one without writes, which changes no document, may if it
	// began before the return. It is durable. Raising to the number it has is no error; to a smaller one is ErrFenced.
	RaiseFence(ctx context.Context, f Fence) error
}

// Snapshots is the role of a store that keeps the newest snapshot of the index for servers without one of their own. A
// snapshot is a cache: one that is lost or damaged costs time only.
type Snapshots interface {
	// SaveSnapshot keeps what write writes in the place of the snapshot before, once all of it is written and write gave no
	// error.
	SaveSnapshot(ctx context.Context, write func(io.Writer) error) error
	// LoadSnapshot has read read the snapshot kept, or gives ErrNotFound without calling it.
	LoadSnapshot(ctx context.Context, read func(io.Reader) error) error
}

// Typed is a shape with what it belongs to.
type Typed struct {
	inventory.Partition
	Type inventory.TypeName
	inventory.Shape
}

// Loader is the role of a store that takes over the content of another: what is loaded keeps its revisions, sequences
// and ids. It is for a store nobody else uses yet, made with the other's identity; loading the same again changes
// nothing, so that an interrupted copy goes on from wherever it likes. What a call loaded is seen when it returns, and
// durable when a later PutRecord or DeleteRecord has returned: what says that something was loaded is never there without
// it. A call that fails loaded nothing, unless the store did not answer. ErrConflict: the store holds something else in its place,
// because the other store has changed since; begin with an empty one.
//
// Shapes come before what names them, and nodes are best loaded before changes: a store may keep but once what both
// hold. Callers keep to some hundreds of nodes, changes, records or lines a call. Fences and readers are not taken over.
type Loader interface {
	// LoadShapes puts shapes that nodes and changes loaded later name. Until they do, Sweep may not be called.
	LoadShapes(ctx context.Context, shard int, shapes []Typed) error
	// LoadNodes puts nodes of a shard as a scan of the other store gave them. Revisions given later differ from all theirs.
	LoadNodes(ctx context.Context, shard int, nodes []NodeScan) error
	// LoadChanges puts consecutive changes at the end of a shard's feed. The first ever loaded begins the feed, whatever its
	// sequence; what lies before it counts as pruned. Changes the feed holds already are passed over.
	LoadChanges(ctx context.Context, shard int, changes []inventory.Change) error
	// LoadRecords puts records with their revisions; revisions given later are greater than any of them. It moves the
	// records' head.
	LoadRecords(ctx context.Context, records []Record) error
	// LoadJournal puts consecutive lines at the end of a chain, the first ever loaded beginning it whatever its sequence,
	// and intentions with their times. Lines and intentions the chain holds already are passed over.
	LoadJournal(ctx context.Context, chain int, lines []JournalLine, intentions []Intention) error
}
