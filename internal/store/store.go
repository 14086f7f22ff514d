// Package store is the contract of the truth: one document per node and type, the nodes' records, the shapes documents
// are made of, a feed of changes for each shard, small control-plane records, and a journal of what was done. It knows
// nothing of filters.
//
// Begin with Store. Implementations live below this folder (memory, the oracle; pebble, the embedded default); the laws
// they keep are tests in storetest, one a promise made here. A new implementation passes storetest.Run and is done.
//
// Promises, for every implementation:
//   - Commit is all or nothing, durable when it returns, and conditional on the revision it was computed from; of racing
//     commits of one node at most one wins, the others get ErrConflict.
//   - In each shard, sequences are given in commit order without gaps, and a reader that has seen sequence n never later
//     finds a smaller one it had not seen.
//   - Replaying a shard's changes over a scan of it gives the scan of now.
//   - A line of the journal is never changed, and has one place in its chain for every server.
//   - A shape can be read for as long as a document, or a change still in the feed, names it.
//
// It refuses to interpret what it keeps: limits, schemas and the meaning of hashes belong to callers.
package store

import (
	"context"
	"errors"
	"hash/fnv"
	"time"

	"stocktake/internal/inventory"
)

// The sentinels. Implementations may wrap them; test with errors.Is.
var (
	// ErrNotFound: there is no such node, document or record.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the revision has moved since the caller read it. Read again and compute anew.
	ErrConflict = errors.New("revision has moved")
	// ErrBehind: the feed no longer holds, or never held, the position asked for. Scan the shard again.
	ErrBehind = errors.New("position is not in the feed")
	// ErrCorrupt: what is stored is damaged. The error names the record or file.
	ErrCorrupt = errors.New("stored data is damaged")
	// ErrInUse: another process has the store open.
	ErrInUse = errors.New("store is in use by another process")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store is closed")
	// ErrFenced: the lease the commit was made under was taken over. Stop the work; another server does it.
	ErrFenced = errors.New("lease was taken over")
	// ErrUnavailable: the store's server does not answer, or cannot write. Whether a commit that failed so took effect is
	// not known; what was refused for another reason did not.
	ErrUnavailable = errors.New("store does not answer")
)

// Identity is what a store is given once, when it is made, and keeps for ever.
type Identity struct {
	// ID is random; an index or snapshot belongs to one store by it.
	ID [16]byte
	// Shards is how many shards the feed has (1 to 1024), 64 unless chosen otherwise at creation.
	Shards int
	// HashKey names shapes; TokenKey seals page tokens; RootKey is for secrets kept in records.
	HashKey  inventory.HashKey
	TokenKey [32]byte
	RootKey  [32]byte
}

// DefaultShards is the number of shards of a store made without a choice.
const DefaultShards = 64

// ShardOf gives the shard a node lives in, for a store of so many shards. It never changes for a node of a store.
func ShardOf(key inventory.NodeKey, shards int) int {
	h := fnv.New64a()
	for _, part := range [...]string{key.Account, "/", key.Region, "/", string(key.Node)} {
		_, _ = h.Write([]byte(part)) // a hash does not fail
	}
	// FNV's low bits mix poorly; fold the high half in.
	sum := h.Sum64()
	return int((sum ^ sum>>32) % uint64(shards))
}

// Commit is one atomic write about one node.
type Commit struct {
	// Node is the record to store. Node.Revision is the revision this was computed from, 0 for a node not stored yet.
	// The states of documents in Writes must be in (or, when removed, gone from) Node.Items; their Seq is set by the
	// store.
	Node inventory.Node
	// Writes are the documents that change, in the order their changes take in the feed. Empty for an unchanged report,
	// which then costs no more than the record.
	Writes []Write
	// Arrival is when the service took this up, by its clock: every change of the commit carries it, and pruning goes by
	// it. Zero is the store's own now.
	Arrival time.Time
	// Remove drops the node's record itself. Writes must then remove every document it has.
	Remove bool
	// Fence is the lease the commit is made under; the zero Fence for none. A commit whose fence is below the one raised
	// is refused with ErrFenced, one without writes too.
	Fence Fence
}

// Write is one document put or removed.
type Write struct {
	Key   inventory.ItemKey
	Cause inventory.Cause
	// Document is what to store; nil removes the document. The change of a removal carries the schema version, capture
	// time and context the document last had.
	Document *inventory.Document
	// Delta, Added and Removed go into the change as they are (see inventory.Change).
	Delta   inventory.Delta
	Added   []inventory.ShapeID
	Removed []inventory.ShapeID
	// Shapes holds the text of every shape in Added, whether or not some other document already has it: the shape's last
	// holder may be going away at the same moment.
	Shapes []inventory.Shape
}

// Committed is the outcome of a commit.
type Committed struct {
	// Revision is the node's revision now.
	Revision uint64
	// Changes are the feed's events of this commit, one for each write, in order.
	Changes []inventory.Change
	// After is where the feed of the shard was before them: the change they follow, the zero Position where they begin it.
	After inventory.Position
}

