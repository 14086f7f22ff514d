package ssm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// The quotas of associations (documented).
const (
	mostAssociations        = 2000 // of an account in a region
	mostNodeAssociations    = 20   // that name one node by its id
	mostAssociationVersions = 1000
)

// Association is what nodes are to carry out, as its record is kept: the newest version, with what all versions share.
type Association struct {
	ID      string `json:"-"`
	Version int
	Created time.Time
	Updated time.Time // when the version was made
	// Node is the node of an association that was made for that single one, in the older way; it is among the targets too.
	Node   inventory.NodeID   `json:",omitempty"`
	Status *AssociationStatus `json:",omitempty"` // of such an association alone
	// Once is when it was last asked to run once more.
	Once time.Time `json:",omitzero"`
	Tags []Tag     `json:",omitempty"`
	AssociationSettings
}

// AssociationSettings are what a caller chooses, kept and told as it was given.
type AssociationSettings struct {
	Document        string
	DocumentVersion string              `json:",omitempty"` // "" was not given: the default
	Parameters      map[string][]string `json:",omitempty"`
	Targets         []Target            `json:",omitempty"`
	Schedule        string              `json:",omitempty"`
	OnlyAtTicks     bool                `json:",omitempty"` // ApplyOnlyAtCronInterval
	OffsetDays      int                 `json:",omitempty"`
	DurationHours   int                 `json:",omitempty"`
	Output          *OutputLocation     `json:",omitempty"` // for the agent to write to
	Name            string              `json:",omitempty"`
	MaxErrors       string              `json:",omitempty"`
	MaxConcurrency  string              `json:",omitempty"`
	Severity        string              `json:",omitempty"`
	SyncCompliance  string              `json:",omitempty"`
	// Unsupported names members that were given and that nothing here carries out.
	Unsupported Unsupported `json:"-"`
}

// Target says which nodes: those with one of the ids (Key InstanceIds; * is every node, now and later), or with one of
// the values of a tag (Key tag:<key>). A node is meant when all targets hold for it.
type Target struct {
	Key    string
	Values []string
}

// OutputLocation is a place in a bucket.
type OutputLocation struct{ Region, Bucket, Prefix string }

// Unsupported are members of the API whose work is not done here.
type Unsupported struct {
	AutomationTarget, Calendars, TargetLocations, TargetMaps, Alarms, DispatchRole bool
}

// AssociationStatus is what was last said of an association made for a single node.
type AssociationStatus struct {
	At         time.Time
	Name       string
	Message    string
	Additional string `json:",omitempty"`
}

const (
	recordAssociation        = "association"        // the newest version, by partition and id
	recordAssociationVersion = "associationversion" // a version that is no longer the newest
	recordAssociations       = "associations"       // of a partition: rewritten with every change of any association
	recordAssociationClaim   = "associationclaim"   // of what there may be one: its holder's id
)

func associationKey(p inventory.Partition, id string) string {
	return store.Key(recordAssociation, p.Account, p.Region, id)
}

func associationVersionKey(p inventory.Partition, id string, version int) string {
	return store.Key(recordAssociationVersion, p.Account, p.Region, id, fmt.Sprintf("%04d", version))
}

// associationListLife is how long a list is kept though nothing was said to have changed: a server may have died
// between a change and saying so.
const associationListLife = time.Minute

// associationList is the associations of a partition at one moment. It is not changed once made.
type associationList struct {
	revision uint64 // of the record that moves with every change
	read     time.Time
	all      []*heldAssociation // by id
	byNode   map[inventory.NodeID][]*heldAssociation
	others   []*heldAssociation // that name no ids
	tagged   bool               // some go by tags
}

// heldAssociation is an association with what is made of it once.
type heldAssociation struct {
	Association
	revision uint64
	schedule schedule
	policy   *Policy
	rank     int
}

// associationLists reads the lists of partitions, and again when they have changed.
type associationLists struct {
	mu    sync.Mutex
	known map[inventory.Partition]*associationList
	one   keyLocks // one reading of a partition at a time
}

