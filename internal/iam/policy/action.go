package policy

import "slices"

// An Access says what kind of thing an action does, in AWS's words.
type Access string

// The kinds of access.
const (
	Read        Access = "Read"
	List        Access = "List"
	Write       Access = "Write"
	Tagging     Access = "Tagging"
	Permissions Access = "Permissions management"
)

// A Target is a kind of resource.
type Target string

// The kinds of resources, each as the form of its ARN.
const (
	Node        Target = "node"        // NodeARN
	Association Target = "association" // AssociationARN
	Document    Target = "document"    // DocumentARN
	User        Target = "user"        // UserARN
	Role        Target = "role"        // RoleARN
	Any         Target = "*"           // AnyARN
)

// An Action is what can be allowed: an operation of this service.
type Action struct {
	Name   string // as policies name it: ssm:PutInventory
	Access Access
	// Targets are what it is done to: all of these that a request names, and AnyARN where it names none. Lists of users and
	// of roles are done to the user or role without a name.
	Targets []Target
	// Keys are the condition keys it has beside those that every request has. A family ends in a slash and
	// KEY.
	Keys []string
}

var (
	ofTags     = []string{"aws:RequestTag/KEY", "aws:TagKeys"}
	ofTagKeys  = []string{"aws:TagKeys"}
	ofResource = []string{"aws:ResourceTag/KEY", "ssm:resourceTag/KEY"}
)

