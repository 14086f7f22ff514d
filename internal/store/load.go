package store

import (
	"errors"
	"fmt"
	"math"

	"stocktake/internal/inventory"
)

// CheckNodes reports what is wrong with nodes given to LoadNodes as far as they alone can tell.
func CheckNodes(shard, shards int, nodes []NodeScan) error {
	for i := range nodes {
		n := &nodes[i].Node
		k := n.Key
		switch {
		case k.Account == "" || k.Region == "" || k.Node == "":
			return fmt.Errorf("what is loaded names no whole node: %q", k)
		case ShardOf(k, shards) != shard:
			return fmt.Errorf("node %s is not of shard %d of %d", k.Node, shard, shards)
		case n.Revision == 0 || n.Revision > math.MaxInt64:
			return fmt.Errorf("node %s has the revision %d, which no store gives", k.Node, n.Revision)
		case len(n.Items) != len(nodes[i].Documents):
			return fmt.Errorf("node %s has %d items and %d documents", k.Node, len(n.Items), len(nodes[i].Documents))
		}
		for j := 1; j < len(n.Items); j++ {
			if inventory.CompareItemKeys(n.Items[j-1].ItemKey, n.Items[j].ItemKey) >= 0 {
				return fmt.Errorf("node %s has its items out of order at %q", k.Node, n.Items[j].Type)
			}
		}
	}
	return nil
}

// CheckChanges reports what is wrong with changes given to LoadChanges as far as they alone can tell.
func CheckChanges(shard, shards int, changes []inventory.Change) error {
	for i := range changes {
		c := &changes[i]
		switch {
		case c.Shard != shard || ShardOf(c.Document.NodeKey, shards) != shard:
			return fmt.Errorf("change %d of %q of node %s is not of shard %d of %d", c.Seq, c.Document.Type, c.Document.Node, shard, shards)
		case c.Seq == 0 || c.ID == (inventory.ChangeID{}):
			return fmt.Errorf("change %d of shard %d has no position", c.Seq, shard)
		case i > 0 && c.Seq != changes[i-1].Seq+1:
			return fmt.Errorf("changes %d and %d of shard %d do not follow one another", changes[i-1].Seq, c.Seq, shard)
		case c.Document.Type == "":
			return fmt.Errorf("change %d of shard %d names no document", c.Seq, shard)
		}
	}
	return nil
}

// CheckRecords reports what is wrong with records given to LoadRecords as far as they alone can tell.
func CheckRecords(records []Record) error {
	for _, r := range records {
		if r.Key == "" {
			return errors.New("a record needs a key")
		}
		if r.Revision == 0 || r.Revision > math.MaxInt64 {
			return fmt.Errorf("record %q has the revision %d, which no store gives", r.Key, r.Revision)
		}
	}
	return nil
}
