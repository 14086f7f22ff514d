package policy

import "testing"

// operator is a policy of ten statements, as an operator's grows.
const operator = `{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["ssm:Get*", "ssm:List*", "ssm:Describe*"], "Resource": "*"},
  {"Effect": "Allow", "Action": "ssm:PutInventory", "Resource": "arn:aws:ec2:*:111122223333:instance/i-0*"},
  {"Effect": "Allow", "Action": ["ssm:AddTagsToResource", "ssm:RemoveTagsFromResource"], "Resource": "arn:aws:ssm:*:*:managed-instance/*",
   "Condition": {"ForAllValues:StringLike": {"aws:TagKeys": ["env", "team-*"]}}},
  {"Effect": "Allow", "Action": "ssm:*Association*", "Resource": ["arn:aws:ssm:*:111122223333:association/*", "arn:aws:ssm:*:*:document/AWS-*"]},
  {"Effect": "Allow", "Action": "ssm:DeregisterManagedInstance", "Resource": "*", "Condition": {"StringEquals": {"aws:ResourceTag/owner": "${aws:username}"}}},
  {"Effect": "Allow", "Action": "stocktake:*", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "192.168.0.0/16"]}}},
  {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
  {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8", "192.168.0.0/16"]}}},
  {"Effect": "Deny", "Action": "ssm:Delete*", "Resource": "*", "Condition": {"DateGreaterThan": {"aws:CurrentTime": "2026-12-24T00:00:00Z"}}},
  {"Effect": "Deny", "NotAction": "ssm:*", "Resource": "*", "Condition": {"StringNotEquals": {"aws:RequestedRegion": ["eu-1", "eu-2"]}}}]}`

func benchmarkRequest(action, resource string) *Request {
	r := &Request{Action: action, Resources: []Resource{{ARN: resource}}}
	r.Context.Add("aws:SourceIp", "10.1.2.3")
	r.Context.Add("aws:SecureTransport", "true")
	r.Context.Add("aws:CurrentTime", "2026-11-21T22:00:00Z")
	r.Context.Add("aws:RequestedRegion", "eu-1")
	r.Context.Add("aws:username", "alice")
	r.Resources[0].Tags.Add("owner", "alice")
	return r
}

// BenchmarkEvaluate decides over ten statements.
func BenchmarkEvaluate(b *testing.B) {
	policies := []*Policy{parse(b, operator)}
	cases := []struct{ name, action, resource string }{
		{"report", "ssm:PutInventory", "arn:aws:ec2:eu-1:111122223333:instance/i-0123456789abcdef0"},
		{"list", "ssm:GetInventory", "arn:aws:ssm:eu-1:111122223333:*"},
		{"tag", "ssm:DeregisterManagedInstance", "arn:aws:ssm:eu-1:111122223333:managed-instance/mi-0123456789abcdef0"},
		{"refused", "ssm:DeleteInventory", "arn:aws:ssm:eu-1:111122223333:*"},
	}
	for _, c := range cases {
		r := benchmarkRequest(c.action, c.resource)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Evaluate(policies, r)
			}
		})
	}
}

// BenchmarkContext makes what the policies are asked about, as each request has to.
func BenchmarkContext(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		benchmarkRequest("ssm:PutInventory", "arn:aws:ec2:eu-1:111122223333:instance/i-0123456789abcdef0")
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse([]byte(operator)); err != nil {
			b.Fatal(err)
		}
	}
}
