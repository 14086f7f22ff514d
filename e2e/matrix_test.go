package e2e

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"stocktake/internal/iam/policy"
)

var matrix = flag.Bool("matrix", false, "ask every action by every key with the aws CLI, not a sample")

// The nodes of the matrix: those with patterns and narrow policies may touch the first alone.
const (
	matrixNode  = "i-0000000000000ab01"
	matrixOther = "i-0000000000000ab02"
	matrixMark  = "of-the-first-account"
)

const matrixFile = `
accounts:
  - id: "000000000000"
    access_keys:
      - {id: AKIAPATTERN, secret: pattern-secret-pattern, actions: ["ssm:Get*", "ssm:List*"]}
      - {id: AKIABOUND, secret: bound-secret-bound-secret, nodes: [i-0000000000000ab01]}
      - {id: AKIAMANAGER, secret: manager-secret-manager, actions: ["iam:*", "sts:*"]}
    users:
      - name: reader
        attached_policies: [AmazonSSMReadOnlyAccess]
        access_keys: [{id: AKIAREADONLY, secret: reader-secret-reader-secret}]
      - name: core
        attached_policies: [AmazonSSMManagedInstanceCore]
        access_keys: [{id: AKIACORE, secret: core-secret-core-secret}]
      - name: full
        attached_policies: [AmazonSSMFullAccess]
        access_keys: [{id: AKIAFULL, secret: full-secret-full-secret}]
      - name: most
        policies:
          most:
            Version: 2012-10-17
            Statement:
              - {Effect: Allow, Action: "*", Resource: "*"}
              - {Effect: Deny, Action: ["ssm:Delete*", "ssm:PutInventory", "iam:*"], Resource: "*"}
        access_keys: [{id: AKIAMOST, secret: most-secret-most-secret}]
      - name: narrow
        policies:
          narrow:
            Version: 2012-10-17
            Statement:
              - Effect: Allow
                Action: ["ssm:PutInventory", "ssm:ListInventoryEntries", "ssm:AddTagsToResource"]
                Resource: "arn:aws:ec2:*:000000000000:instance/i-0000000000000ab01"
              - {Effect: Allow, Action: "sts:AssumeRole", Resource: "arn:aws:iam::000000000000:role/ops"}
        access_keys: [{id: AKIANARROW, secret: narrow-secret-narrow-secret}]
      - name: nothing
        access_keys: [{id: AKIANOTHING, secret: nothing-secret-nothing}]
    roles:
      - name: ops
        trust: {Version: 2012-10-17, Statement: {Effect: Allow, Principal: {AWS: "000000000000"}, Action: "sts:AssumeRole"}}
  - id: "111122223333"
    access_keys:
      - {id: AKIAOTHERS, secret: others-secret-others-secret}
`

// verdict is what a policy says.
type verdict int

const (
	none    verdict = iota // no policy allows it
	denied                 // a policy denies it
	allowed                // whatever the action then says
)

// matrixAction is an action, as someone asks for it on the command line.
type matrixAction struct {
	name string // ssm:PutInventory; with a word behind it where another thing is named
	args []string
	sdk  func(client *ssm.Client, t *testing.T) error // where older aws CLIs do not know it
}

// permission is the action as policies name it.
func (a matrixAction) permission() string { return strings.Fields(a.name)[0] }

// matrixKey is someone who asks, and what their policies say, by hand: the actions that are allowed and denied.
type matrixKey struct {
	name, id, secret string
	says             func(action string) verdict
}

// just allows the actions listed, of ssm where they name no service.
func just(actions string) func(string) verdict {
	return func(action string) verdict {
		if slices.Contains(strings.Split(actions, ","), strings.TrimPrefix(action, "ssm:")) {
			return allowed
		}
		return none
	}
}

