package transfer_test

import (
	"context"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// tamper changes what a store gives, as damage or a fault of the store would.
type tamper struct {
	node   func(n *store.NodeScan)
	change func(c *inventory.Change)
	record func(r *store.Record)
	line   func(l *store.JournalLine)
	intent func(in *store.Intention)
}

var tampers = map[string]tamper{
	"revision":       {node: func(n *store.NodeScan) { n.Node.Revision++ }},
	"status":         {node: func(n *store.NodeScan) { n.Node.Status = inventory.Terminated }},
	"enrolled":       {node: func(n *store.NodeScan) { n.Node.Enrolled = n.Node.Enrolled.Add(time.Nanosecond) }},
	"item gone":      {node: func(n *store.NodeScan) { n.Node.Items, n.Documents = n.Node.Items[1:], n.Documents[1:] }},
	"hash":           {node: func(n *store.NodeScan) { n.Node.Items[0].Hash += "x" }},
	"capture time":   {node: func(n *store.NodeScan) { n.Node.Items[0].CaptureTime += "Z" }},
	"arrival":        {node: func(n *store.NodeScan) { n.Node.Items[0].Arrival = n.Node.Items[0].Arrival.Add(1) }},
	"sequence":       {node: func(n *store.NodeScan) { n.Node.Items[0].Seq++ }},
	"split":          {node: func(n *store.NodeScan) { n.Documents[0].Split++ }},
	"entry repeated": {node: func(n *store.NodeScan) { n.Documents[0].Refs = append(n.Documents[0].Refs, n.Documents[0].Refs...) }},
	"change id":      {change: func(c *inventory.Change) { c.ID[0]++ }},
	"cause":          {change: func(c *inventory.Change) { c.Cause++ }},
	"gone":           {change: func(c *inventory.Change) { c.Gone = !c.Gone }},
	"change arrival": {change: func(c *inventory.Change) { c.Arrival = c.Arrival.Add(1) }},
	"delta":          {change: func(c *inventory.Change) { c.Delta = append(c.Delta, inventory.Edit{Copy: 1}) }},
	"record value":   {record: func(r *store.Record) { r.Value = append(r.Value, 0) }},
	"line":           {line: func(l *store.JournalLine) { l.Text = append([]byte("x"), l.Text...) }},
	"intention":      {intent: func(in *store.Intention) { in.Since = in.Since.Add(time.Microsecond) }},
	"record version": {record: func(r *store.Record) { r.Revision++ }},
}

// retold is a store that gives shapes another text.
type retold struct{ store.Store }

func (s retold) Shapes(ctx context.Context, shard int, p inventory.Partition, t inventory.TypeName, ids []inventory.ShapeID) ([]inventory.Shape, error) {
	shapes, err := s.Store.Shapes(ctx, shard, p, t, ids)
	for i := range shapes {
		shapes[i].Text += "\x01a\x01b"
	}
	return shapes, err
}

// tampered is a store seen through a tamper, which changes the first thing it can of every answer.
type tampered struct {
	store.Store
	tamper tamper
}

func (s tampered) Scan(ctx context.Context, shard int, after *inventory.NodeKey, limit int) ([]store.NodeScan, bool, error) {
	nodes, more, err := s.Store.Scan(ctx, shard, after, limit)
	if s.tamper.node == nil {
		return nodes, more, err
	}
	for i := range nodes {
		if n := &nodes[i]; len(n.Documents) > 0 && len(n.Documents[0].Refs) > 0 {
			s.tamper.node(n)
			break
		}
	}
	return nodes, more, err
}

func (s tampered) Changes(ctx context.Context, shard int, after inventory.Position, limit int) ([]inventory.Change, error) {
	changes, err := s.Store.Changes(ctx, shard, after, limit)
	if s.tamper.change != nil && len(changes) > 1 { // the last one is where the reader goes on
		s.tamper.change(&changes[0])
	}
	return changes, err
}

func (s tampered) ListRecords(ctx context.Context, prefix, after string, limit int) ([]store.Record, error) {
	records, err := s.Store.ListRecords(ctx, prefix, after, limit)
	if s.tamper.record != nil && len(records) > 0 {
		s.tamper.record(&records[0])
	}
	return records, err
}

func (s tampered) ReadJournal(ctx context.Context, chain int, after uint64, limit int) ([]store.JournalLine, error) {
	lines, err := s.Store.ReadJournal(ctx, chain, after, limit)
	if s.tamper.line != nil && len(lines) > 0 {
		s.tamper.line(&lines[0])
	}
	return lines, err
}

func (s tampered) Intentions(ctx context.Context, chain, limit int) ([]store.Intention, error) {
	intentions, err := s.Store.Intentions(ctx, chain, limit)
	if s.tamper.intent != nil && len(intentions) > 0 {
		s.tamper.intent(&intentions[0])
	}
	return intentions, err
}
