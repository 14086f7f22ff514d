package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/client"
	"stocktake/internal/sigv4"
	"stocktake/internal/wire"
)

const associationRegion = "association-1"

// state runs the real aws CLI in the region of associations. What differs from run to run is written by its kind: ids by the
// name given them in known, times as <time>.
func (s *service) state(t *testing.T, known map[string]string, args ...string) any {
	t.Helper()
	full := append([]string{"ssm", "--endpoint-url", s.endpoint, "--output", "json"}, args...)
	stdout, stderr, err := s.command(t.Context(), associationRegion, tool(t, "aws"), full...)
	if err != nil {
		return strings.TrimSpace(stderr)
	}
	if strings.TrimSpace(stdout) == "" {
		return nil
	}
	for name, id := range known {
		stdout = strings.ReplaceAll(stdout, id, "<"+name+">")
	}
	stdout = cliTime.ReplaceAllString(stdout, `${1}"<time>"`)
	var answer any
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil {
		t.Fatalf("aws ssm %s: %v in %q", strings.Join(args, " "), err, stdout)
	}
	return answer
}

// cliTime is how the CLI writes times: seconds in version 1, ISO 8601 in version 2.
var cliTime = regexp.MustCompile(`("[A-Za-z]*(?:Date|Time)": )("20[0-9T:.+-]+"|[0-9.]+)`)

