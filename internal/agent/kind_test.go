package agent_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/agent"
	"stocktake/internal/api"
	"stocktake/internal/awsjson"
)

// TestEveryRowHasItsKind lists what the audit has lines of at each setting. A row that is added is a question if its name
// says so; else it is to be listed here.
func TestEveryRowHasItsKind(t *testing.T) {
	s := memoryStore(t, nil)
	got := map[awsjson.Kind][]string{}
	for _, row := range append(api.Rows(s.service), agent.Rows(s.service, agent.Config{})...) {
		kind := row.Does()
		asks := strings.HasPrefix(row.Action, "Get") || strings.HasPrefix(row.Action, "List") || strings.HasPrefix(row.Action, "Describe") || row.Action == "ExplainNode"
		if kind == awsjson.Question != asks && kind != awsjson.Report {
			t.Errorf("%s: the kind is %d", row.Permission, kind)
		}
		got[kind] = append(got[kind], row.Permission)
	}
	delete(got, awsjson.Question)
	for _, all := range got {
		slices.Sort(all)
	}
	want := map[awsjson.Kind][]string{
		awsjson.Report: {
			"ec2messages:AcknowledgeMessage", "ec2messages:DeleteMessage", "ec2messages:FailMessage", "ec2messages:GetMessages", "ec2messages:SendReply",
			"ssm:ListInstanceAssociations", "ssm:PutComplianceItems", "ssm:PutInventory", "ssm:RequestManagedInstanceRoleToken",
			"ssm:UpdateAssociationStatus", "ssm:UpdateInstanceAssociationStatus", "ssm:UpdateInstanceInformation",
		},
		awsjson.Write: {
			"ssm:AddTagsToResource", "ssm:CreateActivation", "ssm:CreateAssociation", "ssm:CreateAssociationBatch", "ssm:DeleteActivation",
			"ssm:DeleteAssociation", "ssm:DeleteInventory", "ssm:DeregisterManagedInstance", "ssm:RegisterManagedInstance",
			"ssm:RemoveTagsFromResource", "ssm:StartAssociationsOnce", "ssm:UpdateAssociation", "ssm:UpdateManagedInstancePublicKey",
			"ssm:UpdateManagedInstanceRole", "stocktake:RegisterNode", "stocktake:RemoveNode", "stocktake:RunRetention", "stocktake:StopNode",
			"stocktake:TerminateNode",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
