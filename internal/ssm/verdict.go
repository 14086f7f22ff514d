package ssm

import (
	"fmt"
	"strings"
	"time"

	"stocktake/internal/inventory"
)

// The times by which a node is judged where nothing else says when it should be heard of.
const (
	staleFrom   = 24 * time.Hour // without a schedule
	overdueFrom = time.Hour      // after a run was expected: agents poll, gather and wait at random
	stuckFrom   = 2 * time.Hour  // in progress; agents give a run up then
)

// inventoryDocument is what an association carries out that has a node report inventory.
const inventoryDocument = "AWS-GatherSoftwareInventory"

// judge says why the node is as it is.
func (e *Explanation) judge(now time.Time) Verdict {
	register := fmt.Sprintf("Register it: stocktake node register %s", e.Node)
	switch {
	case e.Status == "":
		return Verdict{"The service does not know the node: " + e.refused() + ".", e.afterRefusal(register)}
	case e.Status == inventory.Terminated:
		return Verdict{
			"The node is terminated" + since(e.Since) + ": its heartbeats and reports are refused.",
			[]string{"To have it back: stocktake node register " + string(e.Node) + ". A machine that was deregistered is registered anew, with an activation."},
		}
	case e.Refusal != nil && e.Refusal.Time.After(e.Captured):
		return Verdict{"The node is not silent, it is refused: " + e.refused() + ".", e.afterRefusal(register)}
	case e.Status == inventory.Stopped:
		return Verdict{
			"The node is stopped" + since(e.Since) + ": its agent said so, or an administrator.",
			[]string{"Start the machine, or its agent; the node is Active with its next heartbeat or report."},
		}
	case e.Status == inventory.ConnectionLost:
		return Verdict{
			"The node fell silent: the last sign of life came at " + moment(e.Captured) + ", " + ago(now, e.Captured) + ".",
			[]string{
				"Is the machine up? Does its agent run (systemctl status amazon-ssm-agent)?",
				"Does its log tell of this service's address, of TLS, or of a clock more than five minutes off? Nothing the node sent since has reached this service and been refused by it.",
			},
		}
	case e.Ping == PingInactive:
		return e.judgeReporter(now)
	}
	return e.judgeInventory(now)
}

// judgeReporter is of a node that has no agent that sends heartbeats.
func (e *Explanation) judgeReporter(now time.Time) Verdict {
	last := e.lastInventory()
	switch {
	case last.IsZero():
		return Verdict{"The node is known and has never reported inventory, nor sent a heartbeat.", []string{
			"Report from it: stocktake collect, or an agent connected to this service.",
		}}
	case now.Sub(last) > staleFrom:
		return Verdict{"The node sends no heartbeats, and its last report came " + ago(now, last) + ".", []string{
			"Does what reports from it still run, a timer or stocktake collect --every? A node that never sent a heartbeat is never called lost.",
		}}
	}
	return Verdict{"The node reports, without heartbeats: the last report came " + ago(now, last) + ".", nil}
}

// judgeInventory is of a node whose agent is heard of.
func (e *Explanation) judgeInventory(now time.Time) Verdict {
	last := e.lastInventory()
	reported := "it has never reported inventory"
	if !last.IsZero() {
		reported = "its last inventory came " + ago(now, last)
	}
	var run *NodeRun
	for i := range e.Runs {
		if r := &e.Runs[i]; r.Document == inventoryDocument && (run == nil || run.Status == "Skipped") {
			run = r
		}
	}
	if run == nil {
		if !last.IsZero() && now.Sub(last) <= staleFrom {
			return Verdict{"The node is well: " + reported + ".", nil}
		}
		return Verdict{"The agent is heard of, and " + reported + ": no association has it gather any.", []string{
			"Make one: aws ssm create-association --name " + inventoryDocument + " --targets 'Key=InstanceIds,Values=*' --schedule-expression \"rate(30 minutes)\"",
		}}
	}
	return run.judge(e.Node, now, last, reported)
}

// judge is of the association that has a node report inventory.
func (r *NodeRun) judge(node inventory.NodeID, now, last time.Time, reported string) Verdict {
	name := "The association " + r.AssociationID
	said := ""
	if r.Summary != "" {
		said = " It says: " + strings.TrimSpace(r.Summary)
	}
	switch {
	case r.Status == "Failed" || r.Status == "TimedOut":
		return Verdict{name + " ended as " + r.DetailedStatus + ", and " + reported + "." + said, []string{
			"The agent's log on the node says more; aws ssm start-associations-once --association-ids " + r.AssociationID + " has it run again.",
		}}
	case r.Status == "Skipped":
		return Verdict{name + " is not run here (" + r.DetailedStatus + "), and " + reported + "." + said, []string{
			"Look at which associations target the node: aws ssm describe-instance-associations-status --instance-id " + string(node),
		}}
	case r.Status == "InProgress" && now.Sub(r.Last) > stuckFrom:
		return Verdict{name + " has been in progress since " + moment(r.Last) + ", and " + reported + ".", []string{
			"The agent gives such a run up after two hours, and begins the next at its time; restart it to have that now.",
		}}
	case r.Status == "Pending":
		return Verdict{name + " is run when the agent asks next, within ten minutes by default; " + reported + ".", nil}
	case !r.Next.IsZero() && now.Sub(r.Next) > overdueFrom:
		return Verdict{name + " should have run at " + moment(r.Next) + ", and " + reported + ".", []string{
			"The agent sends heartbeats and does not ask for its associations: restart it, and see its log.",
		}}
	case last.IsZero():
		return Verdict{name + " is " + r.DetailedStatus + ", and " + reported + "." + said, []string{"A run that ended well reports; see the agent's log on the node."}}
	}
	next := ""
	if !r.Next.IsZero() {
		next = "; the next is expected at " + moment(r.Next)
	}
	return Verdict{"The node is well: " + reported + next + ".", nil}
}

// refused tells the last refusal in words.
func (e *Explanation) refused() string {
	r := e.Refusal
	text := fmt.Sprintf("%s was answered with %s at %s", r.Action, r.Code, moment(r.Time))
	if r.Text != "" {
		text += " (" + strings.TrimSuffix(r.Text, ".") + ")"
	}
	return text
}

// afterRefusal says what to do about the last refusal.
func (e *Explanation) afterRefusal(register string) []string {
	switch e.Refusal.Code {
	case "InvalidInstanceId", "InvalidResourceId":
		return []string{register}
	case "AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException":
		return []string{"What it signs with does not allow that: look at its access key's actions and nodes, at its registration, and at its clock."}
	case "ItemContentMismatchException":
		return []string{"Nothing: the node sends all of its content with its next report."}
	case "ItemSizeLimitExceededException", "TotalSizeLimitExceededException", "CustomSchemaCountLimitExceededException",
		"SubTypeCountLimitExceededException", "ComplianceTypeCountLimitExceededException":
		return []string{"Have it report less, or raise the limit the text names (limit_... in the configuration)."}
	case "MachineFingerprintDoesNotMatch":
		return []string{"The machine is not the one that registered, or its hardware changed: register it anew, with an activation."}
	}
	return []string{"What the refusal says has to be changed on the node, or in what reports from it."}
}

func since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " since " + moment(t)
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// ago tells how long ago something was, as roughly as people do.
func ago(now, t time.Time) string {
	d := now.Sub(t)
	switch {
	case d < time.Minute:
		return "just now"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}
