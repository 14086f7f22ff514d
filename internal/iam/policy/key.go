package policy

import "strings"

// A key is a condition key, or a variable of that name.
type key struct {
	name       string // as the policy has it
	folded     string // for [Values]; of a tag of the resource the tag's key alone
	many       bool   // it may have many values in one request
	ofResource bool   // it is a tag of the resource
}

// same reports whether two keys are one: aws:ResourceTag/A and ssm:resourceTag/a are not, though their values are.
func (k key) same(other key) bool { return fold(k.name) == fold(other.name) }

// A keyKind says where the values of a key come from.
type keyKind uint8

const (
	single       keyKind = iota
	multiple             // with any number of values
	requestTags          // a family: a tag's key follows the slash
	resourceTags         // a family: a tag's key follows the slash
)

// knownKeys are all condition keys. Those of a family end in a slash.
var knownKeys = []struct {
	name string
	kind keyKind
	what string
}{
	{"aws:CurrentTime", single, "the time of the request, 2026-01-02T03:04:05Z; for Date operators"},
	{"aws:EpochTime", single, "the same in seconds since 1970; for Date and Numeric operators"},
	{"aws:PrincipalAccount", single, "the account of who asks, 12 digits"},
	{"aws:PrincipalArn", single, "the ARN of who asks; of a role's session, the role's"},
	{"aws:PrincipalType", single, "Account (the root key), User or AssumedRole"},
	{"aws:RequestedRegion", single, "the region the request was signed for"},
	{"aws:SecureTransport", single, "true over TLS; for Bool"},
	{"aws:SourceIp", single, "the address the request came from; for IpAddress"},
	{"aws:UserAgent", single, "what the client calls itself, which anyone can forge"},
	{"aws:userid", single, "the unique id of who asks; of a role's session, ROLEID:SESSION"},
	{"aws:username", single, "the name of the user who asks; none for roles, nodes and the root key"},
	{"aws:TagKeys", multiple, "the keys of the tags in the request; with ForAllValues or ForAnyValue alone"},
	{"aws:RequestTag/", requestTags, "the value of this tag in the request"},
	{"aws:ResourceTag/", resourceTags, "the value of this tag of the node"},
	{"ssm:resourceTag/", resourceTags, "the same"},
}

// keyNamed finds a key by its name, in any case.
func keyNamed(name string) (key, bool) {
	folded := fold(name)
	for _, known := range knownKeys {
		k := key{name: name, folded: folded, many: known.kind == multiple}
		if known.kind < requestTags {
			if folded == fold(known.name) {
				return k, true
			}
			continue
		}
		if tag, ok := strings.CutPrefix(folded, fold(known.name)); ok && tag != "" {
			if known.kind == resourceTags {
				k.folded, k.ofResource = tag, true
			}
			return k, true
		}
	}
	return key{}, false
}

// keyNames lists the keys as errors name them; for variables, those of one value.
func keyNames(many bool) []string {
	var names []string
	for _, known := range knownKeys {
		switch {
		case known.kind == multiple && !many:
		case known.kind >= requestTags:
			names = append(names, known.name+"KEY")
		default:
			names = append(names, known.name)
		}
	}
	return names
}
