package agent_test

import (
	"slices"
	"testing"

	"stocktake/internal/agent"
	"stocktake/internal/api"
	"stocktake/internal/awsjson"
	"stocktake/internal/iam/policy"
)

// TestPoliciesKnowEveryAction holds the table of actions to the rows: what is called with an access key can be allowed.
func TestPoliciesKnowEveryAction(t *testing.T) {
	s := memoryStore(t, nil)
	actions := policy.Actions()
	for _, row := range append(api.Rows(s.service), agent.Rows(s.service, agent.Config{})...) {
		known := slices.ContainsFunc(actions, func(a policy.Action) bool { return a.Name == row.Permission })
		if known != (row.Auth == awsjson.Signed) {
			t.Errorf("%s: policies know of %s: %v", row.Target, row.Permission, known)
		}
	}
}