const (
	matrixReads = "GetInventory,GetInventorySchema,GetDocument,ListInventoryEntries,ListInventoryEntries elsewhere,ListTagsForResource,ListNodes," +
		"ListNodesSummary,ListAssociations,ListAssociationVersions,ListDocuments,DescribeInventoryDeletions,DescribeActivations," +
		"DescribeInstanceInformation,DescribeInstanceProperties,DescribeAssociation,DescribeAssociationExecutions," +
		"DescribeAssociationExecutionTargets,DescribeEffectiveInstanceAssociations,DescribeInstanceAssociationsStatus,DescribeDocument"
	matrixGets = "GetInventory,GetInventorySchema,GetDocument,ListInventoryEntries,ListInventoryEntries elsewhere,ListTagsForResource,ListNodes," +
		"ListNodesSummary,ListAssociations,ListAssociationVersions,ListDocuments"
	matrixBound = "PutInventory,PutComplianceItems,DescribeAssociation,UpdateAssociationStatus,GetDocument,DescribeDocument," +
		"ListInventoryEntries,GetInventorySchema"
	matrixCore = "PutInventory,PutInventory elsewhere,PutComplianceItems,DescribeAssociation,DescribeDocument,GetDocument,ListAssociations," +
		"UpdateAssociationStatus"
	matrixNarrow = "PutInventory,ListInventoryEntries,AddTagsToResource,sts:AssumeRole"
	matrixDenied = "DeleteInventory,DeleteActivation,DeleteAssociation,PutInventory,PutInventory elsewhere"
)

func all(string) verdict { return allowed }

func of(services ...string) func(string) verdict {
	return func(action string) verdict {
		service, _, _ := strings.Cut(action, ":")
		if slices.Contains(services, service) {
			return allowed
		}
		return none
	}
}

var matrixKeys = []matrixKey{
	{"root", "", "", all},
	{"the other account's", "AKIAOTHERS", "others-secret-others-secret", func(action string) verdict {
		if action == "sts:AssumeRole" { // of a role of the first account
			return none
		}
		return allowed
	}},
	{"read-only", "AKIAREADONLY", "reader-secret-reader-secret", just(matrixReads)},
	{"patterns of reading", "AKIAPATTERN", "pattern-secret-pattern", just(matrixGets)},
	{"a node's", "AKIABOUND", "bound-secret-bound-secret", just(matrixBound)},
	{"a manager's", "AKIAMANAGER", "manager-secret-manager", of("iam", "sts")},
	{"an agent's policy", "AKIACORE", "core-secret-core-secret", just(matrixCore)},
	{"full access", "AKIAFULL", "full-secret-full-secret", of("ssm")},
	{"most", "AKIAMOST", "most-secret-most-secret", func(action string) verdict {
		if strings.HasPrefix(action, "iam:") || just(matrixDenied)(action) == allowed {
			return denied
		}
		return allowed
	}},
	{"narrow", "AKIANARROW", "narrow-secret-narrow-secret", just(matrixNarrow)},
	{"no policy", "AKIANOTHING", "nothing-secret-nothing", just("")},
}

