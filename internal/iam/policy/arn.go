package policy

import (
	"strings"

	"stocktake/internal/inventory"
)

// NodeARN names a node as AWS does: arn:aws:ssm:REGION:ACCOUNT:managed-instance/mi-... for one that was activated, else
// arn:aws:ec2:REGION:ACCOUNT:instance/i-....
func NodeARN(key inventory.NodeKey) string {
	if key.Node.Activated() {
		return arn("ssm", key.Partition, "managed-instance/"+string(key.Node))
	}
	return arn("ec2", key.Partition, "instance/"+string(key.Node))
}

// AssociationARN names an association by its id.
func AssociationARN(p inventory.Partition, id string) string { return arn("ssm", p, "association/"+id) }

// DocumentARN names a document. Those built in belong to no account, and their names begin with AWS or Amazon, as no
// others may: arn:aws:ssm:REGION::document/AWS-GatherSoftwareInventory.
func DocumentARN(p inventory.Partition, name string) string {
	if strings.HasPrefix(name, "AWS") || strings.HasPrefix(name, "Amazon") {
		p.Account = ""
	}
	return arn("ssm", p, "document/"+name)
}

// UserARN names a user of an account; users and roles are of no region.
func UserARN(account, name string) string {
	return arn("iam", inventory.Partition{Account: account}, "user/"+name)
}

// RoleARN names a role of an account.
func RoleARN(account, name string) string {
	return arn("iam", inventory.Partition{Account: account}, "role/"+name)
}

// AnyARN is what an action is done to that is done to nothing in particular, or to all there is: a list, a count. Service
// is the part of the action before its colon.
func AnyARN(service string, p inventory.Partition) string { return arn(service, p, "*") }

func arn(service string, p inventory.Partition, resource string) string {
	return "arn:aws:" + service + ":" + p.Region + ":" + p.Account + ":" + resource
}
