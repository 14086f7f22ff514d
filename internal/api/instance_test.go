package api_test

import (
	"encoding/json"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// instances asks one of the questions about managed nodes.
func (s *script) instances(t *testing.T, d *datadriven.TestData) string {
	action := map[string]string{"instances": "DescribeInstanceInformation", "properties": "DescribeInstanceProperties", "nodes": "ListNodes"}[d.Cmd]
	status, answer := s.ask(t, d, action, d.Input)
	if status != 200 {
		return s.printed(t, status, answer)
	}
	s.save(t, d, answer)
	type node struct{ InstanceId, PingStatus string }
	var page struct {
		InstanceInformationList, InstanceProperties []node
		Nodes                                       []struct{ Id string }
		NextToken                                   string
	}
	if err := json.Unmarshal([]byte(answer), &page); err != nil {
		d.Fatalf(t, "%v", err)
	}
	text := ""
	for _, n := range append(page.InstanceInformationList, page.InstanceProperties...) {
		text += n.InstanceId + " " + n.PingStatus + "\n"
	}
	for _, n := range page.Nodes {
		text += n.Id + "\n"
	}
	if page.NextToken != "" {
		return text + "and more\n"
	}
	if text == "" {
		return "nobody\n"
	}
	return text
}
