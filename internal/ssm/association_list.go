package ssm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// AssociationOverview sums up how an association stands on its nodes.
type AssociationOverview struct {
	Status   string
	Detailed string
	Counts   []StatusCount // by status; nil where no node was told yet
}

// StatusCount is how many nodes have a status.
type StatusCount struct {
	Status string
	Nodes  int
}

// DescribedAssociation is an association and how it stands.
type DescribedAssociation struct {
	Association
	Overview    AssociationOverview
	Last        time.Time // when any node last said anything of it
	LastSuccess time.Time
}

// describe sums up an association.
func (s *Service) describe(ctx context.Context, p inventory.Partition, a Association) (DescribedAssociation, error) {
	d := DescribedAssociation{Association: a}
	counts := map[string]int{}
	err := s.runs.each(ctx, p, a.ID, func(_ inventory.NodeID, r runFacts) {
		d.Last, d.LastSuccess = later(d.Last, r.last), later(d.LastSuccess, r.success)
		if !r.gone {
			counts[r.status]++
		}
	})
	d.Overview = overview(counts)
	return d, err
}

func overview(counts map[string]int) AssociationOverview {
	o := AssociationOverview{Counts: ordered(counts)}
	switch {
	case counts[statusFailed]+counts[statusTimedOut] > 0:
		o.Status, o.Detailed = statusFailed, statusFailed
	case counts[statusInProgress] > 0:
		o.Status, o.Detailed = statusPending, statusInProgress
	case counts[statusPending] > 0 || len(counts) == 0:
		o.Status, o.Detailed = statusPending, detailAssociated
	case counts[statusSuccess] > 0:
		o.Status, o.Detailed = statusSuccess, statusSuccess
	default:
		o.Status, o.Detailed = statusSkipped, statusSkipped
	}
	return o
}

// ordered gives counts by status; nil for none.
func ordered(counts map[string]int) []StatusCount {
	var all []StatusCount
	for status, n := range counts {
		all = append(all, StatusCount{Status: status, Nodes: n})
	}
	slices.SortFunc(all, func(a, b StatusCount) int { return strings.Compare(a.Status, b.Status) })
	return all
}

// DescribeAssociation gives an association at a version; 0 is the newest.
func (s *Service) DescribeAssociation(ctx context.Context, p inventory.Partition, n AssociationName, version int) (DescribedAssociation, error) {
	id, err := s.named(ctx, p, n)
	if err != nil {
		return DescribedAssociation{}, err
	}
	a, _, err := s.association(ctx, p, id)
	if err != nil {
		return DescribedAssociation{}, err
	}
	if version != 0 && version != a.Version {
		old, err := s.associationVersion(ctx, p, id, version)
		if err != nil {
			return DescribedAssociation{}, err
		}
		a.Version, a.Updated, a.AssociationSettings = old.Version, old.Updated, old.AssociationSettings
	}
	return s.describe(ctx, p, a)
}

func (s *Service) associationVersion(ctx context.Context, p inventory.Partition, id string, version int) (Association, error) {
	rec, err := s.store.Record(ctx, associationVersionKey(p, id, version))
	if errors.Is(err, store.ErrNotFound) {
		return Association{}, inventory.Errorf(inventory.InvalidAssociationVersion, "The association has no such version. ListAssociationVersions lists those it has.")
	}
	if err != nil {
		return Association{}, err
	}
	a, err := parseAssociation(rec)
	a.ID = id
	return a, err
}

// AssociationFilter asks for one property of associations.
type AssociationFilter struct{ Key, Value string }

// ListAssociationsInput asks for associations; all filters hold.
type ListAssociationsInput struct {
	Filters    []AssociationFilter
	MaxResults int
	NextToken  string
}

// ListAssociationsOutput is one page of them, by id.
type ListAssociationsOutput struct {
	Associations []DescribedAssociation
	NextToken    string
}

