package ssm

import (
	"strings"
	"testing"
	"time"

	"stocktake/internal/inventory"
)

// TestVerdicts judges nodes in every state there is a word for.
func TestVerdicts(t *testing.T) {
	now := time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC)
	reported := func(ago time.Duration) []inventory.ItemState {
		return []inventory.ItemState{
			{ItemKey: inventory.ItemKey{Type: inventory.TypeInstanceInformation}, Arrival: now},
			{ItemKey: inventory.ItemKey{Type: "AWS:Application"}, Arrival: now.Add(-ago)},
		}
	}
	node := func(status inventory.Status, ping string) Explanation {
		return Explanation{NodeInformation: NodeInformation{Node: "i-00000001", Status: status, Ping: ping, Captured: now.Add(-time.Hour)}}
	}
	gathering := func(r NodeRun) Explanation {
		e := node(inventory.Active, PingOnline)
		r.AssociationID, r.Document = "a", inventoryDocument
		e.Runs, e.Reports = []NodeRun{{Document: "Other"}, r}, reported(time.Hour)
		return e
	}
	with := func(e Explanation, change func(*Explanation)) Explanation {
		change(&e)
		return e
	}
	for name, c := range map[string]struct {
		of   Explanation
		why  string
		next string // "": nothing is to be done
	}{
		"unknown and refused": {
			Explanation{Refusal: &Refusal{Action: "PutInventory", Code: "InvalidInstanceId", Time: now}}, "does not know the node: PutInventory was answered with InvalidInstanceId", "node register",
		},
		"terminated": {node(inventory.Terminated, PingLost), "terminated: its heartbeats", "node register"},
		"refused since": {
			with(node(inventory.ConnectionLost, PingLost), func(e *Explanation) {
				e.Refusal = &Refusal{Action: "UpdateInstanceInformation", Code: "AccessDeniedException", Text: "No.", Time: now}
			}), "not silent, it is refused: UpdateInstanceInformation was answered with AccessDeniedException at 2026-01-10 12:00:00 UTC (No)", "access key",
		},
		"refused before": {
			with(node(inventory.ConnectionLost, PingLost), func(e *Explanation) { e.Refusal = &Refusal{Time: now.Add(-2 * time.Hour)} }),
			"fell silent: the last sign of life came at 2026-01-10 11:00:00 UTC, 60 minutes ago", "systemctl",
		},
		"stopped":                {with(node(inventory.Stopped, PingLost), func(e *Explanation) { e.Since = now }), "stopped since 2026-01-10 12:00:00 UTC", "Start the machine"},
		"known alone":            {node(inventory.Active, PingInactive), "never reported inventory, nor sent a heartbeat", "stocktake collect"},
		"reports without agent":  {with(node(inventory.Active, PingInactive), func(e *Explanation) { e.Reports = reported(3 * time.Hour) }), "reports, without heartbeats: the last report came 3 hours ago", ""},
		"reported without agent": {with(node(inventory.Active, PingInactive), func(e *Explanation) { e.Reports = reported(72 * time.Hour) }), "last report came 3 days ago", "timer"},
		"no association":         {node(inventory.Active, PingOnline), "never reported inventory: no association", "create-association --name AWS-GatherSoftwareInventory --targets 'Key=InstanceIds,Values=*' --"},
		"reports by itself":      {with(node(inventory.Active, PingOnline), func(e *Explanation) { e.Reports = reported(time.Hour) }), "well: its last inventory came 60 minutes ago", ""},
		"failed":                 {gathering(NodeRun{Status: "Failed", DetailedStatus: "Failed", Summary: "no room "}), "a ended as Failed, and its last inventory came 60 minutes ago. It says: no room", "start-associations-once"},
		"skipped":                {gathering(NodeRun{Status: "Skipped", DetailedStatus: "Overridden"}), "not run here (Overridden)", "describe-instance-associations-status --instance-id i-00000001"},
		"stuck":                  {gathering(NodeRun{Status: "InProgress", Last: now.Add(-3 * time.Hour)}), "in progress since 2026-01-10 09:00:00 UTC", "restart"},
		"in progress":            {gathering(NodeRun{Status: "InProgress", Last: now.Add(-time.Minute)}), "well", ""},
		"pending":                {gathering(NodeRun{Status: "Pending"}), "run when the agent asks next", ""},
		"overdue":                {gathering(NodeRun{Status: "Success", Next: now.Add(-2 * time.Hour)}), "should have run at 2026-01-10 10:00:00 UTC", "restart it"},
		"well":                   {gathering(NodeRun{Status: "Success", Next: now.Add(time.Minute)}), "well: its last inventory came 60 minutes ago; the next is expected at 2026-01-10 12:01:00 UTC", ""},
		"well but for inventory": {with(gathering(NodeRun{Status: "Success", DetailedStatus: "Success"}), func(e *Explanation) { e.Reports = nil }), "is Success, and it has never reported", "log"},
	} {
		t.Run(name, func(t *testing.T) {
			v := c.of.judge(now)
			next := strings.Join(v.Next, " ")
			if !strings.Contains(v.Why, c.why) || !strings.Contains(next, c.next) || c.next == "" && next != "" {
				t.Errorf("%q, next %q; want %q, next %q", v.Why, next, c.why, c.next)
			}
		})
	}
}
