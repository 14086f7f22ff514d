package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"stocktake/internal/audit"
	"stocktake/internal/awsjson"
	"stocktake/internal/iam"
	"stocktake/internal/wire"
)

// auditOff is the choice of no trail.
const auditOff = "off"

// levels are the choices of which calls have lines.
var levels = map[string]audit.Level{"writes": audit.Writes, "calls": audit.Calls, "all": audit.All}

// openTrail starts the trail of calls, if there is to be one.
func (s *server) openTrail(ctx context.Context) (err error) {
	if s.config.Audit == auditOff {
		return nil
	}
	s.trail, err = audit.Open(ctx, s.store, audit.Options{
		Level: levels[s.config.Audit], Age: time.Duration(s.config.AuditAge), Exclusive: !s.config.shared(), Log: s.log,
	})
	if err != nil {
		return err
	}
	s.onClose(s.trail.Close)
	return errors.Join(
		s.registerLines(audit.Write), s.registerLines(audit.Question), s.registerLines(audit.Report), s.registerLines(audit.Refusal),
		s.registerLines(audit.Summary), s.registerLines(audit.Interrupted), s.registerLines(audit.Pruning), s.registerLines(audit.Confirmation),
		s.metrics.Counter("stocktake_audit_dropped_total", "Lines of the audit, of questions, reports and refusals, that could not be written.", nil,
			func() float64 { return float64(s.trail.Dropped()) }),
		s.metrics.Counter("stocktake_audit_summed_total", "Refusals that the audit has no line of their own for.", nil,
			func() float64 { return float64(s.trail.Summed()) }),
	)
}

func (s *server) registerLines(k audit.Kind) error {
	return s.metrics.Counter("stocktake_audit_lines_total", "Lines of the audit written.", map[string]string{"kind": k.String()},
		func() float64 { return float64(s.trail.Lines(k)) })
}

// audited gives what the protocol tells of calls; nil: nobody.
func (s *server) audited() awsjson.Audit {
	if s.trail == nil {
		return nil
	}
	return auditor{s.trail}
}

// pruneTrail drops lines that are too old.
func (s *server) pruneTrail(ctx context.Context) error {
	if s.trail == nil {
		return nil
	}
	return s.trail.Prune(ctx)
}

// auditor tells a trail of the protocol's calls. It implements awsjson.Audit.
type auditor struct{ trail *audit.Trail }

var kinds = map[awsjson.Kind]audit.Kind{awsjson.Write: audit.Write, awsjson.Question: audit.Question, awsjson.Report: audit.Report}

// Keeps implements awsjson.Audit.
func (a auditor) Keeps(k awsjson.Kind) bool { return a.trail.Keeps(kinds[k]) }

// Begin implements awsjson.Audit.
func (a auditor) Begin(ctx context.Context, c *awsjson.Call) error {
	e := eventOf(c)
	c.Kept = e
	return a.trail.Begin(ctx, e)
}

// End implements awsjson.Audit.
func (a auditor) End(_ context.Context, c *awsjson.Call) error {
	if e, ok := c.Kept.(*audit.Event); ok && c.Began {
		outcome(e, c)
		return a.trail.End(e)
	}
	kept := c.Began && a.Keeps(c.Kind)
	switch {
	case c.Code != "" && !c.Fault && (c.Kind != awsjson.Report || access[c.Code]):
		a.trail.Refuse(eventOf(c))
	case kept:
		a.trail.Note(eventOf(c))
	}
	return nil
}

// access are the errors by which somebody is kept from something; what else nodes' own reports are told is theirs to mend.
var access = map[string]bool{
	wire.AccessDeniedException: true, wire.InvalidSignatureException: true, wire.ThrottlingException: true, wire.TooManyUpdates: true,
	"MissingAuthenticationTokenException": true, "IncompleteSignatureException": true, "UnrecognizedClientException": true,
	"ExpiredTokenException": true, wire.MachineFingerprintDoesNotMatch: true,
}

// sources are the services by the first part of a permission, as CloudTrail names them.
var sources = map[string]string{
	"ssm": "ssm.amazonaws.com", "ec2messages": "ec2messages.amazonaws.com", "iam": "iam.amazonaws.com", "sts": "sts.amazonaws.com",
}

// eventOf gives what the trail is told of a call.
func eventOf(c *awsjson.Call) *audit.Event {
	service, _, _ := strings.Cut(c.Permission, ":")
	e := &audit.Event{
		Kind: kinds[c.Kind], Identity: identityOf(c.Caller.Principal), Source: cmp.Or(sources[service], "stocktake"),
		Name: cmp.Or(c.Action, "Unknown"), Region: c.Caller.Partition.Region, Account: c.Caller.Partition.Account,
		Address: c.Caller.Source, UserAgent: c.UserAgent, RequestID: c.Caller.RequestID, ReadOnly: c.ReadOnly,
	}
	outcome(e, c)
	return e
}

// outcome adds to an event how its call ended, and what it turned out to be about. Of texts the refusal of access alone is
// kept, which names who asked, the action and the resource: others may repeat what a request had in it.
func outcome(e *audit.Event, c *awsjson.Call) {
	e.ErrorCode, e.Account, e.Region = c.Code, c.Caller.Partition.Account, c.Caller.Partition.Region
	e.Resources = slices.Clone(c.Resources)
	if c.Code == wire.AccessDeniedException || c.Code == "AccessDenied" {
		e.ErrorMessage = c.Text
	}
}

// identityOf gives who called, in CloudTrail's words.
func identityOf(p *iam.Principal) audit.Identity {
	if p == nil {
		return audit.Identity{}
	}
	i := audit.Identity{Type: "IAMUser", PrincipalID: p.UserID(), ARN: p.ARN, AccountID: p.Account, AccessKeyID: p.AccessKeyID, UserName: p.User()}
	switch {
	case strings.HasSuffix(p.ARN, ":root"):
		i.Type = "Root"
	case strings.HasPrefix(p.ARN, "arn:aws:sts::"):
		i.Type = "AssumedRole"
	}
	return i
}
