package awsjson

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"stocktake/internal/iam/policy"
	"stocktake/internal/inventory"
	"stocktake/internal/wire"
)

// A Subject is what a request is done to, and the tags it brings: what policies are asked about.
type Subject struct {
	Nodes        []inventory.NodeID
	Fleets       []Fleet
	Associations []string // ids
	Documents    []string // names
	ARNs         []string // of what is of no such kind
	Tags         []wire.Tag
	TagKeys      []string // of tags without values
	// Shown is what a refusal names in the place of the resource, whose name may tell more than the request did; empty: the
	// resource.
	Shown string
}

// A Fleet is all the nodes there are and will be that have one of these values of each of these tags; without tags, every
// node.
type Fleet []wire.Tag

// kinds name the nodes of a fleet, those that were activated and the others: in ARNs, as texts that no pattern for some
// nodes alone fits.
var kinds = []inventory.NodeID{"i-*", "mi-*"}

// Naming gives a row whose requests name more than a node: subject says what. The node that the row is made with is among
// it without being named again.
func Naming[T any](row Row, subject func(r *T) Subject) Row {
	row.subject = func(r any) Subject {
		if request, ok := r.(*T); ok {
			return subject(request)
		}
		return Subject{}
	}
	return row
}

// Tags gives the tags of a node for policies that ask for them; none for a node that is not known.
type Tags func(ctx context.Context, key inventory.NodeKey) ([]wire.Tag, error)

// asking is what a request brings that policies ask for, beside what it says.
type asking struct {
	request *http.Request
	now     func() time.Time
	tags    Tags
	bounds  *bounds
}

// permitted judges whether a caller may do an action at all.
func permitted(c Caller, row Row) error {
	switch {
	case c.Principal == nil && row.Auth == Anonymous:
		return nil
	case c.Principal.Judged() && row.Auth == Anonymous: // it needs no key
		return nil
	case !c.Principal.MayAct(row.Permission):
		return denied(c, row.Permission, anything(c), c.Principal.Forbidden(row.Permission))
	case row.Auth == ByKeyPair && c.PublicKey == nil:
		return needsKeyPair(row)
	}
	return nil
}

// reaches judges a request that was read: whether the caller may do the row's action to what it names. Of is the node of a
// row that has one.
func (c Caller) reaches(ctx context.Context, row Row, hasNode bool, node inventory.NodeID, request any) error {
	switch {
	case c.Principal == nil:
		return nil
	case !c.Principal.Judged():
		if hasNode && !c.Principal.MayReach(node) {
			return denied(c, row.Permission, resourceOf(c, node), false)
		}
		return nil
	case row.Auth == Anonymous:
		return nil
	}
	var s Subject
	if row.subject != nil {
		s = row.subject(request)
	}
	if node != "" && !slices.Contains(s.Nodes, node) {
		s.Nodes = append(s.Nodes, node)
	}
	return c.Permit(ctx, row.Permission, s)
}

// Permit judges whether the caller may do an action, as policies name it, to a subject. Its error is the refusal.
func (c Caller) Permit(ctx context.Context, permission string, s Subject) error {
	if !c.Principal.Judged() {
		if !c.Principal.Administrator() || !c.Principal.MayAct(permission) {
			return denied(c, permission, cmp.Or(s.Shown, anything(c)), false)
		}
		return nil
	}
	r := policy.Request{Action: permission}
	if err := c.resources(ctx, &r, s); err != nil {
		return err
	}
	c.conditions(&r.Context, s)
	d := c.Principal.Judge(&r)
	if d.Outcome == policy.Allowed {
		return nil
	}
	return denied(c, permission, cmp.Or(s.Shown, r.Resources[d.Resource].ARN), d.Outcome == policy.DeniedExplicitly)
}

func (f Fleet) tags() policy.Values {
	var v policy.Values
	for _, t := range f {
		v.Add(t.Key, t.Value)
	}
	return v
}

// resources names what of the subject an action is done to, by the table of actions.
func (c Caller) resources(ctx context.Context, r *policy.Request, s Subject) error {
	targets := policy.TargetsOf(r.Action)
	if slices.Contains(targets, policy.Document) {
		for _, name := range s.Documents {
			r.Resources = append(r.Resources, policy.Resource{ARN: policy.DocumentARN(c.Partition, name)})
		}
	}
	if slices.Contains(targets, policy.Association) {
		for _, id := range s.Associations {
			r.Resources = append(r.Resources, policy.Resource{ARN: policy.AssociationARN(c.Partition, id)})
		}
	}
	for _, arn := range s.ARNs {
		r.Resources = append(r.Resources, policy.Resource{ARN: arn})
	}
	if slices.Contains(targets, policy.Node) {
		for _, id := range s.Nodes {
			key := inventory.NodeKey{Partition: c.Partition, Node: id}
			resource := policy.Resource{ARN: policy.NodeARN(key)}
			if c.asking.tags != nil && c.Principal.ReadsResourceTags() {
				tags, err := c.asking.tags(ctx, key)
				if err != nil {
					return err
				}
				for _, t := range tags {
					resource.Tags.Add(t.Key, t.Value)
				}
			}
			r.Resources = append(r.Resources, resource)
		}
		for _, f := range s.Fleets {
			for _, id := range kinds {
				r.Resources = append(r.Resources, policy.Resource{ARN: policy.NodeARN(inventory.NodeKey{Partition: c.Partition, Node: id}), Tags: f.tags()})
			}
		}
	}
	if len(r.Resources) == 0 {
		r.Resources = []policy.Resource{{ARN: policy.AnyARN(serviceOf(r.Action), c.Partition)}}
	}
	return nil
}

// serviceOf gives what stands before the colon of an action.
func serviceOf(permission string) string {
	for i := range len(permission) {
		if permission[i] == ':' {
			return permission[:i]
		}
	}
	return permission
}

// conditions gives the values of the condition keys that a request has, but for those that say who asks.
func (c Caller) conditions(v *policy.Values, s Subject) {
	now := c.asking.now().UTC()
	v.Add("aws:CurrentTime", now.Format(time.RFC3339))
	v.Add("aws:EpochTime", strconv.FormatInt(now.Unix(), 10))
	v.Add("aws:RequestedRegion", c.Partition.Region)
	v.Add("aws:SourceIp", c.Source)
	v.Add("aws:SecureTransport", strconv.FormatBool(c.asking.request.TLS != nil))
	if agent := c.asking.request.UserAgent(); agent != "" {
		v.Add("aws:UserAgent", agent)
	}
	for _, t := range s.Tags {
		v.Add("aws:RequestTag/"+t.Key, t.Value)
		v.Add("aws:TagKeys", t.Key)
	}
	v.Add("aws:TagKeys", s.TagKeys...)
}

// anything is the resource that a refusal names where the request says none, or was not read.
func anything(c Caller) string { return policy.AnyARN("ssm", c.Partition) }

func resourceOf(c Caller, node inventory.NodeID) string {
	if node == "" {
		return anything(c)
	}
	return policy.NodeARN(inventory.NodeKey{Partition: c.Partition, Node: node})
}

// denied is the refusal of an action (API reference, and captures of the live service, of which the node's ARN as resource
// is inferred).
func denied(c Caller, permission, resource string, explicitly bool) *failure {
	text := "User: " + c.Principal.ARN + " is not authorized to perform: " + permission + " on resource: " + resource
	if explicitly {
		text += " with an explicit deny in an identity-based policy"
	} else {
		text += " because no identity-based policy allows the " + permission + " action"
	}
	return frontEnd(wire.AccessDeniedException, text)
}
