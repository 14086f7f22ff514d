package query

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A reader reads the parameters of one request, and remembers which were read and what was wrong with them.
type reader struct {
	parameters map[string]string
	read       map[string]bool
	problems   []string
}

// A rule is the constraints of a text in the API's model. Lengths are in characters.
type rule struct {
	min, max int
	form     *regexp.Regexp
	formText string // as errors show it
	oneOf    []string
}

func form(low, high int, text string) rule {
	return rule{min: low, max: high, form: regexp.MustCompile(`^(?s:` + text + `)$`), formText: text}
}

// The rules of the model.
var (
	userName        = form(1, 64, `[\w+=,.@-]+`)
	existingName    = form(1, 128, `[\w+=,.@-]+`)
	roleName        = form(1, 64, `[\w+=,.@-]+`)
	policyName      = form(1, 128, `[\w+=,.@-]+`)
	path            = form(1, 512, `(/)|(/[\x21-\x7E]+/)`)
	pathPrefix      = form(1, 512, `/[\x21-\x7F]*`)
	marker          = form(1, 320, `[\x20-\x{FF}]+`)
	accessKeyID     = form(16, 128, `\w+`)
	document        = form(1, 131_072, `[\x09\x0A\x0D\x20-\x{FF}]+`)
	roleDescription = form(0, 1000, `[\x09\x0A\x0D\x20-\x7E\x{A1}-\x{FF}]*`)
	arn             = rule{min: 20, max: 2048}
	tagKey          = form(1, 128, `[\pL\pZ\pN_.:/=+\-@]+`)
	tagValue        = form(0, 256, `[\pL\pZ\pN_.:/=+\-@]*`)
	sessionName     = form(2, 64, `[\w+=,.@-]*`)
	externalID      = form(2, 1224, `[\w+=,.@:/-]*`)
	keyStatus       = rule{oneOf: []string{"Active", "Inactive"}}
)

// maxTags is the most tags of a user or role.
const maxTags = 50

// required reads a text that must be there.
func (r *reader) required(name string, rule rule) string {
	if _, ok := r.parameters[name]; !ok {
		r.violated("null", name, "Member must not be null")
		return ""
	}
	return r.optional(name, rule, "")
}

// optional reads a text that may be left out.
func (r *reader) optional(name string, rule rule, otherwise string) string {
	text, ok := r.parameters[name]
	if !ok {
		return otherwise
	}
	r.read[name] = true
	quoted := "'" + clip(text) + "'"
	length := utf8.RuneCountInString(text)
	switch {
	case !utf8.ValidString(text):
		r.problem("Value at '%s' is not valid UTF-8", member(name))
	case rule.oneOf != nil && !slices.Contains(rule.oneOf, text):
		r.violated(quoted, name, "Member must satisfy enum value set: ["+strings.Join(rule.oneOf, ", ")+"]")
	case rule.oneOf != nil:
	default:
		if length < rule.min {
			r.violated(quoted, name, fmt.Sprintf("Member must have length greater than or equal to %d", rule.min))
		}
		if length > rule.max {
			r.violated(quoted, name, fmt.Sprintf("Member must have length less than or equal to %d", rule.max))
		}
		if rule.form != nil && !rule.form.MatchString(text) {
			r.violated(quoted, name, "Member must satisfy regular expression pattern: "+rule.formText)
		}
	}
	return text
}

// number reads a whole number that may be left out.
func (r *reader) number(name string, low, high, otherwise int) int {
	text, ok := r.parameters[name]
	if !ok {
		return otherwise
	}
	r.read[name] = true
	quoted := "'" + clip(text) + "'"
	n, err := strconv.ParseInt(text, 10, 32)
	switch {
	case err != nil:
		r.violated(quoted, name, "Member must be a whole number of 32 bits")
	case int(n) < low:
		r.violated(quoted, name, fmt.Sprintf("Member must have value greater than or equal to %d", low))
	case int(n) > high:
		r.violated(quoted, name, fmt.Sprintf("Member must have value less than or equal to %d", high))
	}
	return int(n)
}

// tags reads Tags.member.1.Key and so on, as far as there are any.
func (r *reader) tags() []Tag {
	var all []Tag
	for i := 1; i <= maxTags; i++ {
		key, value := fmt.Sprintf("Tags.member.%d.Key", i), fmt.Sprintf("Tags.member.%d.Value", i)
		_, hasKey := r.parameters[key]
		_, hasValue := r.parameters[value]
		if !hasKey && !hasValue {
			break
		}
		tag := Tag{r.required(key, tagKey), r.required(value, tagValue)}
		if slices.ContainsFunc(all, func(other Tag) bool { return strings.EqualFold(other.Key, tag.Key) }) {
			r.problem("The tag %s is given twice", clip(tag.Key))
		}
		all = append(all, tag)
	}
	return all
}

// page reads what every listing has.
func (r *reader) page() Page {
	return Page{r.optional("Marker", marker, ""), r.number("MaxItems", 1, 1000, 100)}
}

// rest refuses what was not read. An empty list, which clients write as its bare name, is nothing.
func (r *reader) rest() {
	names := slices.Collect(maps.Keys(r.parameters))
	slices.Sort(names)
	for _, name := range names {
		if !r.read[name] && (name != "Tags" || r.parameters[name] != "") {
			r.problem("The parameter %s is not supported", clip(name))
		}
	}
}

func (r *reader) violated(quoted, name, constraint string) {
	r.problem("Value %s at '%s' failed to satisfy constraint: %s", quoted, member(name), constraint)
}

// mostProblems bounds an error's text: each problem may quote what the caller sent.
const mostProblems = 20

func (r *reader) problem(format string, args ...any) {
	if len(r.problems) < mostProblems {
		r.problems = append(r.problems, fmt.Sprintf(format, args...))
	}
}

// member names a parameter as errors do: Tags.member.1.Key is tags.1.member.key. No part of a name is empty.
func member(name string) string {
	parts := strings.Split(name, ".")
	for i := range parts {
		parts[i] = strings.ToLower(parts[i][:1]) + parts[i][1:]
	}
	if len(parts) == 4 {
		parts[1], parts[2] = parts[2], parts[1]
	}
	return strings.Join(parts, ".")
}

func (r *reader) err() error {
	switch n := len(r.problems); n {
	case 0:
		return nil
	case 1:
		return fail(ValidationError, "1 validation error detected: %s", r.problems[0])
	default:
		return fail(ValidationError, "%d validation errors detected: %s", n, strings.Join(r.problems, "; "))
	}
}
