package ssm

import (
	"slices"
	"strings"

	"stocktake/internal/inventory"
)

// newNodeQuestion checks filters on nodes. Errors: InvalidFilterKey, InvalidInstanceId, the code given for a value that no
// node can have, and InvalidRequest for filters that do not go together.
func newNodeQuestion(p inventory.Partition, action string, in DescribeNodesInput, badValue inventory.Code) (nodeQuestion, error) {
	q := nodeQuestion{partition: p, action: action, token: in.NextToken}
	var err error
	if q.asked, err = question([]any{action, in.Filters}); err != nil {
		return q, err
	}
	tagged := 0
	for _, f := range in.Filters {
		if f.Key == "tag-key" || strings.HasPrefix(f.Key, "tag:") {
			tagged++
		}
		if err := q.add(f, badValue); err != nil {
			return q, err
		}
	}
	if tagged > 0 && tagged < len(in.Filters) {
		return q, inventory.Errorf(inventory.InvalidRequest, "Filters by tags can't be used with other filters.")
	}
	return q, nil
}

// informationAttributes are the attributes of AWS:InstanceInformation that nodes are filtered by, by the filter's key.
var informationAttributes = map[string]string{
	"AgentVersion": "AgentVersion", "PlatformTypes": "PlatformType", "PlatformType": "PlatformType", "ResourceType": "ResourceType",
	"InstanceIds": "InstanceId", "SourceIds": "InstanceId",
}

// closedValues are the values of the keys that have no others.
var closedValues = map[string][]string{
	"PlatformTypes": {"Windows", "Linux", "MacOS"},
	"PlatformType":  {"Windows", "Linux", "MacOS"},
	"ResourceType":  {"EC2Instance", "ManagedInstance"},
	"PingStatus":    {PingOnline, PingLost, PingInactive},
	"SourceTypes":   {"AWS::EC2::Instance", "AWS::IoT::Thing", "AWS::SSM::ManagedInstance"},
}

// add takes in one filter.
func (q *nodeQuestion) add(f NodeFilter, badValue inventory.Code) error {
	op, ok := nodeOperator(f.Operator)
	if !ok {
		return inventory.Errorf(inventory.InvalidFilterKey, "The filter operator %s isn't known.", clip(f.Operator))
	}
	for _, v := range f.Values {
		if known := closedValues[f.Key]; known != nil && !slices.Contains(known, v) {
			return inventory.Errorf(badValue, "The value '%s' of the filter %s isn't one of %s.", clip(v), f.Key, strings.Join(known, ", "))
		}
		if f.Key == "InstanceIds" && op != inventory.BeginWith && !inventory.NodeID(v).Valid() {
			return inventory.Errorf(inventory.InvalidInstanceID, "'%s' is no node id: they are i- and 8 or 17 characters, or mi- and 17.", clip(v))
		}
	}
	if attribute := informationAttributes[f.Key]; attribute != "" {
		q.addAttribute(op, attribute, f.Values)
		return nil
	}
	key, isTag := strings.CutPrefix(f.Key, "tag:")
	switch {
	case isTag && key != "" && op == inventory.Equal:
		q.addTag(key, f.Values)
	case f.Key == "tag-key" && op == inventory.Equal:
		q.addTagKey(f.Values)
	case f.Key == "PingStatus":
		q.addPing(op, f.Values)
	case f.Key == "SourceTypes":
		q.addCondition(op, 0, f.Values, func(c *candidate) string { return c.Source() })
	case f.Key == "ActivationIds":
		q.addCondition(op, needsManaged, f.Values, func(c *candidate) string { return c.Activation })
	case f.Key == "IamRole":
		q.addCondition(op, needsManaged, f.Values, func(c *candidate) string { return c.Role })
	case f.Key == "AssociationStatus":
		q.addCondition(op, needsRuns, f.Values, func(c *candidate) string {
			if c.Associations == nil {
				return ""
			}
			return c.Associations.Status
		})
	case f.Key == "DocumentName":
		q.addDocument(op, f.Values)
	default:
		return inventory.Errorf(inventory.InvalidFilterKey, "Nodes can't be filtered by %s.", clip(f.Key))
	}
	return nil
}

