package policy

import (
	"fmt"
	"slices"
	"strings"
)

// managedPrefix is before the name of a built-in policy in its ARN.
const managedPrefix = "arn:aws:iam::aws:policy/"

// managed are the built-in policies, by the names that AWS's have. What AWS's allow of services that are not here is left
// out; what of this service has no counterpart in AWS is allowed where an operator expects it.
var managed = []struct{ name, text string }{
	{"AmazonSSMManagedInstanceCore", `{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "Report",
      "Effect": "Allow",
      "Action": [
        "ssm:PutComplianceItems",
        "ssm:PutInventory",
        "ssm:UpdateInstanceInformation"
      ],
      "Resource": "*"
    },
    {
      "Sid": "RunAssociations",
      "Effect": "Allow",
      "Action": [
        "ssm:DescribeAssociation",
        "ssm:DescribeDocument",
        "ssm:GetDocument",
        "ssm:ListAssociations",
        "ssm:ListInstanceAssociations",
        "ssm:UpdateAssociationStatus",
        "ssm:UpdateInstanceAssociationStatus"
      ],
      "Resource": "*"
    },
    {
      "Sid": "HearMessages",
      "Effect": "Allow",
      "Action": [
        "ec2messages:AcknowledgeMessage",
        "ec2messages:DeleteMessage",
        "ec2messages:FailMessage",
        "ec2messages:GetEndpoint",
        "ec2messages:GetMessages",
        "ec2messages:SendReply",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel"
      ],
      "Resource": "*"
    }
  ]
}`},
	{"AmazonSSMReadOnlyAccess", `{
  "Version": "2012-10-17",
  "Statement": {
    "Sid": "Read",
    "Effect": "Allow",
    "Action": [
      "ssm:Describe*",
      "ssm:Get*",
      "ssm:List*",
      "stocktake:Explain*",
      "stocktake:List*"
    ],
    "Resource": "*"
  }
}`},
	{"AmazonSSMFullAccess", `{
  "Version": "2012-10-17",
  "Statement": {
    "Sid": "Everything",
    "Effect": "Allow",
    "Action": [
      "ec2messages:*",
      "ssm:*",
      "ssmmessages:*",
      "stocktake:*"
    ],
    "Resource": "*"
  }
}`},
}

// ManagedARNs lists the ARNs of the built-in policies.
func ManagedARNs() []string {
	arns := make([]string, len(managed))
	for i, m := range managed {
		arns[i] = managedPrefix + m.name
	}
	return arns
}

// ManagedARN gives the ARN that a built-in policy of a name has, whether or not there is one.
func ManagedARN(name string) string { return managedPrefix + name }

// Managed parses a built-in policy, by its ARN: arn:aws:iam::aws:policy/AmazonSSMReadOnlyAccess. The error is of an ARN
// that no built-in policy has.
func Managed(arn string) (*Policy, error) {
	name, _ := strings.CutPrefix(arn, managedPrefix)
	at := slices.IndexFunc(managed, func(m struct{ name, text string }) bool { return m.name == name && name != arn })
	if at < 0 {
		return nil, fmt.Errorf("there is no policy %s; known are %s", arn, strings.Join(ManagedARNs(), ", "))
	}
	return Parse([]byte(managed[at].text))
}