// agent is what a node's agent does beside the public API, signed with the root key.
func (s *service) agent(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{Endpoint: s.endpoint, Region: associationRegion, Credentials: func(context.Context) (sigv4.Credentials, error) {
		return sigv4.Credentials{AccessKeyID: s.key.AccessKeyID, SecretAccessKey: s.key.SecretAccessKey}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// run carries out what the node is told of, and gives how often.
func run(t *testing.T, c *client.Client, node string) int {
	t.Helper()
	ask := wire.ListInstanceAssociationsRequest{InstanceId: &node}
	body, err := c.Do(t.Context(), "ListInstanceAssociations", ask.AppendJSON(nil))
	if err != nil {
		t.Fatal(err)
	}
	var told wire.ListInstanceAssociationsResponse
	if err := told.Decode(body); err != nil {
		t.Fatal(err)
	}
	runs := 0
	for _, a := range told.Associations {
		if a.DetailedStatus != "Pending" {
			continue
		}
		runs++
		for _, status := range []string{"Pending", "InProgress", "InProgress", "Success"} {
			now, summary := time.Now(), "1 out of 1 plugin processed, 1 success, 0 failed, 0 timedout, 0 skipped. "
			say := wire.UpdateInstanceAssociationStatusRequest{
				AssociationId: &a.AssociationId, InstanceId: &node,
				ExecutionResult: &wire.ExecutionResult{Status: &status, ExecutionDate: &now, ExecutionSummary: &summary},
			}
			if _, err := c.Do(t.Context(), "UpdateInstanceAssociationStatus", say.AppendJSON(nil)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return runs
}

// associationSteps are calls of the CLI and their answers. <every> and <tagged> are associations made before, <first> the
// execution of the first.
var associationSteps = []struct {
	name string
	args []string
	want string
}{
	{
		"a version leaves out what is not named, but for the document and the targets",
		[]string{"update-association", "--association-id", "<every>", "--schedule-expression", "rate(12 hours)"},
		`{"AssociationDescription":{"Name":"AWS-GatherSoftwareInventory","AssociationVersion":"2","Date":"<time>","LastUpdateAssociationDate":"<time>",
		 "Overview":{"Status":"Pending","DetailedStatus":"Creating"},"DocumentVersion":"$DEFAULT","AssociationId":"<every>",
		 "Targets":[{"Key":"InstanceIds","Values":["*"]}],"ScheduleExpression":"rate(12 hours)","LastExecutionDate":"<time>",
		 "LastSuccessfulExecutionDate":"<time>","ApplyOnlyAtCronInterval":false}}`,
	},
	{
		"associations are listed by their names",
		[]string{"list-associations", "--association-filter-list", "key=AssociationName,value=Tagged"},
		`{"Associations":[{"Name":"AWS-GatherSoftwareInventory","AssociationId":"<tagged>","AssociationVersion":"1","DocumentVersion":"$DEFAULT",
		 "Targets":[{"Key":"tag:Stage","Values":["prod"]}],"Overview":{"Status":"Pending","DetailedStatus":"Associated"},
		 "ScheduleExpression":"cron(0 2 ? * SUN *)","AssociationName":"Tagged"}]}`,
	},
	{
		"both versions are told of",
		[]string{"list-association-versions", "--association-id", "<every>", "--query", "AssociationVersions[].[AssociationVersion,ScheduleExpression]"},
		`[["1","rate(30 minutes)"],["2","rate(12 hours)"]]`,
	},
	{
		"the run is an execution",
		[]string{"describe-association-executions", "--association-id", "<every>", "--filters", "Key=ExecutionId,Value=<first>,Type=EQUAL"},
		`{"AssociationExecutions":[{"AssociationId":"<every>","AssociationVersion":"1","ExecutionId":"<first>","Status":"Success","DetailedStatus":"Success",
		 "CreatedTime":"<time>","LastExecutionDate":"<time>","ResourceCountByStatus":"{Success=1}"}]}`,
	},
	{
		"with its node",
		[]string{"describe-association-execution-targets", "--association-id", "<every>", "--execution-id", "<first>"},
		`{"AssociationExecutionTargets":[{"AssociationId":"<every>","AssociationVersion":"1","ExecutionId":"<first>","ResourceId":"i-0000000000000a001",
		 "ResourceType":"ManagedInstance","Status":"Success","DetailedStatus":"Success","LastExecutionDate":"<time>"}]}`,
	},
	{
		"the node has the text of the document",
		[]string{"describe-effective-instance-associations", "--instance-id", "i-0000000000000a001", "--query", "Associations[].[AssociationId,AssociationVersion,contains(Content, 'aws:softwareInventory')]"},
		`[["<every>","2",true]]`,
	},
	{
		"how the node stands",
		[]string{"describe-instance-associations-status", "--instance-id", "i-0000000000000a001"},
		`{"InstanceAssociationStatusInfos":[{"AssociationId":"<every>","Name":"AWS-GatherSoftwareInventory","DocumentVersion":"$DEFAULT","AssociationVersion":"2",
		 "InstanceId":"i-0000000000000a001","ExecutionDate":"<time>","Status":"Pending","DetailedStatus":"Pending",
		 "ExecutionSummary":"1 out of 1 plugin processed, 1 success, 0 failed, 0 timedout, 0 skipped. "}]}`,
	},
	{
		"the document has all its parameters",
		[]string{"describe-document", "--name", "AWS-GatherSoftwareInventory", "--query", "Document.[Name,DocumentType,SchemaVersion,length(Parameters)]"},
		`["AWS-GatherSoftwareInventory","Policy","2.0",11]`,
	},
	{
		"and a text",
		[]string{"get-document", "--name", "AWS-GatherSoftwareInventory", "--document-version", "$LATEST", "--query", "[DocumentVersion,DocumentFormat,Status]"},
		`["1","JSON","Active"]`,
	},
	{
		"documents are listed",
		[]string{"list-documents", "--filters", "Key=Owner,Values=Amazon", "--query", "DocumentIdentifiers[].Name"},
		`["AWS-GatherSoftwareInventory"]`,
	},
	{"an association is ended", []string{"delete-association", "--association-id", "<tagged>"}, `null`},
}

// TestCommandLineAssociations makes associations with the aws CLI, has a node carry one out, and looks at what came of it.
func TestCommandLineAssociations(t *testing.T) {
	s := sharedService(t)
	const node = "i-0000000000000a001"
	agent := s.agent(t)
	heartbeat := `{"AgentName":"amazon-ssm-agent","AgentStatus":"Active","AgentVersion":"3.3.0.0","InstanceId":"` + node + `","PlatformType":"Linux"}`
	if _, err := agent.Do(t.Context(), "UpdateInstanceInformation", []byte(heartbeat)); err != nil {
		t.Fatal(err)
	}
	known := map[string]string{}
	create := func(name string, args ...string) {
		t.Helper()
		answer := s.state(t, nil, append([]string{"create-association", "--name", "AWS-GatherSoftwareInventory"}, args...)...)
		description, _ := answer.(map[string]any)["AssociationDescription"].(map[string]any)
		if known[name], _ = description["AssociationId"].(string); len(known[name]) != 36 {
			t.Fatalf("made: %v", answer)
		}
	}
	create("every", "--targets", "Key=InstanceIds,Values=*", "--schedule-expression", "rate(30 minutes)", "--parameters", "applications=Enabled,services=Disabled")
	create("tagged", "--targets", "Key=tag:Stage,Values=prod", "--schedule-expression", "cron(0 2 ? * SUN *)", "--association-name", "Tagged")
	if n := run(t, agent, node); n != 1 {
		t.Fatalf("the node ran %d associations", n)
	}
	executions := s.state(t, nil, "describe-association-executions", "--association-id", known["every"], "--query", "AssociationExecutions[].ExecutionId")
	known["first"] = executions.([]any)[0].(string)
	s.wantState(t, known, []string{"describe-association", "--association-id", "<every>"},
		`{"AssociationDescription":{"Name":"AWS-GatherSoftwareInventory","AssociationVersion":"1","Date":"<time>","LastUpdateAssociationDate":"<time>",
		 "Overview":{"Status":"Success","DetailedStatus":"Success","AssociationStatusAggregatedCount":{"Success":1}},"DocumentVersion":"$DEFAULT",
		 "Parameters":{"applications":["Enabled"],"services":["Disabled"]},"AssociationId":"<every>","Targets":[{"Key":"InstanceIds","Values":["*"]}],
		 "ScheduleExpression":"rate(30 minutes)","LastExecutionDate":"<time>","LastSuccessfulExecutionDate":"<time>","ApplyOnlyAtCronInterval":false}}`)
	s.wantState(t, known, []string{"start-associations-once", "--association-ids", "<every>"}, `null`)
	if n := run(t, agent, node); n != 1 {
		t.Errorf("the node ran %d associations after start-associations-once", n)
	}
	for _, step := range associationSteps {
		t.Run(step.name, func(t *testing.T) { s.wantState(t, known, step.args, step.want) })
	}
	for code, args := range map[string][]string{
		"AssociationLimitExceeded":  {"create-association", "--name", "AWS-GatherSoftwareInventory", "--targets", "Key=InstanceIds,Values=*"},
		"AssociationDoesNotExist":   {"describe-association", "--association-id", known["tagged"]},
		"InvalidSchedule":           {"create-association", "--name", "AWS-GatherSoftwareInventory", "--targets", "Key=tag:a,Values=b", "--schedule-expression", "rate(1 minute)"},
		"InvalidDocument":           {"get-document", "--name", "AWS-RunShellScript"},
		"InvalidAssociationVersion": {"describe-association", "--association-id", known["every"], "--association-version", "9"},
	} {
		if got := fmt.Sprint(s.state(t, known, args...)); !strings.Contains(got, "("+code+")") {
			t.Errorf("aws ssm %s: %s, want %s", strings.Join(args, " "), got, code)
		}
	}
}

func (s *service) wantState(t *testing.T, known map[string]string, args []string, want string) {
	t.Helper()
	full := make([]string, len(args))
	for i, arg := range args {
		for name, id := range known {
			arg = strings.ReplaceAll(arg, "<"+name+">", id)
		}
		full[i] = arg
	}
	if diff := cmp.Diff(value(t, want), s.state(t, known, full...)); diff != "" {
		t.Errorf("aws ssm %s (-want +got):\n%s", strings.Join(args, " "), diff)
	}
}
