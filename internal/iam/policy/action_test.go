package policy

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/inventory"
)

var here = inventory.Partition{Account: "111122223333", Region: "eu-north-1"}

func TestResourceNames(t *testing.T) {
	got := []string{
		NodeARN(inventory.NodeKey{Partition: here, Node: "mi-0123456789abcdef0"}),
		NodeARN(inventory.NodeKey{Partition: here, Node: "i-0123456789abcdef0"}),
		AssociationARN(here, "6b8e1a5e-0000-4000-8000-000000000001"),
		DocumentARN(here, "AWS-GatherSoftwareInventory"),
		DocumentARN(here, "AmazonCloudWatch-ManageAgent"),
		DocumentARN(here, "ours"),
		UserARN(here.Account, "alice"),
		RoleARN(here.Account, "service-role/inventory"),
		AnyARN("ssm", here),
	}
	want := []string{
		"arn:aws:ssm:eu-north-1:111122223333:managed-instance/mi-0123456789abcdef0",
		"arn:aws:ec2:eu-north-1:111122223333:instance/i-0123456789abcdef0",
		"arn:aws:ssm:eu-north-1:111122223333:association/6b8e1a5e-0000-4000-8000-000000000001",
		"arn:aws:ssm:eu-north-1::document/AWS-GatherSoftwareInventory",
		"arn:aws:ssm:eu-north-1::document/AmazonCloudWatch-ManageAgent",
		"arn:aws:ssm:eu-north-1:111122223333:document/ours",
		"arn:aws:iam::111122223333:user/alice",
		"arn:aws:iam::111122223333:role/service-role/inventory",
		"arn:aws:ssm:eu-north-1:111122223333:*",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestActionsAreWritable holds every action of the table to the language: it can be written in a policy, allowed, denied
// and left out, and so can its condition keys.
func TestActionsAreWritable(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range Actions() {
		if folded := strings.ToLower(a.Name); seen[folded] {
			t.Errorf("%s stands twice", a.Name)
		} else {
			seen[folded] = true
		}
		if len(a.Targets) == 0 {
			t.Errorf("%s is done to nothing", a.Name)
		}
		for _, key := range a.Keys {
			if _, ok := keyNamed(key); !ok {
				t.Errorf("%s: unknown key %s", a.Name, key)
			}
		}
		request := &Request{Action: a.Name}
		for _, target := range a.Targets {
			request.Resources = append(request.Resources, Resource{ARN: example(target)})
		}
		all := []*Policy{parse(t, `{"Statement":{"Effect":"Allow","Action":"`+a.Name+`","Resource":"*"}}`)}
		if got := Evaluate(all, request).Outcome; got != Allowed {
			t.Errorf("%s: %s", a.Name, got)
		}
		for _, resource := range request.Resources {
			none := parse(t, `{"Statement":{"Effect":"Deny","Action":"`+a.Name+`","Resource":"`+resource.ARN+`"}}`)
			if got := Evaluate(append(all, none), request).Outcome; got != DeniedExplicitly {
				t.Errorf("%s on %s: %s", a.Name, resource.ARN, got)
			}
		}
		others := []*Policy{parse(t, `{"Statement":{"Effect":"Allow","NotAction":"`+a.Name+`","Resource":"*"}}`)}
		if got := Evaluate(others, request).Outcome; got != NotAllowed {
			t.Errorf("all but %s: %s", a.Name, got)
		}
	}
}

func example(target Target) string {
	switch target {
	case Node:
		return NodeARN(inventory.NodeKey{Partition: here, Node: "mi-0123456789abcdef0"})
	case Association:
		return AssociationARN(here, "6b8e1a5e-0000-4000-8000-000000000001")
	case Document:
		return DocumentARN(here, "AWS-GatherSoftwareInventory")
	case User:
		return UserARN(here.Account, "alice")
	case Role:
		return RoleARN(here.Account, "inventory")
	}
	return AnyARN("ssm", here)
}

// TestManagedPolicies walks every action under each built-in policy.
func TestManagedPolicies(t *testing.T) {
	agent := []string{
		"ssm:DescribeAssociation", "ssm:DescribeDocument", "ssm:GetDocument", "ssm:ListAssociations", "ssm:ListInstanceAssociations",
		"ssm:PutComplianceItems", "ssm:PutInventory", "ssm:UpdateAssociationStatus", "ssm:UpdateInstanceAssociationStatus",
		"ssm:UpdateInstanceInformation", "ec2messages:AcknowledgeMessage", "ec2messages:DeleteMessage", "ec2messages:FailMessage",
		"ec2messages:GetMessages", "ec2messages:SendReply",
	}
	allows := map[string]func(a Action, service string) bool{
		"arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore": func(a Action, _ string) bool { return slices.Contains(agent, a.Name) },
		"arn:aws:iam::aws:policy/AmazonSSMReadOnlyAccess": func(a Action, service string) bool {
			return (a.Access == Read || a.Access == List) && (service == "ssm" || service == "stocktake")
		},
		"arn:aws:iam::aws:policy/AmazonSSMFullAccess": func(_ Action, service string) bool { return service != "iam" && service != "sts" },
	}
	if got := ManagedARNs(); len(got) != len(allows) {
		t.Errorf("there are %v", got)
	}
	for arn, want := range allows {
		p, err := Managed(arn)
		if err != nil {
			t.Fatal(err)
		}
		if p.Size() > MaxManagedSize {
			t.Errorf("%s has %d characters", arn, p.Size())
		}
		for _, a := range Actions() {
			service, _, _ := strings.Cut(a.Name, ":")
			got := Evaluate([]*Policy{p}, &Request{Action: a.Name, Resources: []Resource{{ARN: example(a.Targets[0])}}}).Outcome == Allowed
			if got != want(a, service) {
				t.Errorf("%s: allows %s: %v", arn, a.Name, got)
			}
		}
	}
	for _, arn := range []string{"", "AmazonSSMFullAccess", "arn:aws:iam::aws:policy/", "arn:aws:iam::aws:policy/AdministratorAccess", "arn:aws:iam::111122223333:policy/AmazonSSMFullAccess"} {
		if _, err := Managed(arn); err == nil || !strings.Contains(err.Error(), "known are arn:aws:iam::aws:policy/AmazonSSM") {
			t.Errorf("%q: %v", arn, err)
		}
	}
}

// TestThePageHasTheTables holds docs/iam.md to the code: its rows on actions and on condition keys are just these.
func TestThePageHasTheTables(t *testing.T) {
	page, err := os.ReadFile("../../../docs/iam.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, name := range keyNames(true) {
		want = append(want, "| `"+name+"` |")
	}
	for _, a := range Actions() {
		targets := make([]string, len(a.Targets))
		for i, target := range a.Targets {
			targets[i] = string(target)
		}
		row := "| `" + a.Name + "` | " + string(a.Access) + " | " + strings.Join(targets, ", ") + " | "
		if len(a.Keys) > 0 {
			row += "`" + strings.Join(a.Keys, "`, `") + "` "
		}
		want = append(want, row+"|")
	}
	var got []string
	for line := range strings.Lines(string(page)) {
		name, _, found := strings.Cut(strings.TrimPrefix(line, "| `"), "` |")
		if found && strings.HasPrefix(line, "| `") && strings.Contains(name, ":") && !strings.HasPrefix(name, "arn:") {
			line = strings.TrimRight(line, "\n")
			if strings.Count(line, "|") == 3 {
				line = "| `" + name + "` |" // of a condition key; what it is stands on the page alone
			}
			got = append(got, line)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/iam.md and the code differ (-code +page):\n%s", diff)
	}
}
