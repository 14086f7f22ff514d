package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const cliRegion = "cli-1"

// aws runs the real aws CLI against the service, as a user would, and gives its JSON answer.
func (s *service) aws(t *testing.T, args ...string) any {
	t.Helper()
	stdout, stderr, err := s.runAWS(t, args...)
	if err != nil {
		t.Fatalf("aws ssm %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	var answer any
	if strings.TrimSpace(stdout) == "" {
		return nil // an answer without members
	}
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil {
		t.Fatalf("aws ssm %s: %v in %q", strings.Join(args, " "), err, stdout)
	}
	return answer
}

// runAWS names the endpoint by its flag too: the CLI of older systems does not know the variable.
func (s *service) runAWS(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	full := append([]string{"ssm", "--endpoint-url", s.endpoint, "--output", "json"}, args...)
	return s.command(t.Context(), cliRegion, tool(t, "aws"), full...)
}

// value reads what a test writes as JSON.
func value(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

const putItems = `[{"TypeName":"AWS:Application","SchemaVersion":"1.1","CaptureTime":"2026-01-02T03:04:05Z","ContentHash":"h1",
 "Content":[{"Name":"openssl","Version":"3.0.11","Publisher":""},{"Name":"zlib1g","Version":"1.2.13"}]},
 {"TypeName":"Custom:RackInfo","SchemaVersion":"1.0","CaptureTime":"2026-01-02T03:04:05Z","Content":[{"RackLocation":"Bay B"}]}]`

// TestCommandLineClient walks through the six operations with the aws CLI.
func TestCommandLineClient(t *testing.T) {
	s := sharedService(t)
	const one, two = "i-0000000000000c111", "i-0000000000000c112"
	for _, node := range []string{one, two} {
		s.aws(t, "put-inventory", "--instance-id", node, "--items", putItems)
	}
	steps := []struct {
		name string
		args []string
		want string
	}{
		{
			"the entries come back as they were put",
			[]string{"list-inventory-entries", "--instance-id", one, "--type-name", "AWS:Application"},
			`{"InstanceId":"` + one + `","TypeName":"AWS:Application","SchemaVersion":"1.1","CaptureTime":"2026-01-02T03:04:05Z",
			  "Entries":[{"Name":"openssl","Version":"3.0.11","Publisher":""},{"Name":"zlib1g","Version":"1.2.13"}]}`,
		},
		{
			"a type that was not reported has no entries",
			[]string{"list-inventory-entries", "--instance-id", one, "--type-name", "AWS:Network"},
			`{"InstanceId":"` + one + `","TypeName":"AWS:Network","Entries":[]}`,
		},
		{
			"two filters of a type hold for one entry",
			[]string{
				"get-inventory", "--filters", "Key=AWS:Application.Name,Values=openssl,Type=Equal",
				"Key=AWS:Application.Version,Values=1.2.13,Type=Equal",
			},
			`{"Entities":[]}`,
		},
		{
			"counts are strings, and stand without their type's version",
			[]string{"get-inventory", "--aggregators", "Expression=AWS:Application.Name"},
			`{"Entities":[{"Data":{"AWS:Application":{"Content":[{"Count":"2","Name":"openssl"},{"Count":"2","Name":"zlib1g"}]}}}]}`,
		},
		{
			"the schema of a custom type is learnt",
			[]string{"get-inventory-schema", "--type-name", "Custom:RackInfo"},
			`{"Schemas":[{"TypeName":"Custom:RackInfo","Version":"1.0","Attributes":[{"Name":"RackLocation","DataType":"STRING"}]}]}`,
		},
		{
			"a dry run of a deletion tells what it would remove",
			[]string{"delete-inventory", "--type-name", "Custom:RackInfo", "--dry-run"},
			`{"TypeName":"Custom:RackInfo","DeletionSummary":{"TotalCount":2,"RemainingCount":2,
			  "SummaryItems":[{"Version":"1.0","Count":2,"RemainingCount":2}]}}`,
		},
		{
			"no deletion is known before one was asked for",
			[]string{"describe-inventory-deletions"},
			`{"InventoryDeletions":[]}`,
		},
		{
			"a node is tagged",
			[]string{"add-tags-to-resource", "--resource-type", "ManagedInstance", "--resource-id", one, "--tags", "Key=Stage,Value=prod", "Key=Owner,Value=web"},
			`null`,
		},
		{
			"a tag is removed",
			[]string{"remove-tags-from-resource", "--resource-type", "ManagedInstance", "--resource-id", one, "--tag-keys", "Owner"},
			`null`,
		},
		{
			"tags are listed",
			[]string{"list-tags-for-resource", "--resource-type", "ManagedInstance", "--resource-id", one},
			`{"TagList":[{"Key":"Stage","Value":"prod"}]}`,
		},
	}
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			if diff := cmp.Diff(value(t, step.want), s.aws(t, step.args...)); diff != "" {
				t.Errorf("aws ssm %s (-want +got):\n%s", strings.Join(step.args, " "), diff)
			}
		})
	}
	t.Run("a filter finds the nodes", func(t *testing.T) {
		answer := s.aws(t, "get-inventory", "--filters", "Key=AWS:Application.Name,Values=OPENSSL", "--query", "Entities[].Id")
		if diff := cmp.Diff(value(t, `["`+one+`","`+two+`"]`), answer); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("the CLI pages by itself", func(t *testing.T) {
		answer := s.aws(t, "get-inventory", "--page-size", "1", "--query", "Entities[].Id")
		if diff := cmp.Diff(value(t, `["`+one+`","`+two+`"]`), answer); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("errors carry their code and text", s.testCommandLineErrors)
}

func (s *service) testCommandLineErrors(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"list-inventory-entries", "--instance-id", "i-0000000000000c119", "--type-name", "AWS:Application"}, "(InvalidInstanceId)"},
		{[]string{"get-inventory", "--filters", "Key=AWS:Nothing.Name,Values=x"}, "(InvalidFilter)"},
		{[]string{"delete-inventory", "--type-name", "AWS:Application"}, "(InvalidTypeNameException)"},
		{
			[]string{"get-inventory", "--result-attributes", "TypeName=AWS:Application"},
			"(InvalidResultAttributeException) when calling the GetInventory operation: Result type name AWS:Application is not supported. " +
				"Supported type names are: AWS:InstanceInformation, AWS:PatchSummary. Default result type name is AWS:InstanceInformation.",
		},
		{
			[]string{"get-inventory", "--max-results", "100", "--no-paginate"},
			"(ValidationException) when calling the GetInventory operation: 1 validation error detected: Value '100' at 'maxResults' " +
				"failed to satisfy constraint: Member must have value less than or equal to 50",
		},
		{
			[]string{"list-inventory-entries", "--instance-id", "i-083e1601960282cd", "--type-name", "AWS:Application"},
			`(ValidationException) when calling the ListInventoryEntries operation: 1 validation error detected: Value 'i-083e1601960282cd' ` +
				`at 'instanceId' failed to satisfy constraint: Member must satisfy regular expression pattern: (^i-(\w{8}|\w{17})$)|(^mi-\w{17}$)`,
		},
	} {
		_, stderr, err := s.runAWS(t, c.args...)
		if err == nil || !strings.Contains(stderr, c.want) {
			t.Errorf("aws ssm %s: %v, %q, want %q in it", strings.Join(c.args, " "), err, stderr, c.want)
		}
	}
}

// TestPythonClient drives boto3.
func TestPythonClient(t *testing.T) {
	python := tool(t, "python3")
	if said, err := exec.Command(python, "-c", "import boto3").CombinedOutput(); err != nil {
		t.Fatalf("%s has no boto3: run scripts/need boto3\n%s", python, said)
	}
	script, err := filepath.Abs("testdata/client.py")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(script); err != nil {
		t.Fatal(err)
	}
	s := sharedService(t)
	stdout, stderr, err := s.command(t.Context(), "boto-1", python, script, s.endpoint)
	if err != nil || !strings.Contains(stdout, "all of it held") {
		t.Errorf("%v\n%s%s", err, stdout, stderr)
	}
}
