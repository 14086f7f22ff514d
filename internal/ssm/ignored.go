package ssm

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// recordIgnored holds, by partition and node, what the node sent lately that was not stored: a list, the oldest first.
const recordIgnored = "ignored"

const (
	// ignoredLife is how long an ignored item is told of.
	ignoredLife = 30 * 24 * time.Hour
	// mostIgnored bounds those of a node: a version is whatever the node writes.
	mostIgnored = 20
)

// IgnoredItem is an item that was not stored because its schema version is disabled.
type IgnoredItem struct {
	Time    time.Time // of the first of its type and version on its day
	Type    inventory.TypeName
	Version string
	// Disabled is the version that is disabled with all below it.
	Disabled string `json:",omitempty"`
}

func (i IgnoredItem) reason() string {
	return fmt.Sprintf("The inventory item with type name %s was sent with a disabled schema version %s. You must send a version greater than %s", i.Type, i.Version, i.Disabled)
}

// same reports whether two items are of one type, version and day.
func (i IgnoredItem) same(other IgnoredItem) bool {
	const day = 24 * time.Hour
	return i.Type == other.Type && i.Version == other.Version && i.Time.Truncate(day).Equal(other.Time.Truncate(day))
}

func ignoredKey(key inventory.NodeKey) string {
	return store.Key(recordIgnored, key.Account, key.Region, string(key.Node))
}

// noteIgnored keeps the items of a report that were ignored, once a type, version and day. The report is stored by then:
// what goes wrong here is logged.
func (s *Service) noteIgnored(ctx context.Context, key inventory.NodeKey, ignored []IgnoredItem) {
	if len(ignored) == 0 {
		return
	}
	err := retry(ctx, func() error {
		var kept []IgnoredItem
		revision, err := s.readRecord(ctx, ignoredKey(key), &kept)
		if err != nil {
			return err
		}
		next := withIgnored(kept, ignored)
		if len(next) == 0 {
			return nil
		}
		return s.swapRecord(ctx, ignoredKey(key), next, revision)
	})
	if err != nil {
		s.log.Warn("that items of a disabled schema version were ignored can't be noted for node explain",
			"account", key.Account, "region", key.Region, "node", string(key.Node), "error", err)
	}
}

// withIgnored gives the items to keep, of those kept and those of one report; none where there is nothing to add. What
// came first on a day stays, so that a node writes no more than its bound each day.
func withIgnored(kept, ignored []IgnoredItem) []IgnoredItem {
	now := ignored[0].Time
	next := freshIgnored(kept, now)
	today := 0
	for _, i := range next {
		if i.Time.Truncate(24 * time.Hour).Equal(now.Truncate(24 * time.Hour)) {
			today++
		}
	}
	before := len(next)
	for _, i := range ignored {
		if today < mostIgnored && !slices.ContainsFunc(next, i.same) {
			next = append(next, i)
			today++
		}
	}
	if len(next) == before {
		return nil
	}
	return next[max(0, len(next)-mostIgnored):]
}

// freshIgnored gives the items that are still told of.
func freshIgnored(kept []IgnoredItem, now time.Time) []IgnoredItem {
	return slices.DeleteFunc(slices.Clone(kept), func(i IgnoredItem) bool { return now.Sub(i.Time) > ignoredLife })
}

// ignoredOf gives the items of a node that were ignored lately, the oldest first.
func (s *Service) ignoredOf(ctx context.Context, key inventory.NodeKey) ([]IgnoredItem, error) {
	var kept []IgnoredItem
	_, err := s.readRecord(ctx, ignoredKey(key), &kept)
	return freshIgnored(kept, time.Now()), err
}

// oldEvents is the first part of the keys of events, which the release before wrote and nothing read: the time is the
// fourth part. Those that are left end after a month, as they did.
const oldEvents = "event"

// pruneIgnored drops what is no longer told of.
func (s *Service) pruneIgnored(ctx context.Context) error {
	now := time.Now()
	var old []store.Record
	err := eachRecord(ctx, s.store, store.Key(recordIgnored, ""), func(rec store.Record) error {
		var kept []IgnoredItem
		if json.Unmarshal(rec.Value, &kept) != nil || len(freshIgnored(kept, now)) == 0 {
			old = append(old, rec)
		}
		return nil
	})
	if err != nil {
		return err
	}
	first := fmt.Sprintf("%020d", now.Add(-ignoredLife).UnixNano())
	err = eachRecord(ctx, s.store, store.Key(oldEvents, ""), func(rec store.Record) error {
		if parts := store.KeyParts(rec.Key); len(parts) > 3 && parts[3] < first {
			old = append(old, rec)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.dropRecords(ctx, old)
}