// ListAssociations gives the associations there are.
func (s *Service) ListAssociations(ctx context.Context, p inventory.Partition, in ListAssociationsInput) (ListAssociationsOutput, error) {
	var out ListAssociationsOutput
	asked, err := question(in.Filters)
	if err != nil {
		return out, err
	}
	from, err := s.openToken(p, "ListAssociations", asked, in.NextToken)
	if err != nil {
		return out, err
	}
	tests := make([]func(*DescribedAssociation) bool, len(in.Filters))
	for i, f := range in.Filters {
		if tests[i], err = f.test(); err != nil {
			return out, err
		}
	}
	l, err := s.associations(ctx, p)
	if err != nil {
		return out, err
	}
	most := pageSize(in.MaxResults, usualPage)
	for _, h := range l.all {
		if from != nil && h.ID <= from.After {
			continue
		}
		d, err := s.describe(ctx, p, h.Association)
		if err != nil {
			return out, err
		}
		if slices.ContainsFunc(tests, func(test func(*DescribedAssociation) bool) bool { return !test(&d) }) {
			continue
		}
		if len(out.Associations) == most {
			out.NextToken, err = s.sealToken(p, "ListAssociations", asked, token{After: out.Associations[most-1].ID})
			return out, err
		}
		out.Associations = append(out.Associations, d)
	}
	return out, nil
}

// test gives what a filter asks of an association.
func (f AssociationFilter) test() (func(*DescribedAssociation) bool, error) {
	switch f.Key {
	case "InstanceId":
		return func(d *DescribedAssociation) bool { return string(d.Node) == f.Value }, nil
	case "Name":
		return func(d *DescribedAssociation) bool { return d.Document == f.Value }, nil
	case "AssociationId":
		return func(d *DescribedAssociation) bool { return d.ID == f.Value }, nil
	case "AssociationName":
		return func(d *DescribedAssociation) bool { return d.Association.Name == f.Value }, nil
	case "AssociationStatusName":
		return func(d *DescribedAssociation) bool { return d.Overview.Status == f.Value }, nil
	case "LastExecutedBefore", "LastExecutedAfter":
		at, err := filterTime(f.Value)
		if err != nil {
			return nil, err
		}
		before := f.Key == "LastExecutedBefore"
		return func(d *DescribedAssociation) bool {
			return !d.Last.IsZero() && (before && d.Last.Before(at) || !before && d.Last.After(at))
		}, nil
	}
	return func(*DescribedAssociation) bool { return false }, nil // there are no resource groups
}

// filterTime reads a time as people write it to a filter, or as seconds since 1970.
func filterTime(text string) (time.Time, error) {
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if at, err := time.Parse(form, text); err == nil {
			return at, nil
		}
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds > 0 && seconds < 1e11 {
		return time.UnixMilli(int64(seconds * 1000)), nil
	}
	return time.Time{}, inventory.Errorf(inventory.InvalidRequest, "%q is no time. Write it as 2026-01-31T08:30:00Z.", clip(text))
}

// ListAssociationVersionsInput asks for the versions of an association.
type ListAssociationVersionsInput struct {
	ID         string
	MaxResults int
	NextToken  string
}

// ListAssociationVersionsOutput is one page of them, the oldest first.
type ListAssociationVersionsOutput struct {
	Versions  []Association
	NextToken string
}

// ListAssociationVersions gives every version an association has had.
func (s *Service) ListAssociationVersions(ctx context.Context, p inventory.Partition, in ListAssociationVersionsInput) (ListAssociationVersionsOutput, error) {
	var out ListAssociationVersionsOutput
	asked, err := question(in.ID)
	if err != nil {
		return out, err
	}
	from, err := s.openToken(p, "ListAssociationVersions", asked, in.NextToken)
	if err != nil {
		return out, err
	}
	newest, _, err := s.association(ctx, p, in.ID)
	if err != nil {
		return out, err
	}
	first := 1
	if from != nil {
		first = from.Offset + 1
	}
	most := pageSize(in.MaxResults, usualPage)
	for version := first; version < newest.Version && len(out.Versions) < most; version++ {
		a, err := s.associationVersion(ctx, p, in.ID, version)
		if err != nil {
			return out, fmt.Errorf("version %d of association %s: %w", version, in.ID, err)
		}
		out.Versions = append(out.Versions, a)
	}
	if len(out.Versions) < most && first <= newest.Version {
		out.Versions = append(out.Versions, newest)
		return out, nil
	}
	if len(out.Versions) == most {
		out.NextToken, err = s.sealToken(p, "ListAssociationVersions", asked, token{Offset: first + most - 1})
	}
	return out, err
}
