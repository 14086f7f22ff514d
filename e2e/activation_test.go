package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/client"
)

const activationRegion = "activation-1"

// manage runs the real aws CLI in the region of activations, and gives its answer, or the error's text.
func (s *service) manage(t *testing.T, args ...string) (answer any, refusal string) {
	t.Helper()
	full := append([]string{"ssm", "--endpoint-url", s.endpoint, "--output", "json"}, args...)
	stdout, stderr, err := s.command(t.Context(), activationRegion, tool(t, "aws"), full...)
	if err != nil {
		return nil, stderr
	}
	if strings.TrimSpace(stdout) == "" {
		return nil, ""
	}
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil {
		t.Fatalf("aws ssm %s: %v in %q", strings.Join(args, " "), err, stdout)
	}
	return answer, ""
}

func (s *service) managed(t *testing.T, args ...string) map[string]any {
	t.Helper()
	answer, refusal := s.manage(t, args...)
	if refusal != "" {
		t.Fatalf("aws ssm %s: %s", strings.Join(args, " "), refusal)
	}
	members, _ := answer.(map[string]any)
	return members
}

// TestCommandLineActivations makes an activation with the aws CLI, registers a machine with it and deregisters it again.
func TestCommandLineActivations(t *testing.T) {
	s := sharedService(t)
	made := s.managed(t, "create-activation", "--iam-role", "service-role/inventory", "--default-instance-name", "web",
		"--description", "the web servers", "--registration-limit", "2", "--tags", "Key=Stage,Value=test",
		"--expiration-date", time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	id, code := made["ActivationId"].(string), made["ActivationCode"].(string)
	if len(id) != 36 || len(code) < 20 {
		t.Fatalf("made: %v", made)
	}
	key, err := client.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	machine := client.Identity{Endpoint: s.endpoint, Region: activationRegion, Fingerprint: client.NewFingerprint(), Key: key}
	node, err := client.Register(t.Context(), client.Config{}, machine, id, code)
	if err != nil {
		t.Fatal(err)
	}
	listed := s.managed(t, "describe-activations", "--filters", "FilterKey=ActivationIds,FilterValues="+id)
	one := listed["ActivationList"].([]any)[0].(map[string]any)
	delete(one, "CreatedDate")
	delete(one, "ExpirationDate")
	want := value(t, `{"ActivationId":"`+id+`","Description":"the web servers","DefaultInstanceName":"web","IamRole":"service-role/inventory",
	 "RegistrationLimit":2,"RegistrationsCount":1,"Expired":false,"Tags":[{"Key":"Stage","Value":"test"}]}`)
	if diff := cmp.Diff(want, any(one)); diff != "" {
		t.Errorf("describe-activations (-want +got):\n%s", diff)
	}
	s.managed(t, "update-managed-instance-role", "--instance-id", node, "--iam-role", "other")
	s.managed(t, "delete-activation", "--activation-id", id)
	s.managed(t, "deregister-managed-instance", "--instance-id", node)
	for code, args := range map[string][]string{
		"InvalidActivation":   {"delete-activation", "--activation-id", id},
		"InvalidInstanceId":   {"deregister-managed-instance", "--instance-id", node},
		"InvalidParameters":   {"create-activation", "--iam-role", "r", "--expiration-date", "2020-01-01T00:00:00Z"},
		"InvalidNextToken":    {"describe-activations", "--next-token", "x", "--max-results", "1"},
		"ValidationException": {"create-activation", "--iam-role", strings.Repeat("r", 65)},
	} {
		if _, refusal := s.manage(t, args...); !strings.Contains(refusal, "("+code+")") {
			t.Errorf("aws ssm %s: %s", strings.Join(args, " "), refusal)
		}
	}
	if got := s.managed(t, "describe-activations")["ActivationList"]; len(got.([]any)) != 0 {
		t.Errorf("left: %v", got)
	}
}
