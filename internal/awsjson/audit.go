package awsjson

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"stocktake/internal/iam/policy"
	"stocktake/internal/inventory"
	"stocktake/internal/wire"
)

// A Kind is what sort of thing a call does, for the audit.
type Kind uint8

// The kinds.
const (
	// ByAccess is a Question where the table of actions says that the action reads or lists, and a Write everywhere else.
	ByAccess Kind = iota
	Write         // changes what administrators care for, or gives out credentials
	Question      // asks
	Report        // what nodes say of themselves, and ask for themselves
)

// An Audit is told of calls. What it keeps of them is its own; a call that it cannot keep is refused.
type Audit interface {
	// Keeps reports whether calls of a kind are to be told that end well. Of Writes they always are.
	Keeps(k Kind) bool
	// Begin is called when all checks are passed, before the method of a Write runs, which it does not where there is an error.
	Begin(ctx context.Context, c *Call) error
	// End is called once for every call that is kept, and for every one that is refused, before the answer; an error makes
	// that the server's fault. Context may be over by then: of a Write that began the method ran.
	End(ctx context.Context, c *Call) error
}

// A Call is what an Audit is told. There is nothing in it of a request's content but the names of what it is done to.
type Call struct {
	Kind       Kind
	Action     string // as an Observation has it; empty: it is not known what was asked
	Permission string // as IAM names it: ssm:PutInventory
	ReadOnly   bool
	Caller     Caller // its principal is nil where nobody proved to be one
	UserAgent  string
	Resources  []string // ARNs, as far as the request was read
	// Began says that the method ran, or at least was to.
	Began bool
	// Code is the error's name on the wire, Text what the caller is told, Fault whether it is the server's. Code is empty of a
	// call that was answered with success.
	Code, Text string
	Fault      bool
	// Kept is the Audit's own, from Begin to End.
	Kept any

	audit Audit
}

// Does gives what sort of thing the row's action does: by the table of actions, where the row says none itself.
func (r Row) Does() Kind {
	if r.Kind == ByAccess {
		return kindOf(r.Permission)
	}
	return r.Kind
}

// kindOf gives the kind of an action that says none itself.
func kindOf(permission string) Kind {
	if readOnly(permission) {
		return Question
	}
	return Write
}

// Writes reports whether the row's action may write: by the table of actions, and whatever a node reports. A node that asks what it
// is to do is a question in that table, and what it was told is kept.
func (r Row) Writes() bool { return r.Does() == Report || !readOnly(r.Permission) }

func readOnly(permission string) bool {
	access := policy.AccessOf(permission)
	return access == policy.Read || access == policy.List
}

// newCall gives what the audit will be told of a call for a row; nil where it is told nothing of one that ends well.
func (h *Handler) newCall(r *http.Request, c Caller, row Row) *Call {
	if h.config.Audit == nil || !h.config.Audit.Keeps(row.Kind) {
		return nil
	}
	return &Call{
		Kind: row.Kind, Action: row.Action, Permission: row.Permission, ReadOnly: readOnly(row.Permission),
		Caller: c, UserAgent: r.UserAgent(), audit: h.config.Audit,
	}
}

// begins tells the audit that a request which passed all checks is about to be carried out.
func (c Caller) begins(ctx context.Context, row Row, node inventory.NodeID, request any) error {
	if c.call == nil {
		return nil
	}
	var s Subject
	if row.subject != nil {
		s = row.subject(request)
	}
	if node.Valid() && !slices.Contains(s.Nodes, node) {
		s.Nodes = append(s.Nodes, node)
	}
	c.call.Resources = c.arns(row.Permission, s)
	if row.Late {
		return nil
	}
	return c.Begin(ctx)
}

// Begin tells the audit that the method is about to write; its error is to be the method's. It is for rows that are
// [Row.Late].
func (c Caller) Begin(ctx context.Context) error {
	if c.call == nil {
		return nil
	}
	if c.call.Kind == Write {
		if err := c.call.audit.Begin(ctx, c.call); err != nil {
			return err
		}
	}
	c.call.Began = true
	return nil
}

