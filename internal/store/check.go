package store

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"stocktake/internal/inventory"
)

// Check reports what is wrong with a commit as far as the commit alone can tell: its parts contradict each other, or the
// text of an added shape is missing. Every implementation refuses such a commit with this error, and one that does not
// fit what is stored with ErrConflict or an error of its own; either way nothing is written.
func (c Commit) Check() error {
	k := c.Node.Key
	if k.Account == "" || k.Region == "" || k.Node == "" {
		return fmt.Errorf("commit names no whole node: %q", k)
	}
	if c.Remove && len(c.Node.Items) > 0 {
		return errors.New("commit removes a node that keeps documents")
	}
	if c.Fence != (Fence{}) {
		if err := c.Fence.Check(); err != nil {
			return fmt.Errorf("commit of node %s: %w", k.Node, err)
		}
	}
	for i := 1; i < len(c.Node.Items); i++ {
		if inventory.CompareItemKeys(c.Node.Items[i-1].ItemKey, c.Node.Items[i].ItemKey) >= 0 {
			return fmt.Errorf("commit of node %s has its items out of order at %q", k.Node, c.Node.Items[i].Type)
		}
	}
	for i, w := range c.Writes {
		if slices.ContainsFunc(c.Writes[:i], func(o Write) bool { return o.Key == w.Key }) {
			return fmt.Errorf("commit of node %s writes %q twice", k.Node, w.Key.Type)
		}
		if (w.Document != nil) != (c.Node.Item(w.Key) != nil) {
			return fmt.Errorf("commit of node %s writes %q against its own items", k.Node, w.Key.Type)
		}
		if err := w.check(); err != nil {
			return fmt.Errorf("commit of node %s, %q: %w", k.Node, w.Key.Type, err)
		}
	}
	return nil
}

// Check reports what is wrong with a fence to raise, or of a commit that has one.
func (f Fence) Check() error {
	if f.Lease == "" || f.Number == 0 || f.Number > math.MaxInt64 {
		return fmt.Errorf("fence %d of the lease %q is none: it needs a name and a number from 1 to %d", f.Number, f.Lease, math.MaxInt64)
	}
	return nil
}

// Check reports whether a store can be made with the identity.
func (id Identity) Check() error {
	if id.Shards < 1 || id.Shards > 1024 {
		return fmt.Errorf("a store has 1 to 1024 shards, not %d", id.Shards)
	}
	if id.ID == ([16]byte{}) {
		return errors.New("a store's identity needs an id")
	}
	return nil
}

func (w Write) check() error {
	if w.Key.Type == "" {
		return errors.New("document without a type")
	}
	if w.Document == nil && (len(w.Delta) > 0 || len(w.Added) > 0) {
		return errors.New("removal that adds something")
	}
	if slices.EqualFunc(w.Added, w.Shapes, func(id inventory.ShapeID, s inventory.Shape) bool { return id == s.ID }) {
		return nil
	}
	have := make(map[inventory.ShapeID]struct{}, len(w.Shapes))
	for _, s := range w.Shapes {
		have[s.ID] = struct{}{}
	}
	for _, id := range w.Added {
		if _, ok := have[id]; !ok {
			return fmt.Errorf("shape %s is added without its text", id)
		}
	}
	return nil
}

// CheckFits reports whether the commit accounts for every document of the node as stored (old; the zero Node where there
// is none): documents it does not write must be in its items just when they are stored.
func (c Commit) CheckFits(old *inventory.Node) error {
	written := func(key inventory.ItemKey) bool {
		return slices.ContainsFunc(c.Writes, func(w Write) bool { return w.Key == key })
	}
	for _, s := range old.Items {
		if c.Node.Item(s.ItemKey) == nil && !written(s.ItemKey) {
			return fmt.Errorf("commit of node %s loses its %q", c.Node.Key.Node, s.Type)
		}
	}
	for _, s := range c.Node.Items {
		if old.Item(s.ItemKey) == nil && !written(s.ItemKey) {
			return fmt.Errorf("commit of node %s has the state of a %q that is not stored", c.Node.Key.Node, s.Type)
		}
	}
	for _, w := range c.Writes {
		if w.Document == nil && old.Item(w.Key) == nil {
			return fmt.Errorf("commit of node %s removes a %q that is not stored", c.Node.Key.Node, w.Key.Type)
		}
	}
	return nil
}