// associations gives the partition's associations as they are.
func (s *Service) associations(ctx context.Context, p inventory.Partition) (*associationList, error) {
	revision, err := s.associationsRevision(ctx, p)
	if err != nil {
		return nil, err
	}
	if l := s.lists.recall(p, revision); l != nil {
		return l, nil
	}
	lock := s.lists.one.of(inventory.NodeKey{Partition: p})
	lock.Lock()
	defer lock.Unlock()
	if l := s.lists.recall(p, revision); l != nil {
		return l, nil
	}
	// Read again: the list must not be older than the revision it is kept under, but may be newer.
	if revision, err = s.associationsRevision(ctx, p); err != nil {
		return nil, err
	}
	l := &associationList{revision: revision, read: time.Now(), byNode: map[inventory.NodeID][]*heldAssociation{}}
	err = eachRecord(ctx, s.store, store.Key(recordAssociation, p.Account, p.Region, ""), func(rec store.Record) error {
		a, err := parseAssociation(rec)
		if err == nil {
			l.add(s.hold(a, rec.Revision))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	s.lists.mu.Lock()
	defer s.lists.mu.Unlock()
	if s.lists.known[p] == nil && len(s.lists.known) >= knownCatalogues {
		clear(s.lists.known)
	}
	s.lists.known[p] = l
	return l, nil
}

func (l *associationLists) recall(p inventory.Partition, revision uint64) *associationList {
	l.mu.Lock()
	defer l.mu.Unlock()
	if list := l.known[p]; list != nil && list.revision == revision && time.Since(list.read) < associationListLife {
		return list
	}
	return nil
}

func (s *Service) associationsRevision(ctx context.Context, p inventory.Partition) (uint64, error) {
	rec, err := s.store.Record(ctx, store.Key(recordAssociations, p.Account, p.Region))
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	return rec.Revision, err
}

// touchAssociations says that an association has changed.
func (s *Service) touchAssociations(ctx context.Context, p inventory.Partition) error {
	return retry(ctx, func() error {
		revision, err := s.associationsRevision(ctx, p)
		if err != nil {
			return err
		}
		_, err = s.store.PutRecord(ctx, store.Record{Key: store.Key(recordAssociations, p.Account, p.Region), Value: []byte("{}"), Revision: revision})
		return err
	})
}

func parseAssociation(rec store.Record) (Association, error) {
	var a Association
	if err := json.Unmarshal(rec.Value, &a); err != nil {
		return a, fmt.Errorf("%w: record %s: %w", store.ErrCorrupt, rec.Key, err)
	}
	parts := store.KeyParts(rec.Key)
	a.ID = parts[len(parts)-1]
	return a, nil
}

// The ranks of inventory associations on a node; only the first that is there counts (documented).
const (
	rankQuickSetup = iota
	rankExplicit
	rankGlobal
)

const quickSetupPrefix = "AWS-QuickSetup-SSM-CollectInventory-"

// hold makes what is made of an association once. A schedule or document that is refused today was taken once, and
// counts as none.
func (s *Service) hold(a Association, revision uint64) *heldAssociation {
	h := &heldAssociation{Association: a, revision: revision, rank: rankExplicit}
	if parsed, err := parseSchedule(a.Schedule); err == nil {
		h.schedule = parsed
		h.schedule.offset = time.Duration(a.OffsetDays) * 24 * time.Hour
	}
	h.policy, _ = s.policy(a.Document, a.DocumentVersion)
	switch {
	case strings.HasPrefix(a.Name, quickSetupPrefix):
		h.rank = rankQuickSetup
	case a.global():
		h.rank = rankGlobal
	}
	return h
}

func (l *associationList) add(h *heldAssociation) {
	l.all = append(l.all, h)
	ids, listed := h.ids()
	if !listed {
		l.others = append(l.others, h)
	}
	for _, id := range ids {
		l.byNode[id] = append(l.byNode[id], h)
	}
	l.tagged = l.tagged || slices.ContainsFunc(h.Targets, func(t Target) bool { return strings.HasPrefix(t.Key, tagTarget) })
}

// find gives an association by its id, or nil.
func (l *associationList) find(id string) *heldAssociation {
	at, ok := slices.BinarySearchFunc(l.all, id, func(h *heldAssociation, id string) int { return strings.Compare(h.ID, id) })
	if !ok {
		return nil
	}
	return l.all[at]
}

// of gives the associations whose targets a node is among, by id.
func (l *associationList) of(node inventory.NodeID, tags map[string]string) []*heldAssociation {
	var found []*heldAssociation
	for _, candidates := range [][]*heldAssociation{l.byNode[node], l.others} {
		for _, h := range candidates {
			if h.meant(node, tags) {
				found = append(found, h)
			}
		}
	}
	slices.SortFunc(found, func(a, b *heldAssociation) int { return strings.Compare(a.ID, b.ID) })
	return found
}

const (
	idTarget  = "InstanceIds"
	tagTarget = "tag:"
	everyNode = "*"
)

// global reports whether the association is for every node there is or will be.
func (a *AssociationSettings) global() bool {
	return len(a.Targets) > 0 && !slices.ContainsFunc(a.Targets, func(t Target) bool { return t.Key != idTarget || !slices.Contains(t.Values, everyNode) })
}

// ids gives the nodes an association names, if it names any.
func (a *AssociationSettings) ids() (ids []inventory.NodeID, listed bool) {
	for _, t := range a.Targets {
		if t.Key != idTarget || slices.Contains(t.Values, everyNode) {
			continue
		}
		for _, v := range t.Values {
			if id := inventory.NodeID(v); !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		return ids, true
	}
	return nil, false
}

// meant reports whether a node is among the targets.
func (a *AssociationSettings) meant(node inventory.NodeID, tags map[string]string) bool {
	for _, t := range a.Targets {
		switch key, tagged := strings.CutPrefix(t.Key, tagTarget); {
		case tagged:
			value, has := tags[key]
			if !has || !slices.Contains(t.Values, value) {
				return false
			}
		case !slices.Contains(t.Values, everyNode) && !slices.Contains(t.Values, string(node)):
			return false
		}
	}
	return len(a.Targets) > 0
}

func noAssociation(id string) error {
	return inventory.Errorf(inventory.AssociationDoesNotExist, "There is no association %s here. ListAssociations lists those there are.", clip(id))
}
