package wire

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A rule is what the API model demands of one string shape.
type rule struct {
	least, most int               // length in characters; most 0: any length
	pattern     string            // the model's text, as violations print it
	match       func(string) bool // pattern as it is applied; nil: any text
	enum        []string          // in the model's order
}

// The string shapes of the model that carry a constraint (the API model's pattern, min, max and enum).
var (
	nodeID      = &rule{pattern: `(^i-(\w{8}|\w{17})$)|(^mi-\w{17}$)`, match: isNodeID}
	typeName    = &rule{least: 1, most: 100, pattern: `^(AWS|Custom):.*$`, match: isTypeName}
	version     = &rule{pattern: `^([0-9]{1,6})(\.[0-9]{1,6})$`, match: isVersion}
	captureTime = &rule{
		pattern: `^(20)[0-9][0-9]-(0[1-9]|1[012])-([12][0-9]|3[01]|0[1-9])(T)(2[0-3]|[0-1][0-9])(:[0-5][0-9])(:[0-5][0-9])(Z)$`,
		match:   isCaptureTime,
	}
	uuid = patterned(`[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}`)

	contentHash    = &rule{most: 256}
	attributeName  = &rule{least: 1, most: 64}
	attributeValue = &rule{most: 4096}
	filterKey      = &rule{least: 1, most: 200}
	expression     = &rule{least: 1, most: 1000}
	groupName      = &rule{least: 1, most: 200}
	typeNameFilter = &rule{most: 100}
	operator       = &rule{enum: []string{"Equal", "NotEqual", "BeginWith", "LessThan", "GreaterThan", "Exists"}}
	deleteOption   = &rule{enum: []string{DisableSchema, DeleteSchema}}
)

func patterned(pattern string) *rule {
	return &rule{pattern: pattern, match: regexp.MustCompile(pattern).MatchString}
}

// holds reports whether s satisfies the rule.
func (r *rule) holds(s string) bool {
	return !r.tooLong(s) && !r.tooShort(s) && r.matches(s) && r.listed(s)
}

func (r *rule) tooLong(s string) bool {
	return r.most > 0 && len(s) > r.most && utf8.RuneCountInString(s) > r.most
}

func (r *rule) tooShort(s string) bool {
	return len(s) < r.least || len(s) < utf8.UTFMax*r.least && utf8.RuneCountInString(s) < r.least
}

func (r *rule) matches(s string) bool { return r.match == nil || r.match(s) }
func (r *rule) listed(s string) bool  { return r.enum == nil || slices.Contains(r.enum, s) }

// violated gives the texts of the constraints that s fails.
func (r *rule) violated(s string) []string {
	var texts []string
	if r.tooLong(s) {
		texts = append(texts, r.mostText())
	}
	if r.tooShort(s) {
		texts = append(texts, r.leastText())
	}
	if !r.matches(s) {
		texts = append(texts, patternText(r.pattern))
	}
	if !r.listed(s) {
		texts = append(texts, "Member must satisfy enum value set: ["+strings.Join(r.enum, ", ")+"]")
	}
	return texts
}

// list gives the texts of all it demands, as the violations of a list's members and of a map's keys and values show them.
func (r *rule) list() string {
	text := r.mostText() + ", " + r.leastText()
	if r.pattern != "" {
		text += ", " + patternText(r.pattern)
	}
	return "[" + text + "]"
}

func patternText(pattern string) string {
	return "Member must satisfy regular expression pattern: " + pattern
}

func (r *rule) mostText() string  { return lengthText("less", r.most) }
func (r *rule) leastText() string { return lengthText("greater", r.least) }

func lengthText(than string, n int) string {
	return "Member must have length " + than + " than or equal to " + strconv.Itoa(n)
}

func rangeText(than string, n int) string {
	return "Member must have value " + than + " than or equal to " + strconv.Itoa(n)
}