// BeginForm tells the audit that a form is about to be answered that asks for an action, done to what the ARNs name. Its
// error is to be the answer's.
func (c Caller) BeginForm(ctx context.Context, kind Kind, action, permission string, arns ...string) error {
	if c.call == nil {
		return nil
	}
	if kind == ByAccess {
		kind = kindOf(permission)
	}
	c.call.Kind, c.call.Action, c.call.Permission = kind, action, permission
	c.call.ReadOnly, c.call.Resources = kind == Question, arns
	return c.Begin(ctx)
}

// Concerns tells the audit of a node that a call turned out to be about, and whose it is.
func (c Caller) Concerns(key inventory.NodeKey) {
	if c.call != nil {
		c.call.Caller.Partition = key.Partition
		c.call.Resources = append(c.call.Resources, policy.NodeARN(key))
	}
}

// arns names what of a subject an action is done to, by the table of actions.
func (c Caller) arns(permission string, s Subject) []string {
	if c.Partition.Account == "" {
		return nil
	}
	targets := policy.TargetsOf(permission)
	all := slices.Clone(s.ARNs)
	seen := map[string]bool{}
	add := func(arn string) {
		if !seen[arn] {
			seen[arn] = true
			all = append(all, arn)
		}
	}
	// Nodes first: where there are more than a line holds, they say most.
	if len(targets) == 0 || slices.Contains(targets, policy.Node) {
		for _, id := range s.Nodes {
			add(policy.NodeARN(inventory.NodeKey{Partition: c.Partition, Node: id}))
		}
		if len(s.Fleets) > 0 {
			for _, id := range kinds {
				add(policy.NodeARN(inventory.NodeKey{Partition: c.Partition, Node: id}))
			}
		}
	}
	if slices.Contains(targets, policy.Association) {
		for _, id := range s.Associations {
			add(policy.AssociationARN(c.Partition, id))
		}
	}
	if slices.Contains(targets, policy.Document) {
		for _, name := range s.Documents {
			add(policy.DocumentARN(c.Partition, name))
		}
	}
	return all
}

// asked is what a request asks for, known before anything is verified.
type asked struct {
	action, permission string
	kind               Kind
	call               *Call // what is kept of it; nil: nothing yet
	// foreign says that it was no request of this protocol, fault that its end is the server's.
	foreign, fault bool
}

// tell tells the audit how a call ended: of one that is not kept, only where it was refused. Its error is the server's
// fault, and the answer's.
func (h *Handler) tell(w http.ResponseWriter, r *http.Request, o Observation) error {
	if h.config.Audit == nil {
		return nil
	}
	call := o.asked.call
	if call == nil {
		if o.Code == "" || o.asked.foreign {
			return nil
		}
		call = &Call{
			Kind: o.asked.kind, Action: o.asked.action, Permission: o.asked.permission, ReadOnly: readOnly(o.asked.permission),
			Caller:    Caller{Partition: o.Partition, Principal: o.Principal, Source: sourceOf(r), RequestID: w.Header().Get(requestIDHeader)},
			UserAgent: r.UserAgent(),
		}
	}
	if len(call.Resources) == 0 && o.Partition.Account != "" && o.Node.Valid() {
		call.Resources = []string{policy.NodeARN(inventory.NodeKey{Partition: o.Partition, Node: o.Node})}
	}
	call.Code, call.Text, call.Fault = o.Code, o.Text, o.asked.fault
	if err := h.config.Audit.End(r.Context(), call); err != nil {
		return errors.New(err.Error()) // the call was carried out: an error that says it did not begin is not its answer
	}
	return nil
}

// abandoned tells the audit of a call whose method panicked: whether it took effect is not known.
func (h *Handler) abandoned(w http.ResponseWriter, r *http.Request, o Observation) {
	if o.asked.call != nil && o.asked.call.Began {
		o.Code, o.asked.fault = wire.InternalServerError, true
		_ = h.tell(w, r, o) // the answer is the server's fault anyway
	}
}
