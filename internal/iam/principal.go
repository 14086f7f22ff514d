package iam

import (
	"slices"
	"strings"
	"time"

	"stocktake/internal/iam/policy"
	"stocktake/internal/inventory"
)

// NewNode makes the principal of a managed node that signs for itself, with its key pair or the role token it got for it:
// bound to this node and its region. AccessKeyID is what it signs with, the node's id where that is the key pair.
func NewNode(key inventory.NodeKey, role, accessKeyID string) *Principal {
	return &Principal{
		Account:     key.Account,
		AccessKeyID: accessKeyID,
		ARN:         "arn:aws:sts::" + key.Account + ":assumed-role/" + role + "/" + string(key.Node),
		node:        key,
	}
}

// A Principal is who signed a request.
type Principal struct {
	Account     string // 12 digits
	AccessKeyID string
	// ARN is as refusals name it: arn:aws:iam::000000000000:root, arn:aws:iam::111122223333:user/AKIA..., of a managed node
	// arn:aws:sts::111122223333:assumed-role/ROLE/mi-...
	ARN string

	actions []string          // patterns; empty: all
	nodes   []string          // patterns; empty: all
	node    inventory.NodeKey // the managed node it is; the zero key: none

	// judged marks who is of the store: policies alone say what it may do.
	judged   bool
	policies []*policy.Policy
	user     string    // the name of a user of the store
	id       string    // the unique id of a user or of a role's session
	role     string    // the ARN of the role whose session it is
	ends     time.Time // when that session does
}

// Judged reports whether policies say what the principal may do: Judge then decides, with what a request is done to.
func (p *Principal) Judged() bool { return p.judged }

// Judge decides a request by the principal's policies. The values of the condition keys that say who asks are added to the
// request's.
func (p *Principal) Judge(r *policy.Request) policy.Decision {
	r.Context.Add("aws:PrincipalAccount", p.Account)
	r.Context.Add("aws:userid", p.id)
	if p.role == "" {
		r.Context.Add("aws:PrincipalArn", p.ARN)
		r.Context.Add("aws:PrincipalType", "User")
		r.Context.Add("aws:username", p.user)
	} else {
		r.Context.Add("aws:PrincipalArn", p.role)
		r.Context.Add("aws:PrincipalType", "AssumedRole")
	}
	return policy.Evaluate(p.policies, r)
}

// Forbidden reports whether a policy denies the action whatever it is done to.
func (p *Principal) Forbidden(action string) bool {
	return policy.Foresee(p.policies, action) == policy.DeniedExplicitly
}

// ReadsResourceTags reports whether Judge needs the tags of resources.
func (p *Principal) ReadsResourceTags() bool {
	return slices.ContainsFunc(p.policies, (*policy.Policy).ReadsResourceTags)
}

// User gives the name of the user of the store that the principal is; empty for everyone else.
func (p *Principal) User() string { return p.user }

// Holder names who the principal's requests are counted as: its access key, or, as sessions of it are had for the asking,
// the role.
func (p *Principal) Holder() string {
	if p.role != "" {
		return p.role
	}
	return p.AccessKeyID
}

// UserID is what GetCallerIdentity calls the caller: a unique id, where there is one.
func (p *Principal) UserID() string {
	switch {
	case p.id != "":
		return p.id
	case p.node.Node != "":
		return strings.TrimPrefix(p.ARN[strings.IndexByte(p.ARN, '/'):strings.LastIndexByte(p.ARN, '/')], "/") + ":" + string(p.node.Node)
	case strings.HasSuffix(p.ARN, ":root"):
		return p.Account
	}
	return p.AccessKeyID
}

// Node gives the managed node the principal is; the zero key for one that has a configured access key.
func (p *Principal) Node() inventory.NodeKey { return p.node }

// Administrator reports whether the principal is bound to no nodes: only then may it report what the service otherwise
// knows better than a node (AWS:InstanceInformation).
func (p *Principal) Administrator() bool { return len(p.nodes) == 0 && p.node.Node == "" }

// agentActions are what an agent does: each but the reading of documents is done to one node, to be asked with MayReach.
var agentActions = []string{
	"ssm:PutInventory", "ssm:UpdateInstanceInformation", "ssm:ListInstanceAssociations", "ssm:ListAssociations",
	"ssm:DescribeAssociation", "ssm:UpdateInstanceAssociationStatus", "ssm:UpdateAssociationStatus", "ssm:GetDocument",
	"ssm:DescribeDocument", "ssm:PutComplianceItems", "ssm:RequestManagedInstanceRoleToken", "ssm:UpdateManagedInstancePublicKey",
	"ec2messages:GetMessages", "ec2messages:AcknowledgeMessage", "ec2messages:SendReply", "ec2messages:FailMessage",
	"ec2messages:DeleteMessage",
}

// boundActions are what a configured key bound to nodes may do besides: each but the last is done to one node too.
// RegisterManagedInstance is what the agent of an EC2 instance calls, to be told that it needs no registration.
var boundActions = []string{"ssm:ListInventoryEntries", "ssm:RegisterManagedInstance", "ssm:GetInventorySchema"}

// MayAct reports whether the principal may do an action, as IAM names it ("ssm:PutInventory"), to at least some node where
// the action is done to one.
func (p *Principal) MayAct(action string) bool {
	if p.judged {
		return policy.Foresee(p.policies, action) == policy.Allowed
	}
	if p.node.Node != "" {
		return slices.Contains(agentActions, action)
	}
	if !p.Administrator() && !slices.Contains(agentActions, action) && !slices.Contains(boundActions, action) {
		return false
	}
	if len(p.actions) == 0 {
		return true
	}
	action = strings.ToLower(action)
	return slices.ContainsFunc(p.actions, func(pattern string) bool { return match(strings.ToLower(pattern), action) })
}

// MayReach reports whether the principal may do to this node what it may do at all. To no node in particular, the empty
// id, an administrator alone may. Of a judged principal Judge decides, and this answers no.
func (p *Principal) MayReach(node inventory.NodeID) bool {
	switch {
	case p.judged: // Judge says so, with more than the node
		return false
	case p.Administrator():
		return true
	case node == "":
		return false
	case p.node.Node != "":
		return p.node.Node == node
	}
	return slices.ContainsFunc(p.nodes, func(pattern string) bool { return match(pattern, string(node)) })
}