// actions are all there are, but for those no policy can allow or forbid: what machines call before they are anyone
// (RegisterManagedInstance) or with their own key pair (RequestManagedInstanceRoleToken, UpdateManagedInstancePublicKey),
// and GetCallerIdentity, which tells callers no more than who they are.
var actions = []Action{
	{"ssm:PutInventory", Write, []Target{Node}, nil},
	{"ssm:GetInventory", Read, []Target{Any}, nil},
	{"ssm:GetInventorySchema", Read, []Target{Any}, nil},
	{"ssm:ListInventoryEntries", List, []Target{Node}, nil},
	{"ssm:DeleteInventory", Write, []Target{Any}, nil},
	{"ssm:DescribeInventoryDeletions", List, []Target{Any}, nil},

	{"ssm:AddTagsToResource", Tagging, []Target{Node, Association}, ofTags},
	{"ssm:RemoveTagsFromResource", Tagging, []Target{Node, Association}, ofTagKeys},
	{"ssm:ListTagsForResource", List, []Target{Node, Association}, nil},

	{"ssm:CreateActivation", Write, []Target{Any}, ofTags},
	{"ssm:DescribeActivations", List, []Target{Any}, nil},
	{"ssm:DeleteActivation", Write, []Target{Any}, nil},
	{"ssm:DeregisterManagedInstance", Write, []Target{Node}, nil},
	{"ssm:UpdateManagedInstanceRole", Write, []Target{Node}, nil},

	{"ssm:UpdateInstanceInformation", Write, []Target{Node}, nil},
	{"ssm:DescribeInstanceInformation", List, []Target{Any}, nil},
	{"ssm:DescribeInstanceProperties", List, []Target{Any}, nil},
	{"ssm:ListNodes", List, []Target{Any}, nil},
	{"ssm:ListNodesSummary", List, []Target{Any}, nil},
	{"ssm:PutComplianceItems", Write, []Target{Node}, nil},

	{"ssm:CreateAssociation", Write, []Target{Document, Node}, ofTags},
	{"ssm:CreateAssociationBatch", Write, []Target{Document, Node}, nil},
	{"ssm:UpdateAssociation", Write, []Target{Association, Document, Node}, nil},
	{"ssm:UpdateAssociationStatus", Write, []Target{Document, Node}, nil},
	{"ssm:DescribeAssociation", Read, []Target{Association, Document, Node}, nil},
	{"ssm:DeleteAssociation", Write, []Target{Association, Document, Node}, nil},
	{"ssm:StartAssociationsOnce", Write, []Target{Association}, nil},
	{"ssm:ListAssociations", List, []Target{Any}, nil},
	{"ssm:ListAssociationVersions", List, []Target{Association}, nil},
	{"ssm:DescribeAssociationExecutions", Read, []Target{Association}, nil},
	{"ssm:DescribeAssociationExecutionTargets", Read, []Target{Association}, nil},
	{"ssm:DescribeEffectiveInstanceAssociations", Read, []Target{Node}, nil},
	{"ssm:DescribeInstanceAssociationsStatus", Read, []Target{Node}, nil},
	{"ssm:ListInstanceAssociations", List, []Target{Node}, nil},
	{"ssm:UpdateInstanceAssociationStatus", Write, []Target{Association, Node}, nil},
	{"ssm:GetDocument", Read, []Target{Document}, nil},
	{"ssm:DescribeDocument", Read, []Target{Document}, nil},
	{"ssm:ListDocuments", List, []Target{Any}, nil},

	{"ec2messages:GetMessages", Read, []Target{Any}, nil},
	{"ec2messages:AcknowledgeMessage", Write, []Target{Any}, nil},
	{"ec2messages:DeleteMessage", Write, []Target{Any}, nil},
	{"ec2messages:FailMessage", Write, []Target{Any}, nil},
	{"ec2messages:SendReply", Write, []Target{Any}, nil},

	{"stocktake:RegisterNode", Write, []Target{Node}, nil},
	{"stocktake:TerminateNode", Write, []Target{Node}, nil},
	{"stocktake:RemoveNode", Write, []Target{Node}, nil},
	{"stocktake:StopNode", Write, []Target{Node}, nil},
	{"stocktake:ExplainNode", Read, []Target{Node}, nil},
	{"stocktake:ListNodes", List, []Target{Any}, nil},
	{"stocktake:RunRetention", Write, []Target{Any}, nil},

	{"iam:CreateUser", Write, []Target{User}, nil},
	{"iam:GetUser", Read, []Target{User}, nil},
	{"iam:ListUsers", List, []Target{User}, nil},
	{"iam:DeleteUser", Write, []Target{User}, nil},
	{"iam:CreateAccessKey", Write, []Target{User}, nil},
	{"iam:ListAccessKeys", List, []Target{User}, nil},
	{"iam:UpdateAccessKey", Write, []Target{User}, nil},
	{"iam:DeleteAccessKey", Write, []Target{User}, nil},
	{"iam:GetAccessKeyLastUsed", Read, []Target{User}, nil},
	{"iam:PutUserPolicy", Permissions, []Target{User}, nil},
	{"iam:GetUserPolicy", Read, []Target{User}, nil},
	{"iam:ListUserPolicies", List, []Target{User}, nil},
	{"iam:DeleteUserPolicy", Permissions, []Target{User}, nil},
	{"iam:AttachUserPolicy", Permissions, []Target{User}, nil},
	{"iam:DetachUserPolicy", Permissions, []Target{User}, nil},
	{"iam:ListAttachedUserPolicies", List, []Target{User}, nil},
	{"iam:CreateRole", Write, []Target{Role}, nil},
	{"iam:PutRolePolicy", Permissions, []Target{Role}, nil},
	{"iam:ListRoles", List, []Target{Role}, nil},
	{"iam:DeleteRole", Write, []Target{Role}, nil},
	{"sts:AssumeRole", Write, []Target{Role}, nil},
}

// Actions lists every action there is.
func Actions() []Action {
	all := slices.Clone(actions)
	for i, a := range all {
		if slices.Contains(a.Targets, Node) {
			all[i].Keys = slices.Concat(a.Keys, ofResource)
		}
	}
	return all
}

// byName are the actions by their names.
var byName = func() map[string]Action {
	m := make(map[string]Action, len(actions))
	for _, a := range actions {
		m[a.Name] = a
	}
	return m
}()

// AccessOf gives what kind of thing an action, by its exact name, does; empty of one that is not known.
func AccessOf(name string) Access { return byName[name].Access }

// TargetsOf gives the kinds of resources that an action, by its exact name, is done to; none of one that is not known. The
// caller does not change it.
func TargetsOf(name string) []Target { return byName[name].Targets }
