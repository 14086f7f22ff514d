package agent

import (
	"context"
	"crypto/md5" //nolint:gosec // the agent's hash is MD5; it detects changes and guards nothing
	"encoding/base64"
	"encoding/json"
	"time"
)

// complianceItem is an association's, as the agent reports it after each run.
type complianceItem struct {
	Id, Title, Severity, Status string //nolint:revive,staticcheck // names on the wire
	Details                     map[string]string
}

// comply reports whether the node complies with an association, as a hash where that is as before.
func (a *Agent) comply(ctx context.Context, s *association, status string) error {
	const action = "PutComplianceItems"
	type executionSummary struct {
		ExecutionTime              float64
		ExecutionId, ExecutionType string //nolint:revive,staticcheck // names on the wire
	}
	complies := "NON_COMPLIANT"
	if status == "Success" {
		complies = "COMPLIANT"
	}
	items := []complianceItem{{s.AssociationId, "", "UNSPECIFIED", complies, map[string]string{
		"DocumentName": s.Name, "DocumentVersion": s.DocumentVersion,
	}}}
	text, err := json.Marshal(items)
	if err != nil {
		panic(err) // strings always have JSON
	}
	sum := md5.Sum(text) //nolint:gosec // see the import
	hash := base64.StdEncoding.EncodeToString(sum[:])
	a.disk.mu.Lock()
	if hash == a.disk.complianceHash {
		items = []complianceItem{}
	}
	a.disk.mu.Unlock()
	answer, err := a.do(ctx, a.asRole(ssm, action, struct {
		ResourceId, ResourceType, ComplianceType string //nolint:revive,staticcheck // names on the wire
		ExecutionSummary                         executionSummary
		ItemContentHash                          string
		Items                                    []complianceItem
	}{a.disk.Node, "ManagedInstance", "Association", executionSummary{ExecutionTime: seconds(time.Now())}, hash, items}))
	if err != nil {
		return err
	}
	a.disk.mu.Lock()
	a.disk.complianceHash = hash
	a.disk.mu.Unlock()
	return read(action, answer, nil)
}
