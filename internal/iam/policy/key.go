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

// knownKeys are all condition keys, as docs/iam.md tells what they are. Those of a family end in a slash.
var knownKeys = []struct {
	name string
	kind keyKind
}{
	{"aws:CurrentTime", single},
	{"aws:EpochTime", single},
	{"aws:PrincipalAccount", single},
	{"aws:PrincipalArn", single},
	{"aws:PrincipalType", single},
	{"aws:RequestedRegion", single},
	{"aws:SecureTransport", single},
	{"aws:SourceIp", single},
	{"aws:UserAgent", single},
	{"aws:userid", single},
	{"aws:username", single},
	{"aws:TagKeys", multiple},
	{"aws:RequestTag/", requestTags},
	{"aws:ResourceTag/", resourceTags},
	{"ssm:resourceTag/", resourceTags},
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
