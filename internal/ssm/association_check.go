package ssm

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"stocktake/internal/inventory"
)

// checkAssociation holds what a caller chose to what its document takes and to what is done here. It writes targets as
// they are told.
func (s *Service) checkAssociation(a *AssociationSettings) error {
	policy, err := s.policy(a.Document, a.DocumentVersion)
	if err != nil {
		return err
	}
	if err := a.Unsupported.check(); err != nil {
		return err
	}
	if err := checkParameters(policy, a.Parameters); err != nil {
		return err
	}
	return a.checkTargets()
}

func (u Unsupported) check() error {
	switch {
	case u.AutomationTarget:
		return inventory.Errorf(inventory.InvalidParameters, "AutomationTargetParameterName is of Automation runbooks, and there are none here.")
	case u.TargetMaps:
		return inventory.Errorf(inventory.InvalidTargetMaps, "TargetMaps are of Automation runbooks, and there are none here.")
	case u.TargetLocations:
		return inventory.Errorf(inventory.InvalidTarget, "TargetLocations aren't kept here. Make an association in each account and region.")
	case u.Calendars:
		return inventory.Errorf(inventory.InvalidRequest, "CalendarNames can't be given: there are no change calendars here.")
	case u.Alarms:
		return inventory.Errorf(inventory.InvalidRequest, "AlarmConfiguration can't be given: there are no alarms here.")
	case u.DispatchRole:
		return inventory.Errorf(inventory.InvalidRequest, "AssociationDispatchAssumeRole can't be given: associations here are carried out by nodes alone.")
	}
	return nil
}

// targetKey gives the key of a target as it is kept: that of ids is read in any case.
func targetKey(given string) string {
	if strings.EqualFold(given, idTarget) {
		return idTarget
	}
	return given
}

// Targeted gives which nodes an association with such targets is for, read as CreateAssociation reads them: listed, at
// most those of the ids; otherwise any there is or will be that has one of the values of each of the tags, without tags
// every one. Targets that CreateAssociation refuses name no fewer.
func Targeted(targets []Target) (ids []inventory.NodeID, listed bool, tags []Tag) {
	for _, t := range targets {
		key := targetKey(t.Key)
		tag, tagged := strings.CutPrefix(key, tagTarget)
		for _, v := range t.Values {
			switch {
			case tagged:
				tags = append(tags, Tag{Key: tag, Value: v})
			case key == idTarget && v != everyNode:
				ids, listed = append(ids, inventory.NodeID(v)), true
			}
		}
	}
	return ids, listed, tags
}

// checkTargets holds targets to the kinds there are.
func (a *AssociationSettings) checkTargets() error {
	if len(a.Targets) == 0 {
		return inventory.Errorf(inventory.InvalidTarget, "Instance ID or targets must be specified.")
	}
	a.Targets = slices.Clone(a.Targets) // they are the caller's
	keys := map[string]bool{}
	for i := range a.Targets {
		t := &a.Targets[i]
		t.Key = targetKey(t.Key)
		switch {
		case t.Key == idTarget:
			if at := slices.IndexFunc(t.Values, func(v string) bool { return v != everyNode && !inventory.NodeID(v).Valid() }); at >= 0 {
				return inventory.Errorf(inventory.InvalidTarget, "%s is no node's id. A target by InstanceIds has ids, or * for every node.", clip(t.Values[at]))
			}
			if len(t.Values) > 1 && slices.Contains(t.Values, everyNode) {
				return inventory.Errorf(inventory.InvalidTarget, "A target by InstanceIds has ids, or * alone for every node.")
			}
		case strings.HasPrefix(t.Key, tagTarget) && len(t.Key) > len(tagTarget):
		case strings.HasPrefix(t.Key, "resource-groups:"):
			return inventory.Errorf(inventory.InvalidTarget, "Resource groups aren't kept here. Use tags: a target with the key tag:<key>.")
		default:
			return inventory.Errorf(inventory.InvalidTarget, "Nodes can't be targeted by %s. Use InstanceIds or tag:<key>.", clip(t.Key))
		}
		if slices.ContainsFunc(t.Values, func(v string) bool { return utf8.RuneCountInString(v) > longestTagValue }) {
			return inventory.Errorf(inventory.InvalidTarget, "The target %s has a value of more than %d characters, which no tag has.", clip(t.Key), longestTagValue)
		}
		if len(t.Values) == 0 {
			return inventory.Errorf(inventory.InvalidTarget, "The target %s needs a value.", clip(t.Key))
		}
		if keys[t.Key] {
			return inventory.Errorf(inventory.InvalidTarget, "The target %s is given twice. One target may have several values.", clip(t.Key))
		}
		keys[t.Key] = true
	}
	return nil
}

// checkParameters holds parameters to those of the document: each has one value, and that an allowed one or the JSON it is
// to be.
func checkParameters(policy *Policy, given map[string][]string) error {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		values := given[name]
		at := slices.IndexFunc(policy.Parameters, func(p PolicyParameter) bool { return p.Name == name })
		if at < 0 {
			return inventory.Errorf(inventory.InvalidParameters, "The document %s has no parameter %s. DescribeDocument lists those it has.", policy.Name, clip(name))
		}
		if len(values) != 1 {
			return inventory.Errorf(inventory.InvalidParameters, "Parameter %q takes one value and was given %d.", name, len(values))
		}
		allowed, value := policy.Parameters[at].Allowed, values[0]
		switch {
		case len(allowed) > 0:
			if !slices.Contains(allowed, value) {
				return inventory.Errorf(inventory.InvalidParameters, "Parameter %q can't be %q. It is one of %s.", name, clip(value), strings.Join(allowed, ", "))
			}
		case value != "":
			var paths []struct{ Path string }
			if err := json.Unmarshal([]byte(value), &paths); err != nil {
				return inventory.Errorf(inventory.InvalidParameters, "Parameter %q is no JSON list of objects with a Path, as in [{\"Path\":\"/etc\"}].", name)
			}
			if len(value) > longestParameter {
				return inventory.Errorf(inventory.InvalidParameters, "Parameter %q is longer than %d bytes.", name, longestParameter)
			}
		}
	}
	return nil
}

// longestTagValue is how long the value of a tag may be.
const longestTagValue = 256

// longestParameter bounds the text of a parameter: every node is told it with every poll.
const longestParameter = 16 << 10
