package agent_test

import (
	"slices"
	"strings"
	"testing"

	"stocktake/internal/agent"
	"stocktake/internal/api"
	"stocktake/internal/sigv4"
)

// agentMay are the actions that a managed node's credentials may do, and boundMay those that a configured key bound to
// nodes may do besides. Whatever row is added, they may not, until it is listed here.
var (
	agentMay = []string{
		"PutInventory", "UpdateInstanceInformation", "ListInstanceAssociations", "ListAssociations", "DescribeAssociation",
		"UpdateInstanceAssociationStatus", "UpdateAssociationStatus", "GetDocument", "DescribeDocument", "PutComplianceItems",
		"GetMessages", "AcknowledgeMessage", "SendReply", "FailMessage", "DeleteMessage",
	}
	boundMay = []string{"ListInventoryEntries", "GetInventorySchema", "RegisterManagedInstance"}
	// pairMay are the actions called with a key pair, and with nothing else.
	pairMay = []string{"RequestManagedInstanceRoleToken", "UpdateManagedInstancePublicKey"}
)

// TestEveryRowAndEveryCaller walks all rows, calling each in every way with a body that is no JSON: who is let in is told
// of that.
func TestEveryRowAndEveryCaller(t *testing.T) {
	s := memoryStore(t, nil)
	node := s.register(s.activate(""), pairs()[0])
	nodes := by(s.token(node, pairs()[0]).credentials())
	const in, signature, denied, missing = "SerializationException", "InvalidSignatureException", "AccessDeniedException", "MissingAuthenticationTokenException"
	for _, row := range append(api.Rows(s.service), agent.Rows(s.service, agent.Config{})...) {
		// ListNodes and the like are rows of Stocktake's own too, with another permission.
		public := !strings.HasPrefix(row.Target, "Stocktake.")
		may := func(lists ...[]string) bool { return public && slices.Contains(slices.Concat(lists...), row.Action) }
		choose := func(allowed bool, code, otherwise string) string {
			if allowed {
				return code
			}
			return otherwise
		}
		for caller, c := range map[string]struct {
			sign sign
			want string
		}{
			"nobody":        {unsigned, choose(row.Action == "RegisterManagedInstance", in, missing)},
			"key pair":      {byPair(node, pairs()[0]), choose(may(pairMay), in, signature)},
			"another pair":  {byPair(node, pairs()[1]), signature},
			"no node":       {byPair("mi-00000000000000000", pairs()[0]), choose(may(pairMay), denied, signature)},
			"node":          {nodes, choose(may(agentMay), in, denied)},
			"bound":         {by(bound), choose(may(agentMay, boundMay), in, denied)},
			"administrator": {by(root), choose(may(pairMay), denied, in)},
			"foreign":       {by(sigv4.Credentials{AccessKeyID: "AKIANOBODY", SecretAccessKey: root.SecretAccessKey}), "UnrecognizedClientException"},
		} {
			if got := s.call(row.Target, "[", c.sign); got.code() != c.want {
				t.Errorf("%s by %s: answered %d %s, want %s", row.Target, caller, got.status, got.body, c.want)
			}
		}
	}
}
