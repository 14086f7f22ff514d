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
	const every = `{"Effect":"Allow","Action":["ssm:*","ec2messages:*","stocktake:*"],"Resource":"*"}`
	allowed := by(s.user("allowed", every))
	forbidden := by(s.user("forbidden", every, `{"Effect":"Deny","Action":"*","Resource":"*"}`))
	powerless := by(s.user("powerless"))
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
			"nobody":         {unsigned, choose(row.Action == "RegisterManagedInstance", in, missing)},
			"key pair":       {byPair(node, pairs()[0]), choose(may(pairMay), in, signature)},
			"another pair":   {byPair(node, pairs()[1]), signature},
			"no node":        {byPair("mi-00000000000000000", pairs()[0]), choose(may(pairMay), denied, signature)},
			"node":           {nodes, choose(may(agentMay), in, denied)},
			"bound":          {by(bound), choose(may(agentMay, boundMay), in, denied)},
			"administrator":  {by(root), choose(may(pairMay), denied, in)},
			"user allowed":   {allowed, choose(may(pairMay), denied, in)},
			"user forbidden": {forbidden, choose(row.Action == "RegisterManagedInstance", in, denied)},
			"user powerless": {powerless, choose(row.Action == "RegisterManagedInstance", in, denied)},
			"foreign":        {by(sigv4.Credentials{AccessKeyID: "AKIANOBODY", SecretAccessKey: root.SecretAccessKey}), "UnrecognizedClientException"},
		} {
			if got := s.call(row.Target, "[", c.sign); got.code() != c.want {
				t.Errorf("%s by %s: answered %d %s, want %s", row.Target, caller, got.status, got.body, c.want)
			}
		}
	}
}

// elsewhere are requests of an agent's that name a node, in the place of %s.
var elsewhere = map[string]string{
	"PutInventory":              `{"InstanceId":"%s","Items":[{"TypeName":"AWS:Network","SchemaVersion":"1.0","CaptureTime":"2026-01-02T03:04:05Z","Content":[]}]}`,
	"UpdateInstanceInformation": `{"InstanceId":"%s","AgentName":"amazon-ssm-agent","AgentVersion":"3.3.0.0","PlatformType":"Linux"}`,
	"ListInstanceAssociations":  `{"InstanceId":"%s","MaxResults":20}`,
	"ListAssociations":          `{"AssociationFilterList":[{"key":"InstanceId","value":"%s"}],"MaxResults":1}`,
	"DescribeAssociation":       `{"InstanceId":"%s","Name":"AWS-GatherSoftwareInventory"}`,
	"UpdateAssociationStatus": `{"InstanceId":"%s","Name":"AWS-GatherSoftwareInventory",` +
		`"AssociationStatus":{"Date":1,"Name":"Success","Message":"m"}}`,
	"UpdateInstanceAssociationStatus": `{"InstanceId":"%s","AssociationId":"8a4f1e0c-0000-4000-8000-000000000001",` +
		`"ExecutionResult":{"Status":"Success","ErrorCode":"","ExecutionDate":1,"ExecutionSummary":"s"}}`,
	"PutComplianceItems": `{"ResourceId":"%s","ResourceType":"ManagedInstance","ComplianceType":"Association",` +
		`"ExecutionSummary":{"ExecutionTime":1},"Items":[]}`,
	"GetMessages":        `{"Destination":"%s","MessagesRequestId":"8a4f1e0c-0000-4000-8000-000000000001","VisibilityTimeoutInSeconds":10}`,
	"AcknowledgeMessage": `{"MessageId":"aws.ssm.8a4f1e0c-0000-4000-8000-000000000001.%s"}`,
	"SendReply": `{"MessageId":"aws.ssm.8a4f1e0c-0000-4000-8000-000000000001.%s","Payload":"{}",` +
		`"ReplyId":"8a4f1e0c-0000-4000-8000-000000000002"}`,
	"FailMessage":   `{"MessageId":"aws.ssm.8a4f1e0c-0000-4000-8000-000000000001.%s","FailureType":"NoHandlerExists"}`,
	"DeleteMessage": `{"MessageId":"aws.ssm.8a4f1e0c-0000-4000-8000-000000000001.%s"}`,
}

// TestNodeActsForItselfAlone has a node, and a key bound to others, name another node, and no node at all, in every action
// of an agent's that is done to one.
func TestNodeActsForItselfAlone(t *testing.T) {
	s := memoryStore(t, nil)
	a := s.activate(`,"RegistrationLimit":2`)
	own, other := s.register(a, pairs()[0]), s.register(a, pairs()[1])
	mine := by(s.token(own, pairs()[0]).credentials())
	for _, row := range append(api.Rows(s.service), agent.Rows(s.service, agent.Config{})...) {
		if strings.HasPrefix(row.Target, "Stocktake.") || !slices.Contains(agentMay, row.Action) {
			continue
		}
		if strings.HasSuffix(row.Action, "Document") { // of no node
			continue
		}
		body, ok := elsewhere[row.Action]
		if !ok {
			t.Errorf("no request for %s", row.Action)
		}
		for _, who := range []sign{mine, by(bound)} {
			if got := s.call(row.Target, strings.ReplaceAll(body, "%s", other), who); got.code() != "AccessDeniedException" {
				t.Errorf("%s for another node: answered %d %s", row.Target, got.status, got.body)
			}
		}
		if row.Action == "GetMessages" {
			continue // it waits
		}
		if got := s.call(row.Target, strings.ReplaceAll(body, "%s", own), mine); got.code() == "AccessDeniedException" || got.status >= 500 || got.code() == "ValidationException" {
			t.Errorf("%s for itself: answered %d %s", row.Target, got.status, got.body)
		}
	}
}

// TestNodeReachesNoAssociationByItsID has a node, and a key bound to it, name itself beside what is not its own.
func TestNodeReachesNoAssociationByItsID(t *testing.T) {
	s := memoryStore(t, nil)
	a := s.activate(`,"RegistrationLimit":2`)
	own, other := s.register(a, pairs()[0]), s.register(a, pairs()[1])
	mine := by(s.token(own, pairs()[0]).credentials())
	var made struct {
		AssociationDescription struct {
			ID string `json:"AssociationId"`
		}
	}
	s.call("CreateAssociation", `{"Name":"`+someDocument+`","InstanceId":"`+other+`"}`, by(root)).into(t, &made)
	for action, body := range map[string]string{
		"DescribeAssociation": `{"InstanceId":"` + own + `","AssociationId":"` + made.AssociationDescription.ID + `"}`,
		"ListAssociations":    `{"AssociationFilterList":[{"key":"InstanceId","value":"` + own + `"},{"key":"InstanceId","value":"` + other + `"}]}`,
	} {
		if got := s.call(action, body, mine); got.code() != "AccessDeniedException" {
			t.Errorf("%s: answered %d %s", action, got.status, got.body)
		}
		s.call(action, body, by(root)).is(t, "")
	}
}