// NodeScan is one node as a scan finds it: its record and all its documents, consistent with each other.
type NodeScan struct {
	Node inventory.Node
	// Documents run parallel to Node.Items. Read leaves those zero that it was not asked for.
	Documents []inventory.Document
}

// Store is the truth. All methods may be called at any time from any goroutine; each gives up when ctx is done, but a
// Commit that gave up may still have happened.
type Store interface {
	// Identity is read once at opening and never fails after.
	Identity() Identity

	// Commit writes; see the package's promises. ErrConflict when Node.Revision is not the stored revision, ErrFenced when
	// the lease it was made under was taken over.
	Commit(ctx context.Context, c Commit) (Committed, error)
	// Node gives a node's record, or ErrNotFound.
	Node(ctx context.Context, key inventory.NodeKey) (inventory.Node, error)
	// Document gives a node's document, or ErrNotFound. Its sequence is the Seq of the record's item read before it or a
	// later one.
	Document(ctx context.Context, key inventory.DocumentKey) (inventory.Document, error)
	// Read gives the nodes asked for, none twice, in the order of keys; those that are not stored are left out. Each has
	// the documents of the types given (of every sub-type), consistent with its record; documents of other types are left
	// zero, and without types there are none. It takes one round trip however many keys; callers keep to some hundreds.
	Read(ctx context.Context, keys []inventory.NodeKey, types []inventory.TypeName) ([]NodeScan, error)
	// Shapes gives the text of the shapes asked for, in the same order, as documents of the shard name them. A shape that
	// no longer exists is ErrNotFound: the document that named it was changed in between; read it again.
	Shapes(ctx context.Context, shard int, p inventory.Partition, t inventory.TypeName, ids []inventory.ShapeID) ([]inventory.Shape, error)

	// Scan gives up to limit nodes of a shard in a fixed order, starting after the given node (nil: from the first), and
	// whether there may be more. Changes with a sequence at or below a document's ItemState.Seq are already in it.
	Scan(ctx context.Context, shard int, after *inventory.NodeKey, limit int) (nodes []NodeScan, more bool, err error)

	// Heads gives the position of the newest change of every shard, the zero Position for a shard without any.
	Heads(ctx context.Context) ([]inventory.Position, error)
	// Changes gives up to limit changes of a shard after the given position, in order; fewer means the end was reached.
	// ErrBehind when the position is not in the feed (pruned, or of another history).
	Changes(ctx context.Context, shard int, after inventory.Position, limit int) ([]inventory.Change, error)
	// OldestChange gives the oldest change a shard's feed still holds, or ErrNotFound where there is none. Changes gives
	// what follows it.
	OldestChange(ctx context.Context, shard int) (inventory.Change, error)
	// Prune drops changes that arrived before the given time from the old end of every shard's feed, except those a
	// registered reader has not passed and the one it stands on, so that it can go on from there. The newest change of a
	// shard always stays. It gives the number dropped.
	Prune(ctx context.Context, before time.Time) (int, error)
	// Sweep drops shapes that no document and no change names any more. Safe beside commits. It gives the number dropped.
	Sweep(ctx context.Context) (int, error)

	Records
	Readers
	Fences
	Journal
	Loader
	Viewer

	// Close waits for calls under way and releases the store. Everything acknowledged is durable already.
	Close() error
}

// Record is one control-plane record: a schema, a job, an event. Key is a path made by Key; Value is opaque. Revision is
// below 1<<63.
type Record struct {
	Key      string
	Value    []byte
	Revision uint64
}

// Records is the store's narrow role for the control plane.
type Records interface {
	// Record gives one record, or ErrNotFound.
	Record(ctx context.Context, key string) (Record, error)
	// ListRecords gives up to limit records whose keys begin with prefix and are greater than after, in bytewise key order.
	ListRecords(ctx context.Context, prefix, after string, limit int) ([]Record, error)
	// PutRecord stores r if its Revision is the stored one (0: there must be none) and gives the new revision, greater
	// than any the store gave before; else ErrConflict.
	PutRecord(ctx context.Context, r Record) (uint64, error)
	// DeleteRecord removes the record if its revision is the stored one; else ErrConflict (ErrNotFound where there is none).
	DeleteRecord(ctx context.Context, key string, revision uint64) error
	// RecordsHead gives the position of the newest write to any record: a sequence that moves with each and an id of the
	// write's own, the zero Position before the first. A cache is fresh while the position is equal to the one it was
	// read at; a fail-over can go back in history, so a smaller one is no older.
	RecordsHead(ctx context.Context) (inventory.Position, error)
}

// Readers is the store's role for those who follow the feed and want it kept until they have read it.
type Readers interface {
	// SetReader registers a reader, or moves it: it has read every shard up to the given sequences (one a shard).
	SetReader(ctx context.Context, name string, read []uint64) error
	// DropReader forgets a reader; one that is not registered is no error.
	DropReader(ctx context.Context, name string) error
}