// nodeOperator gives an operator by its name. None holds of absence here: nodes without a value are like any other.
func nodeOperator(name string) (inventory.Operator, bool) {
	switch name {
	case "", "Equal":
		return inventory.Equal, true
	case "NotEqual":
		return inventory.NotEqual, true
	case "BeginWith":
		return inventory.BeginWith, true
	case "LessThan":
		return inventory.LessThan, true
	case "GreaterThan":
		return inventory.GreaterThan, true
	}
	return 0, false
}

// addAttribute has the index decide, but for the case of ids, which it does not tell apart.
func (q *nodeQuestion) addAttribute(op inventory.Operator, attribute string, values []string) {
	q.filters = append(q.filters, informationFilter(op, attribute, values...))
	if attribute == "InstanceId" && op == inventory.Equal {
		q.conditions = append(q.conditions, nodeCondition{holds: func(c *candidate) bool { return slices.Contains(values, string(c.Node)) }})
	}
}

// addTag asks for one of some values of a tag. The index decides for the first tag alone, as filters of one type hold for
// one entry; the record has the last word of all, and of the case of letters.
func (q *nodeQuestion) addTag(key string, values []string) {
	if !q.byTag() {
		q.filters = append(q.filters, tagFilter("Key", key), tagFilter("Value", values...))
	}
	q.conditions = append(q.conditions, nodeCondition{needs: needsTags, holds: func(c *candidate) bool {
		return slices.ContainsFunc(c.tags, func(t Tag) bool { return t.Key == key && slices.Contains(values, t.Value) })
	}})
}

func (q *nodeQuestion) addTagKey(keys []string) {
	if !q.byTag() {
		q.filters = append(q.filters, tagFilter("Key", keys...))
	}
	q.conditions = append(q.conditions, nodeCondition{needs: needsTags, holds: func(c *candidate) bool {
		return slices.ContainsFunc(c.tags, func(t Tag) bool { return slices.Contains(keys, t.Key) })
	}})
}

func (q *nodeQuestion) byTag() bool {
	return slices.ContainsFunc(q.filters, func(f inventory.Filter) bool { return f.Type == inventory.TypeTag })
}

func tagFilter(attribute string, values ...string) inventory.Filter {
	f := informationFilter(inventory.Equal, attribute, values...)
	f.Type = inventory.TypeTag
	return f
}

// addPing narrows the nodes by status, and asks of those left whether they ever sent a heartbeat.
func (q *nodeQuestion) addPing(op inventory.Operator, values []string) {
	q.addCondition(op, 0, values, func(c *candidate) string { return c.Ping })
	if op == inventory.Equal && !slices.Contains(values, PingLost) {
		q.filters = append(q.filters, statusFilter(inventory.NotEqual, inventory.ConnectionLost))
	}
	if op == inventory.Equal && len(values) == 1 && values[0] == PingOnline {
		q.filters = append(q.filters, statusFilter(inventory.Equal, inventory.Active))
	}
}

// addDocument asks for nodes that have an association of one of some documents, or, with NotEqual, none.
func (q *nodeQuestion) addDocument(op inventory.Operator, values []string) {
	f := informationFilter(op, "", values...)
	q.conditions = append(q.conditions, nodeCondition{needs: needsRuns, holds: func(c *candidate) bool {
		has := slices.ContainsFunc(c.runs, func(r NodeRun) bool { return f.Holds(inventory.Fold(r.Document)) })
		return has != (op == inventory.NotEqual)
	}})
}

// addCondition compares a text of the candidate's.
func (q *nodeQuestion) addCondition(op inventory.Operator, needs nodeFacts, values []string, text func(*candidate) string) {
	f := informationFilter(op, "", values...)
	q.conditions = append(q.conditions, nodeCondition{needs: needs, holds: func(c *candidate) bool {
		return f.Holds(inventory.Fold(text(c))) != (op == inventory.NotEqual)
	}})
}
