package agent_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"stocktake/internal/agent"
	"stocktake/internal/api"
	"stocktake/internal/awsjson"
	"stocktake/internal/iam"
	"stocktake/internal/iam/policy"
	"stocktake/internal/inventory"
	"stocktake/internal/sigv4"
	"stocktake/internal/store"
)

// user makes a user of the root account with one policy of the statements given, and a key of it.
func (s *stack) user(name string, statements ...string) sigv4.Credentials {
	s.t.Helper()
	ctx := s.t.Context()
	if _, err := s.users.CreateUser(ctx, iam.RootAccount, name, "/", nil); err != nil {
		s.t.Fatal(err)
	}
	if len(statements) > 0 {
		text := `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
		if err := s.users.PutUserPolicy(ctx, iam.RootAccount, name, "only", text); err != nil {
			s.t.Fatal(err)
		}
	}
	key, err := s.users.CreateAccessKey(ctx, iam.RootAccount, name)
	if err != nil {
		s.t.Fatal(err)
	}
	return sigv4.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret}
}

// The things that requests of this file are done to.
const (
	someNode        = "mi-0123456789abcdef0"
	someAssociation = "8a4f1e0c-0000-4000-8000-000000000001"
	someDocument    = "AWS-GatherSoftwareInventory"
)

// asked has a request of every action that a policy can allow, which names one of all that it can name.
var asked = map[string]string{
	"ssm:PutInventory":                          elsewhere["PutInventory"],
	"ssm:GetInventory":                          `{}`,
	"ssm:GetInventorySchema":                    `{}`,
	"ssm:ListInventoryEntries":                  `{"InstanceId":"%s","TypeName":"AWS:Network"}`,
	"ssm:DeleteInventory":                       `{"TypeName":"Custom:None"}`,
	"ssm:DescribeInventoryDeletions":            `{}`,
	"ssm:AddTagsToResource":                     `{"ResourceType":"ManagedInstance","ResourceId":"%s","Tags":[{"Key":"k","Value":"v"}]}`,
	"ssm:RemoveTagsFromResource":                `{"ResourceType":"ManagedInstance","ResourceId":"%s","TagKeys":["k"]}`,
	"ssm:ListTagsForResource":                   `{"ResourceType":"ManagedInstance","ResourceId":"%s"}`,
	"ssm:CreateActivation":                      `{"IamRole":"inventory"}`,
	"ssm:DescribeActivations":                   `{}`,
	"ssm:DeleteActivation":                      `{"ActivationId":"8a4f1e0c-0000-4000-8000-000000000001"}`,
	"ssm:DeregisterManagedInstance":             `{"InstanceId":"%s"}`,
	"ssm:UpdateManagedInstanceRole":             `{"InstanceId":"%s","IamRole":"other"}`,
	"ssm:UpdateInstanceInformation":             elsewhere["UpdateInstanceInformation"],
	"ssm:DescribeInstanceInformation":           `{}`,
	"ssm:DescribeInstanceProperties":            `{}`,
	"ssm:ListNodes":                             `{}`,
	"ssm:ListNodesSummary":                      `{"Aggregators":[{"AggregatorType":"Count","TypeName":"Instance","AttributeName":"PlatformType"}]}`,
	"ssm:PutComplianceItems":                    elsewhere["PutComplianceItems"],
	"ssm:CreateAssociation":                     `{"Name":"AWS-GatherSoftwareInventory","InstanceId":"%s"}`,
	"ssm:CreateAssociationBatch":                `{"Entries":[{"Name":"AWS-GatherSoftwareInventory","InstanceId":"%s"}]}`,
	"ssm:UpdateAssociation":                     `{"AssociationId":"8a4f1e0c-0000-4000-8000-000000000001","Name":"AWS-GatherSoftwareInventory","Targets":[{"Key":"instanceids","Values":["%s"]}]}`,
	"ssm:UpdateAssociationStatus":               elsewhere["UpdateAssociationStatus"],
	"ssm:DescribeAssociation":                   `{"AssociationId":"8a4f1e0c-0000-4000-8000-000000000001","Name":"AWS-GatherSoftwareInventory","InstanceId":"%s"}`,
	"ssm:DeleteAssociation":                     `{"AssociationId":"8a4f1e0c-0000-4000-8000-000000000001","Name":"AWS-GatherSoftwareInventory","InstanceId":"%s"}`,
	"ssm:StartAssociationsOnce":                 `{"AssociationIds":["8a4f1e0c-0000-4000-8000-000000000001"]}`,
	"ssm:ListAssociations":                      `{}`,
	"ssm:ListAssociationVersions":               `{"AssociationId":"8a4f1e0c-0000-4000-8000-000000000001"}`,
	"ssm:DescribeAssociationExecutions":         `{"AssociationId":"8a4f1e0c-0000-4000-8000-000000000001"}`,
	"ssm:DescribeAssociationExecutionTargets":   `{"AssociationId":"8a4f1e0c-0000-4000-8000-000000000001","ExecutionId":"8a4f1e0c-0000-4000-8000-000000000002"}`,
	"ssm:DescribeEffectiveInstanceAssociations": `{"InstanceId":"%s"}`,
	"ssm:DescribeInstanceAssociationsStatus":    `{"InstanceId":"%s"}`,
	"ssm:ListInstanceAssociations":              `{"InstanceId":"%s"}`,
	"ssm:UpdateInstanceAssociationStatus":       elsewhere["UpdateInstanceAssociationStatus"],
	"ssm:GetDocument":                           `{"Name":"AWS-GatherSoftwareInventory"}`,
	"ssm:DescribeDocument":                      `{"Name":"AWS-GatherSoftwareInventory"}`,
	"ssm:ListDocuments":                         `{}`,
	"ec2messages:GetMessages":                   elsewhere["GetMessages"],
	"ec2messages:AcknowledgeMessage":            elsewhere["AcknowledgeMessage"],
	"ec2messages:SendReply":                     elsewhere["SendReply"],
	"ec2messages:FailMessage":                   elsewhere["FailMessage"],
	"ec2messages:DeleteMessage":                 elsewhere["DeleteMessage"],
	"stocktake:RegisterNode":                    `{"NodeId":"%s"}`,
	"stocktake:TerminateNode":                   `{"NodeId":"%s"}`,
	"stocktake:RemoveNode":                      `{"NodeId":"%s"}`,
	"stocktake:StopNode":                        `{"NodeId":"%s"}`,
	"stocktake:ExplainNode":                     `{"NodeId":"%s"}`,
	"stocktake:ListNodes":                       `{}`,
	"stocktake:RunRetention":                    `{}`,
}

// resourcesOf gives the ARNs that a request of asked is done to, by the table of actions.
func resourcesOf(permission string) []string {
	p := inventory.Partition{Account: iam.RootAccount, Region: region}
	var arns []string
	for _, target := range policy.TargetsOf(permission) {
		switch target {
		case policy.Node:
			arns = append(arns, policy.NodeARN(inventory.NodeKey{Partition: p, Node: someNode}))
		case policy.Association:
			if strings.Contains(asked[permission], someAssociation) {
				arns = append(arns, policy.AssociationARN(p, someAssociation))
			}
		case policy.Document:
			arns = append(arns, policy.DocumentARN(p, someDocument))
		default:
			service, _, _ := strings.Cut(permission, ":")
			arns = append(arns, policy.AnyARN(service, p))
		}
	}
	return arns
}

// TestEveryActionByItsPolicy calls every action as a user whose policy allows it on just what the request names, then on
// all of that but one thing, then on all with one denied, and as one with a policy of another action.
func TestEveryActionByItsPolicy(t *testing.T) {
	s := memoryStore(t, nil)
	credentials := s.user("walker", `{"Effect":"Allow","Action":"*","Resource":"*"}`)
	may := func(statements ...string) {
		t.Helper()
		text := `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
		if err := s.users.PutUserPolicy(t.Context(), iam.RootAccount, "walker", "only", text); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range append(api.Rows(s.service), agent.Rows(s.service, agent.Config{})...) {
		if row.Auth != awsjson.Signed {
			continue
		}
		body, ok := asked[row.Permission]
		if !ok {
			t.Errorf("there is no request for %s", row.Permission)
			continue
		}
		body = strings.ReplaceAll(body, "%s", someNode)
		arns := resourcesOf(row.Permission)
		call := func() answer { return s.call(row.Target, body, by(credentials)) }
		statement := func(effect string, arns []string) string {
			return fmt.Sprintf(`{"Effect":%q,"Action":%q,"Resource":["%s"]}`, effect, row.Permission, strings.Join(arns, `","`))
		}
		may(statement("Allow", arns))
		if row.Action == "GetMessages" {
			s.service.EndPolls() // it would wait
		}
		if got := call(); got.code() == "AccessDeniedException" || got.code() == "ValidationException" || got.code() == "SerializationException" || got.status >= 500 {
			t.Errorf("%s, allowed on %q: answered %d %s", row.Permission, arns, got.status, got.body)
		}
		for i, arn := range arns {
			refusal := fmt.Sprintf("User: arn:aws:iam::000000000000:user/walker is not authorized to perform: %s on resource: %s ", row.Permission, arn)
			may(statement("Allow", append(slices.Delete(slices.Clone(arns), i, i+1), "arn:aws:ssm:nowhere:000000000000:*")))
			if got := call(); got.code() != "AccessDeniedException" || !strings.Contains(got.body, refusal+"because no identity-based policy allows the "+row.Permission+" action") {
				t.Errorf("%s, not allowed on %s: answered %d %s", row.Permission, arn, got.status, got.body)
			}
			may(`{"Effect":"Allow","Action":"*","Resource":"*"}`, statement("Deny", []string{arn}))
			if got := call(); got.code() != "AccessDeniedException" || !strings.Contains(got.body, refusal+"with an explicit deny in an identity-based policy") {
				t.Errorf("%s, denied on %s: answered %d %s", row.Permission, arn, got.status, got.body)
			}
		}
		may(`{"Effect":"Allow","NotAction":"` + row.Permission + `","Resource":"*"}`)
		if got := call(); got.code() != "AccessDeniedException" {
			t.Errorf("%s, not allowed at all: answered %d %s", row.Permission, got.status, got.body)
		}
	}
}

// TestConditionsOfRequests has each condition key decide once for and once against.
func TestConditionsOfRequests(t *testing.T) {
	s := memoryStore(t, nil)
	s.call("PutInventory", putBody("i-0000000000000aaaa"), by(root)).is(t, "")
	s.call("AddTagsToResource", `{"ResourceType":"ManagedInstance","ResourceId":"i-0000000000000aaaa","Tags":[{"Key":"owner","Value":"alice"}]}`, by(root)).is(t, "")
	credentials := s.user("alice")
	for _, c := range []struct {
		condition, request string
		allowed            bool
	}{
		{`"IpAddress":{"aws:SourceIp":["127.0.0.0/8","::1/128"]}`, "", true},
		{`"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`, "", false},
		{`"StringEquals":{"aws:username":"alice"}`, "", true},
		{`"StringEquals":{"aws:username":"bob"}`, "", false},
		{`"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::000000000000:user/alice"}`, "", true},
		{`"StringEquals":{"aws:PrincipalAccount":"111122223333"}`, "", false},
		{`"StringEquals":{"aws:PrincipalType":"User"}`, "", true},
		{`"StringLike":{"aws:userid":"AIDA*"}`, "", true},
		{`"StringEquals":{"aws:RequestedRegion":"eu-north-1"}`, "", true},
		{`"StringEquals":{"aws:RequestedRegion":"eu-north-2"}`, "", false},
		{`"StringLike":{"aws:UserAgent":"Go-http-client/*"}`, "", true},
		{`"Bool":{"aws:SecureTransport":"false"}`, "", true},
		{`"Bool":{"aws:SecureTransport":"true"}`, "", false},
		{`"DateGreaterThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}`, "", true},
		{`"NumericLessThan":{"aws:EpochTime":"1500000000"}`, "", false},
		{`"StringEquals":{"ssm:resourceTag/owner":"${aws:username}"}`, "", true},
		{`"StringEquals":{"aws:ResourceTag/owner":"bob"}`, "", false},
		{`"StringEquals":{"ssm:resourceTag/owner":"alice"}`, "i-0000000000000bbbb", false},
		{`"StringEquals":{"aws:RequestTag/env":"prod"}`, "", true},
		{`"StringEquals":{"aws:RequestTag/env":"test"}`, "", false},
		{`"StringNotEquals":{"aws:RequestTag/env":"test"}`, "", true},
		{`"ForAllValues:StringEquals":{"aws:TagKeys":["env"]}`, "", true},
		{`"ForAnyValue:StringEquals":{"aws:TagKeys":["owner"]}`, "", false},
	} {
		text := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ssm:AddTagsToResource","Resource":"*","Condition":{` + c.condition + `}}}`
		if err := s.users.PutUserPolicy(t.Context(), iam.RootAccount, "alice", "only", text); err != nil {
			t.Fatal(err)
		}
		node := c.request
		if node == "" {
			node = "i-0000000000000aaaa"
		}
		got := s.call("AddTagsToResource", `{"ResourceType":"ManagedInstance","ResourceId":"`+node+`","Tags":[{"Key":"env","Value":"prod"}]}`, by(credentials))
		if allowed := got.status == http.StatusOK; allowed != c.allowed {
			t.Errorf("%s on %s: answered %d %s", c.condition, node, got.status, got.body)
		}
	}
}

// TestBrokenStoreIsNoDenial has the store fail while a user's key is looked up: a client tries again on that.
func TestBrokenStoreIsNoDenial(t *testing.T) {
	s := memoryStore(t, nil)
	credentials := s.user("alice", `{"Effect":"Allow","Action":"*","Resource":"*"}`)
	s.call("GetInventory", "{}", by(credentials)).is(t, "")
	// That the key was used is written after the answer, and every write of a record has caches read anew.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if _, err := s.store.Record(t.Context(), store.Key("accesskeyuse", credentials.AccessKeyID)); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	s.call("GetInventory", "{}", by(root)).is(t, "")
	s.broken.Store(true)
	defer s.broken.Store(false)
	if got := s.call("GetInventory", "{}", by(credentials)); got.status != http.StatusInternalServerError || got.code() != "InternalServerError" {
		t.Errorf("answered %d %s", got.status, got.body)
	}
	s.call("GetInventory", "{}", by(root)).is(t, "")
}

// TestChangesAreHeededAtOnce has a key disabled and enabled, and a user's policy changed, between requests.
func TestChangesAreHeededAtOnce(t *testing.T) {
	s := memoryStore(t, nil)
	const reading = `{"Effect":"Allow","Action":"ssm:Get*","Resource":"*"}`
	credentials := s.user("alice", reading)
	call := func() answer { return s.call("GetInventory", "{}", by(credentials)) }
	change := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	call().is(t, "")
	change(s.users.UpdateAccessKey(ctx, iam.RootAccount, "alice", credentials.AccessKeyID, iam.Inactive))
	call().is(t, "UnrecognizedClientException")
	change(s.users.UpdateAccessKey(ctx, iam.RootAccount, "alice", credentials.AccessKeyID, iam.Active))
	call().is(t, "")
	change(s.users.DeleteUserPolicy(ctx, iam.RootAccount, "alice", "only"))
	call().is(t, "AccessDeniedException")
	change(s.users.AttachUserPolicy(ctx, iam.RootAccount, "alice", "arn:aws:iam::aws:policy/AmazonSSMReadOnlyAccess"))
	call().is(t, "")
	s.restart()
	call().is(t, "")
	change(s.users.DeleteAccessKey(ctx, iam.RootAccount, "alice", credentials.AccessKeyID))
	call().is(t, "UnrecognizedClientException")
}
