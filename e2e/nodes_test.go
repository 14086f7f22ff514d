package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stocktake/internal/client"
	"stocktake/internal/sigv4"
)

const nodesRegion = "nodes-1"

// heartbeats sends the heartbeats of two nodes, signed with the root key.
func (s *service) heartbeats(t *testing.T) {
	t.Helper()
	c, err := client.New(client.Config{Endpoint: s.endpoint, Region: nodesRegion, Credentials: func(context.Context) (sigv4.Credentials, error) {
		return sigv4.Credentials{AccessKeyID: s.key.AccessKeyID, SecretAccessKey: s.key.SecretAccessKey}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, body := range []string{
		`{"AgentName":"amazon-ssm-agent","AgentStatus":"Active","AgentVersion":"3.3.0.0","ComputerName":"web1","IPAddress":"10.0.0.1",
		  "InstanceId":"i-0000000000000d001","PlatformName":"Debian GNU/Linux","PlatformType":"Linux","PlatformVersion":"12"}`,
		`{"AgentName":"amazon-ssm-agent","AgentStatus":"Active","AgentVersion":"3.2.0.0","ComputerName":"win1",
		  "InstanceId":"i-0000000000000d002","PlatformName":"Microsoft Windows Server 2022 Standard","PlatformType":"Windows"}`,
	} {
		if _, err := c.Do(t.Context(), "UpdateInstanceInformation", []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	const unknown = `{"AgentName":"amazon-ssm-agent","InstanceId":"mi-0000000000000d003"}`
	if _, err := c.Do(t.Context(), "UpdateInstanceInformation", []byte(unknown)); err == nil {
		t.Fatal("the heartbeat of a node that never registered is taken")
	}
}

var nodeSteps = []struct {
	name string
	args []string
	want string
}{
	{
		"managed nodes are described",
		[]string{"describe-instance-information", "--filters", "Key=PlatformTypes,Values=Linux"},
		`{"InstanceInformationList":[{"InstanceId":"i-0000000000000d001","PingStatus":"Online","LastPingDateTime":"<time>","AgentVersion":"3.3.0.0",
		  "IsLatestVersion":true,"PlatformType":"Linux","PlatformName":"Debian GNU/Linux","PlatformVersion":"12","ResourceType":"EC2Instance",
		  "IPAddress":"10.0.0.1","ComputerName":"web1","SourceId":"i-0000000000000d001","SourceType":"AWS::EC2::Instance"}]}`,
	},
	{
		"the older filters hold too",
		[]string{
			"describe-instance-information", "--instance-information-filter-list", "key=PingStatus,valueSet=Online",
			"--query", "InstanceInformationList[].InstanceId",
		},
		`["i-0000000000000d001","i-0000000000000d002"]`,
	},
	{
		"the CLI pages by itself",
		[]string{"describe-instance-information", "--page-size", "5", "--query", "length(InstanceInformationList)"},
		`2`,
	},
	{
		"compliance is put",
		[]string{
			"put-compliance-items", "--resource-id", "i-0000000000000d001", "--resource-type", "ManagedInstance", "--compliance-type", "Custom:AVCheck",
			"--execution-summary", "ExecutionTime=2019-02-18T16:00:00Z", "--items", "Id=Version2.0,Title=ScanHost,Severity=CRITICAL,Status=COMPLIANT",
		},
		`null`,
	},
	{
		"and is inventory",
		[]string{"list-inventory-entries", "--instance-id", "i-0000000000000d001", "--type-name", "AWS:ComplianceItem", "--query", "Entries"},
		`[{"ComplianceType":"Custom:AVCheck","ExecutionTime":"2019-02-18T16:00:00Z","Id":"Version2.0","Severity":"CRITICAL","Status":"COMPLIANT","Title":"ScanHost"}]`,
	},
}

// TestCommandLineNodes asks about managed nodes with the aws CLI.
func TestCommandLineNodes(t *testing.T) {
	s := sharedService(t)
	s.heartbeats(t)
	for _, step := range nodeSteps {
		t.Run(step.name, func(t *testing.T) {
			full := append([]string{"ssm", "--endpoint-url", s.endpoint, "--output", "json"}, step.args...)
			stdout, stderr, err := s.command(t.Context(), nodesRegion, tool(t, "aws"), full...)
			if err != nil {
				t.Fatalf("aws %s: %v %s", strings.Join(full, " "), err, stderr)
			}
			var answer any
			if strings.TrimSpace(stdout) != "" {
				stdout = cliTime.ReplaceAllString(stdout, `${1}"<time>"`)
				if err := json.Unmarshal([]byte(stdout), &answer); err != nil {
					t.Fatalf("%v in %s", err, stdout)
				}
			}
			if diff := cmp.Diff(value(t, step.want), answer); diff != "" {
				t.Errorf("aws ssm %s (-want +got):\n%s", strings.Join(step.args, " "), diff)
			}
		})
	}
	t.Run("what older CLIs do not know", s.testNewerQuestions)
	t.Run("a node is explained", s.testNodeExplained)
}

// testNewerQuestions asks what came to the CLI after the one that Debian 12 has.
func (s *service) testNewerQuestions(t *testing.T) {
	c := s.client(nodesRegion)
	properties, err := c.DescribeInstanceProperties(t.Context(), &ssm.DescribeInstancePropertiesInput{FiltersWithOperator: []types.InstancePropertyStringFilter{
		{Key: aws.String("AgentVersion"), Values: []string{"3.3"}, Operator: types.InstancePropertyFilterOperatorLessThan},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if all := properties.InstanceProperties; len(all) != 1 || aws.ToString(all[0].InstanceId) != "i-0000000000000d002" || all[0].PingStatus != types.PingStatusOnline {
		t.Errorf("properties: %+v", all)
	}
	listed, err := c.ListNodes(t.Context(), &ssm.ListNodesInput{Filters: []types.NodeFilter{
		{Key: types.NodeFilterKeyComputerName, Values: []string{"web"}, Type: types.NodeFilterOperatorTypeBeginWith},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := types.InstanceInfo{
		AgentType: aws.String("amazon-ssm-agent"), AgentVersion: aws.String("3.3.0.0"), ComputerName: aws.String("web1"), InstanceStatus: aws.String("Active"),
		IpAddress: aws.String("10.0.0.1"), ManagedStatus: types.ManagedStatusManaged, PlatformType: types.PlatformTypeLinux,
		PlatformName: aws.String("Debian GNU/Linux"), PlatformVersion: aws.String("12"), ResourceType: types.ResourceTypeEc2Instance,
	}
	if len(listed.Nodes) != 1 || aws.ToString(listed.Nodes[0].Id) != "i-0000000000000d001" || aws.ToString(listed.Nodes[0].Region) != nodesRegion {
		t.Fatalf("nodes: %+v", listed.Nodes)
	}
	kind, ok := listed.Nodes[0].NodeType.(*types.NodeTypeMemberInstance)
	if !ok {
		t.Fatalf("the node is a %T", listed.Nodes[0].NodeType)
	}
	if diff := cmp.Diff(want, kind.Value, cmpopts.IgnoreUnexported(types.InstanceInfo{})); diff != "" {
		t.Errorf("node (-want +got):\n%s", diff)
	}
	counted, err := c.ListNodesSummary(t.Context(), &ssm.ListNodesSummaryInput{Aggregators: []types.NodeAggregator{{
		AggregatorType: types.NodeAggregatorTypeCount, TypeName: types.NodeTypeNameInstance, AttributeName: types.NodeAttributeNameRegion,
		Aggregators: []types.NodeAggregator{{
			AggregatorType: types.NodeAggregatorTypeCount, TypeName: types.NodeTypeNameInstance, AttributeName: types.NodeAttributeNamePlatformType,
		}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	sums := []map[string]string{{"Count": "1", "PlatformType": "Linux", "Region": nodesRegion}, {"Count": "1", "PlatformType": "Windows", "Region": nodesRegion}}
	if diff := cmp.Diff(sums, counted.Summary); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}

func (s *service) testNodeExplained(t *testing.T) {
	const node = "i-0000000000000d002"
	run := func(args ...string) string {
		t.Helper()
		stdout, stderr, err := s.command(t.Context(), nodesRegion, binary, append([]string{"node"}, args...)...)
		if err != nil {
			t.Fatalf("stocktake node %s: %v %s", strings.Join(args, " "), err, stderr)
		}
		return stdout
	}
	for _, want := range []string{node + "  Active (Online)", "no association has it gather any", "aws ssm create-association", "amazon-ssm-agent 3.2.0.0", "AWS:InstanceInformation"} {
		if got := run("explain", node); !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if got := run("explain", "mi-0000000000000d003"); !strings.Contains(got, "UpdateInstanceInformation was answered with InvalidInstanceId") {
		t.Errorf("a node that is refused is explained as\n%s", got)
	}
	if got := run("stop", node); got != node+" stopped\n" {
		t.Errorf("stop prints %q", got)
	}
	var e struct{ Status, Verdict string }
	if err := json.Unmarshal([]byte(run("explain", node, "--json")), &e); err != nil || e.Status != "Stopped" || !strings.Contains(e.Verdict, "stopped") {
		t.Errorf("%+v %v", e, err)
	}
	if _, body, err := s.get("/metrics"); err != nil || !strings.Contains(body, `stocktake_nodes_by_status{status="Stopped"} `) || strings.Contains(body, `{status="Stopped"} 0`) {
		t.Errorf("the metrics do not tell of the stopped node: %v", err)
	}
	if _, stderr, err := s.command(t.Context(), nodesRegion, binary, "node", "explain", "i-0000000000000d009"); err == nil || !strings.Contains(stderr, "isn't known here") {
		t.Errorf("a node nobody knows: %v %s", err, stderr)
	}
}

// TestPollsDoNotHoldUpTheStop stops a service while nodes wait for messages, and has the control channel refused before.
func TestPollsDoNotHoldUpTheStop(t *testing.T) {
	s := start(t, t.TempDir())
	answer, err := http.Post(s.endpoint+"/v1/control-channel/i-0000000000000d001", "application/json", strings.NewReader(`{"RequestId":"r"}`))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden || !strings.Contains(string(text), "<AccessDeniedException>") {
		t.Errorf("the control channel is answered with %s %s", answer.Status, text)
	}
	const polls = 50
	answers := make(chan string, polls)
	for n := range polls {
		go func() { answers <- s.poll(t, fmt.Sprintf("i-%017d", n)) }()
	}
	eventually(t, "all polls wait", patience, func() error {
		_, body, err := s.get("/metrics")
		if err == nil && !strings.Contains(body, fmt.Sprintf("stocktake_polls %d\n", polls)) {
			err = fmt.Errorf("fewer polls are open")
		}
		return err
	})
	s.stopsPromptly(t, "with polls open")
	for range polls {
		if got := <-answers; !strings.Contains(got, `"Messages":[]`) {
			t.Errorf("a poll is answered with %s", got)
		}
	}
}

// poll asks for messages to a node, once.
func (s *service) poll(t *testing.T, node string) string {
	body := []byte(`{"Destination":"` + node + `","MessagesRequestId":"3f4c2c9e-0000-4000-8000-000000000000","VisibilityTimeoutInSeconds":10}`)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.endpoint+"/", bytes.NewReader(body))
	if err != nil {
		return err.Error()
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "EC2WindowsMessageDeliveryService.GetMessages")
	key := sigv4.Credentials{AccessKeyID: s.key.AccessKeyID, SecretAccessKey: s.key.SecretAccessKey}
	if err := sigv4.Sign(r, sha256.Sum256(body), key, nodesRegion, "ec2messages", time.Now()); err != nil {
		return err.Error()
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