const (
	matrixID    = "8a4f1e0c-0000-4000-8000-000000000001"
	matrixTrust = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"sts:AssumeRole"}}`
	matrixDeny  = `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`
	matrixItems = `[{"TypeName":"Custom:Put","SchemaVersion":"1.0","CaptureTime":"2026-01-02T03:04:05Z","Content":[{"Mark":"x"}]}]`
)

// command makes a row of the matrix of a command line: the service, the command and its parameters.
func command(name, line string, more ...string) matrixAction {
	return matrixAction{name: name, args: append(strings.Fields(line), more...)}
}

func matrixActions() []matrixAction {
	const node, other = " --instance-id " + matrixNode, " --instance-id " + matrixOther
	return []matrixAction{
		command("ssm:PutInventory", "ssm put-inventory"+node, "--items", matrixItems),
		command("ssm:PutInventory elsewhere", "ssm put-inventory"+other, "--items", matrixItems),
		command("ssm:GetInventory", "ssm get-inventory"),
		command("ssm:GetInventorySchema", "ssm get-inventory-schema"),
		command("ssm:ListInventoryEntries", "ssm list-inventory-entries --type-name Custom:Mark"+node),
		command("ssm:ListInventoryEntries elsewhere", "ssm list-inventory-entries --type-name Custom:Mark"+other),
		command("ssm:DeleteInventory", "ssm delete-inventory --type-name Custom:None"),
		command("ssm:DescribeInventoryDeletions", "ssm describe-inventory-deletions"),
		command("ssm:AddTagsToResource", "ssm add-tags-to-resource --resource-type ManagedInstance --resource-id "+matrixNode+" --tags Key=k,Value=v"),
		command("ssm:AddTagsToResource elsewhere", "ssm add-tags-to-resource --resource-type ManagedInstance --resource-id "+matrixOther+" --tags Key=k,Value=v"),
		command("ssm:RemoveTagsFromResource", "ssm remove-tags-from-resource --resource-type ManagedInstance --resource-id "+matrixNode+" --tag-keys k"),
		command("ssm:ListTagsForResource", "ssm list-tags-for-resource --resource-type ManagedInstance --resource-id "+matrixNode),
		command("ssm:CreateActivation", "ssm create-activation --iam-role inventory"),
		command("ssm:DescribeActivations", "ssm describe-activations"),
		command("ssm:DeleteActivation", "ssm delete-activation --activation-id "+matrixID),
		command("ssm:DeregisterManagedInstance", "ssm deregister-managed-instance --instance-id mi-ffffffffffffffff0"),
		command("ssm:UpdateManagedInstanceRole", "ssm update-managed-instance-role --instance-id mi-ffffffffffffffff0 --iam-role other"),
		command("ssm:DescribeInstanceInformation", "ssm describe-instance-information"),
		{name: "ssm:DescribeInstanceProperties", sdk: func(client *ssm.Client, t *testing.T) error {
			_, err := client.DescribeInstanceProperties(t.Context(), &ssm.DescribeInstancePropertiesInput{})
			return err
		}},
		{name: "ssm:ListNodes", sdk: func(client *ssm.Client, t *testing.T) error {
			_, err := client.ListNodes(t.Context(), &ssm.ListNodesInput{})
			return err
		}},
		{name: "ssm:ListNodesSummary", sdk: func(client *ssm.Client, t *testing.T) error {
			_, err := client.ListNodesSummary(t.Context(), &ssm.ListNodesSummaryInput{Aggregators: []types.NodeAggregator{{
				AggregatorType: types.NodeAggregatorTypeCount, TypeName: types.NodeTypeNameInstance, AttributeName: types.NodeAttributeNamePlatformType,
			}}})
			return err
		}},
		command("ssm:PutComplianceItems", "ssm put-compliance-items --resource-id "+matrixNode+" --resource-type ManagedInstance --compliance-type Custom:Mark",
			"--execution-summary", "ExecutionTime=2026-01-02T03:04:05Z", "--items", "Id=1,Severity=LOW,Status=COMPLIANT"),
		command("ssm:CreateAssociation", "ssm create-association --name AWS-GatherSoftwareInventory"+node),
		command("ssm:CreateAssociationBatch", "ssm create-association-batch --entries Name=AWS-GatherSoftwareInventory,InstanceId="+matrixNode),
		command("ssm:UpdateAssociation", "ssm update-association --association-id "+matrixID),
		command("ssm:UpdateAssociationStatus", "ssm update-association-status --name AWS-GatherSoftwareInventory"+node,
			"--association-status", "Date=2026-01-02T03:04:05Z,Name=Success,Message=m"),
		command("ssm:DescribeAssociation", "ssm describe-association --name AWS-GatherSoftwareInventory"+node),
		command("ssm:DeleteAssociation", "ssm delete-association --association-id "+matrixID),
		command("ssm:StartAssociationsOnce", "ssm start-associations-once --association-ids "+matrixID),
		command("ssm:ListAssociations", "ssm list-associations"),
		command("ssm:ListAssociationVersions", "ssm list-association-versions --association-id "+matrixID),
		command("ssm:DescribeAssociationExecutions", "ssm describe-association-executions --association-id "+matrixID),
		command("ssm:DescribeAssociationExecutionTargets", "ssm describe-association-execution-targets --association-id "+matrixID+" --execution-id "+matrixID),
		command("ssm:DescribeEffectiveInstanceAssociations", "ssm describe-effective-instance-associations"+node),
		command("ssm:DescribeInstanceAssociationsStatus", "ssm describe-instance-associations-status"+node),
		command("ssm:GetDocument", "ssm get-document --name AWS-GatherSoftwareInventory"),
		command("ssm:DescribeDocument", "ssm describe-document --name AWS-GatherSoftwareInventory"),
		command("ssm:ListDocuments", "ssm list-documents"),
		command("iam:CreateUser", "iam create-user --user-name made"),
		command("iam:GetUser", "iam get-user --user-name nobody"),
		command("iam:ListUsers", "iam list-users"),
		command("iam:DeleteUser", "iam delete-user --user-name nobody"),
		command("iam:CreateAccessKey", "iam create-access-key --user-name nobody"),
		command("iam:ListAccessKeys", "iam list-access-keys --user-name nobody"),
		command("iam:UpdateAccessKey", "iam update-access-key --user-name nobody --access-key-id AKIA0000000000000000 --status Inactive"),
		command("iam:DeleteAccessKey", "iam delete-access-key --user-name nobody --access-key-id AKIA0000000000000000"),
		command("iam:GetAccessKeyLastUsed", "iam get-access-key-last-used --access-key-id AKIA0000000000000000"),
		command("iam:PutUserPolicy", "iam put-user-policy --user-name nobody --policy-name p --policy-document", matrixDeny),
		command("iam:GetUserPolicy", "iam get-user-policy --user-name nobody --policy-name p"),
		command("iam:ListUserPolicies", "iam list-user-policies --user-name nobody"),
		command("iam:DeleteUserPolicy", "iam delete-user-policy --user-name nobody --policy-name p"),
		command("iam:AttachUserPolicy", "iam attach-user-policy --user-name nobody --policy-arn arn:aws:iam::aws:policy/AmazonSSMFullAccess"),
		command("iam:DetachUserPolicy", "iam detach-user-policy --user-name nobody --policy-arn arn:aws:iam::aws:policy/AmazonSSMFullAccess"),
		command("iam:ListAttachedUserPolicies", "iam list-attached-user-policies --user-name nobody"),
		command("iam:CreateRole", "iam create-role --role-name made --assume-role-policy-document", matrixTrust),
		command("iam:PutRolePolicy", "iam put-role-policy --role-name nobody --policy-name p --policy-document", matrixDeny),
		command("iam:ListRoles", "iam list-roles"),
		command("iam:DeleteRole", "iam delete-role --role-name nobody"),
		command("sts:AssumeRole", "sts assume-role --role-arn arn:aws:iam::000000000000:role/ops --role-session-name me"),
	}
}

// TestMatrixHasEveryAction holds the matrix to the table of actions. What agents alone call no command line has.
func TestMatrixHasEveryAction(t *testing.T) {
	var listed []string
	for _, a := range matrixActions() {
		listed = append(listed, a.permission())
	}
	for _, a := range policy.Actions() {
		service, _, _ := strings.Cut(a.Name, ":")
		agents := slices.Contains([]string{"ssm:UpdateInstanceInformation", "ssm:ListInstanceAssociations", "ssm:UpdateInstanceAssociationStatus"}, a.Name)
		if want := (service == "ssm" || service == "iam" || service == "sts") && !agents; want != slices.Contains(listed, a.Name) {
			t.Errorf("%s in the matrix: %v, want %v", a.Name, !want, want)
		}
	}
}

// TestMatrix asks the actions of the public APIs with the real aws CLI by each of two accounts' keys and without one, and
// holds the answers to the policies, by a table made by hand. In its short form a part of the cells, in turn.
func TestMatrix(t *testing.T) {
	t.Parallel()
	conf := filepath.Join(t.TempDir(), "stocktake.yaml")
	if err := os.WriteFile(conf, []byte(matrixFile), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, t.TempDir(), "--config", conf)
	for _, node := range []string{matrixNode, matrixOther} {
		_, err := s.client(cliRegion).PutInventory(t.Context(), &ssm.PutInventoryInput{InstanceId: aws.String(node), Items: []types.InventoryItem{{
			TypeName: aws.String("Custom:Mark"), SchemaVersion: aws.String("1.0"), CaptureTime: aws.String("2026-01-02T03:04:05Z"), Content: []map[string]string{{"Mark": matrixMark}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	tool(t, "aws")
	type cell struct {
		key    matrixKey
		action matrixAction
	}
	cells := make(chan cell)
	var asking sync.WaitGroup
	for range 2 {
		asking.Go(func() {
			for c := range cells {
				s.askCell(t, c.key, c.action)
			}
		})
	}
	count, asked := 0, 0
	for _, action := range matrixActions() {
		for _, key := range append(matrixKeys, matrixKey{name: "unsigned"}) {
			const part = 37 // no multiple of the keys' number: every key and nearly every action has its turn
			if count++; *matrix || count%part == 0 {
				asked++
				cells <- cell{key, action}
			}
		}
	}
	close(cells)
	asking.Wait()
	t.Logf("%d of %d cells asked: %d actions by %d keys and by none", asked, count, len(matrixActions()), len(matrixKeys))
}

// askCell asks one action by one key.
func (s *service) askCell(t *testing.T, key matrixKey, action matrixAction) {
	t.Helper()
	var who identity
	credentials := s.key
	if key.id != "" {
		who = keyOf(key.id, key.secret, "")
		credentials = aws.Credentials{AccessKeyID: key.id, SecretAccessKey: key.secret}
	}
	unsigned := key.says == nil
	var answer, refusal string
	switch {
	case action.sdk != nil && unsigned:
		return // the SDK does not do that
	case action.sdk != nil:
		if err := action.sdk(s.clientAs(cliRegion, credentials), t); err != nil {
			refusal = "(" + code(err) + ") " + err.Error()
		}
	case unsigned:
		answer, refusal = s.awsAs(t, who, append(slices.Clone(action.args), "--no-sign-request")...)
	default:
		answer, refusal = s.awsAs(t, who, action.args...)
	}
	if key.id == "AKIAOTHERS" && strings.Contains(answer, matrixMark) {
		t.Errorf("%s tells the other account: %s", action.name, answer)
	}
	accessDenied := strings.Contains(refusal, "(AccessDenied") && strings.Contains(refusal, "not authorized to perform: "+action.permission()+" on resource: arn:aws:")
	explicit := strings.Contains(refusal, "with an explicit deny in an identity-based policy")
	switch {
	case unsigned:
		if !strings.Contains(refusal, "(MissingAuthenticationToken") {
			t.Errorf("%s unsigned: answered %q %q", action.name, answer, refusal)
		}
	case key.says(action.name) == allowed:
		if strings.Contains(refusal, "AccessDenied") || strings.Contains(refusal, "usage:") || (refusal != "" && !strings.Contains(refusal, "An error occurred (") && action.sdk == nil) {
			t.Errorf("%s by %s, which is allowed: answered %q", action.name, key.name, refusal)
		}
	case !accessDenied || explicit != (key.says(action.name) == denied):
		t.Errorf("%s by %s, which is not allowed: answered %q %q", action.name, key.name, answer, refusal)
	}
}
