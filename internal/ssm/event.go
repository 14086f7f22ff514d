package ssm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// recordEvent is the first part of the keys of events: what AWS would send to EventBridge as "Inventory Resource State
// Change". They are kept for a month, for whoever delivers them.
const recordEvent = "event"

// eventLife is how long events are kept.
const eventLife = 30 * 24 * time.Hour

// Event is one state change, with the members of the detail AWS sends (User Guide, EventBridge examples).
type Event struct {
	Time         time.Time          `json:"time"`
	ActionStatus string             `json:"action-status"`
	Action       string             `json:"action"`
	ResourceType string             `json:"resource-type,omitempty"`
	ResourceID   string             `json:"resource-id"`
	ActionReason string             `json:"action-reason"`
	Type         inventory.TypeName `json:"type-name"`
}

// eventKey sorts events by time; the name tells those of one moment apart.
func eventKey(p inventory.Partition, at time.Time, name string) string {
	return store.Key(recordEvent, p.Account, p.Region, fmt.Sprintf("%020d", max(at.UnixNano(), 0)), name)
}

// recordEvents keeps an event. One whose key is taken was recorded before.
func (s *Service) recordEvent(ctx context.Context, key string, e Event) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = s.store.PutRecord(ctx, store.Record{Key: key, Value: text})
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// ignoredItem is an item whose schema version is disabled.
type ignoredItem struct {
	Type     inventory.TypeName
	Version  string
	Disabled string
}

func (i ignoredItem) reason() string {
	return fmt.Sprintf("The inventory item with type name %s was sent with a disabled schema version %s. You must send a version greater than %s", i.Type, i.Version, i.Disabled)
}

// mostIgnored is how many events of ignored items a node and type make in a day: whoever reports chooses versions freely.
const mostIgnored = 8

// recordIgnored keeps one event a node, type, version and day, of the first versions: the key says all four.
func (s *Service) recordIgnored(ctx context.Context, node inventory.NodeKey, now time.Time, ignored []ignoredItem) error {
	digest := func(parts ...string) string {
		sum := sha256.Sum256([]byte(store.Key(parts...)))
		return hex.EncodeToString(sum[:8])
	}
	for _, i := range ignored {
		day := eventKey(node.Partition, now.Truncate(24*time.Hour), digest("ignored", string(node.Node), string(i.Type)))
		key := day + digest(i.Version)
		had, err := s.store.ListRecords(ctx, day, "", mostIgnored)
		if err != nil {
			return err
		}
		if len(had) >= mostIgnored || slices.ContainsFunc(had, func(r store.Record) bool { return r.Key == key }) {
			continue
		}
		err = s.recordEvent(ctx, key, Event{
			Time: now, ActionStatus: "failed", Action: "put", ResourceType: "managed-instance",
			ResourceID: string(node.Node), ActionReason: i.reason(), Type: i.Type,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Events calls f for every event kept of a partition, oldest first.
func (s *Service) Events(ctx context.Context, p inventory.Partition, f func(Event) error) error {
	return eachRecord(ctx, s.store, store.Key(recordEvent, p.Account, p.Region, ""), func(rec store.Record) error {
		var e Event
		if err := json.Unmarshal(rec.Value, &e); err != nil {
			return fmt.Errorf("%w: record %s: %w", store.ErrCorrupt, rec.Key, err)
		}
		return f(e)
	})
}
