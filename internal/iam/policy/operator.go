package policy

import (
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// An operand is a value of a condition, ready to be compared.
type operand interface {
	// fits reports whether a value of the request compares as the operator says, its negation left aside. Judged is false
	// where that cannot be known: a variable has no value, or the value is of another kind.
	fits(value string, v view) (fits, judged bool)
}

// A comparison is an operator without prefix and suffix.
type comparison struct {
	name    string
	negated bool
	// operand compiles a value; nil for Null, which compares none.
	operand func(p *parser, path *place, text string) operand
}

// comparisons are all operators. Those of ARNs are the same with Equals and with Like, as they are in IAM.
var comparisons = []comparison{
	{"StringEquals", false, equalText},
	{"StringNotEquals", true, equalText},
	{"StringEqualsIgnoreCase", false, foldedText},
	{"StringNotEqualsIgnoreCase", true, foldedText},
	{"StringLike", false, likeText},
	{"StringNotLike", true, likeText},
	{"ArnEquals", false, arnOperand},
	{"ArnNotEquals", true, arnOperand},
	{"ArnLike", false, arnOperand},
	{"ArnNotLike", true, arnOperand},
	{"NumericEquals", false, numeric(equal)},
	{"NumericNotEquals", true, numeric(equal)},
	{"NumericLessThan", false, numeric(less)},
	{"NumericLessThanEquals", false, numeric(less | equal)},
	{"NumericGreaterThan", false, numeric(greater)},
	{"NumericGreaterThanEquals", false, numeric(greater | equal)},
	{"DateEquals", false, dated(equal)},
	{"DateNotEquals", true, dated(equal)},
	{"DateLessThan", false, dated(less)},
	{"DateLessThanEquals", false, dated(less | equal)},
	{"DateGreaterThan", false, dated(greater)},
	{"DateGreaterThanEquals", false, dated(greater | equal)},
	{"Bool", false, boolOperand},
	{"IpAddress", false, addressOperand},
	{"NotIpAddress", true, addressOperand},
	{"Null", false, nil},
}

func comparisonNames() []string {
	names := make([]string, len(comparisons))
	for i, c := range comparisons {
		names[i] = c.name
	}
	return names
}

// A relation is a set of outcomes of comparing two values.
type relation uint8

const (
	less relation = 1 << iota
	equal
	greater
)

// holds reports whether an outcome, below 0, 0 or above, is in the relation.
func (r relation) holds(outcome int) bool {
	switch {
	case outcome < 0:
		return r&less != 0
	case outcome > 0:
		return r&greater != 0
	}
	return r&equal != 0
}

type textOperand struct{ pattern pattern }

func (o textOperand) fits(value string, v view) (fits, judged bool) { return o.pattern.match(value, v) }

func equalText(p *parser, path *place, text string) operand {
	return textOperand{p.pattern(path, text, false)}
}

func likeText(p *parser, path *place, text string) operand {
	return textOperand{p.pattern(path, text, true)}
}

// A foldedOperand compares without regard to case.
type foldedOperand struct{ pattern pattern }

func (o foldedOperand) fits(value string, v view) (fits, judged bool) {
	return o.pattern.matchFolded(fold(value), v)
}

func foldedText(p *parser, path *place, text string) operand {
	compiled := p.pattern(path, text, false)
	for i := range compiled.atoms {
		if compiled.atoms[i].kind == literalAtom {
			compiled.atoms[i].text = fold(compiled.atoms[i].text)
		}
	}
	return foldedOperand{compiled}
}

// arnParts is how many parts an ARN has: arn, partition, service, region, account and resource, in which colons may stand.
const arnParts = 6

// An arnPattern compares part by part: a wildcard does not reach over a colon, but in the last part.
type arnPattern [arnParts]pattern

func (o *arnPattern) fits(value string, v view) (fits, judged bool) {
	fits, judged = true, true
	for i := range o {
		part := value
		if i < arnParts-1 {
			var found bool
			part, value, found = strings.Cut(value, ":")
			fits = fits && found
		}
		matched, known := o[i].match(part, v)
		fits, judged = fits && matched, judged && known
	}
	return fits, judged
}

func arnOperand(p *parser, path *place, text string) operand {
	if text == "*" {
		return textOperand{p.pattern(path, text, true)}
	}
	parts := cutARN(text)
	if len(parts) != arnParts {
		p.fail(path, "%q is no ARN of six parts; write for example arn:aws:iam::*:role/*", text)
		return nil
	}
	o := &arnPattern{}
	for i, part := range parts {
		o[i] = p.pattern(path, part, true)
	}
	return o
}

// cutARN cuts a text at its first five colons, those inside of ${...} not counted.
func cutARN(text string) []string {
	var parts []string
	begin, inside := 0, false
	for i := 0; i < len(text) && len(parts) < arnParts-1; i++ {
		switch {
		case strings.HasPrefix(text[i:], "${"):
			inside = true
		case text[i] == '}':
			inside = false
		case text[i] == ':' && !inside:
			parts = append(parts, text[begin:i])
			begin = i + 1
		}
	}
	return append(parts, text[begin:])
}

type numberOperand struct {
	number float64
	holds  relation
}

func (o numberOperand) fits(value string, _ view) (fits, judged bool) {
	n, ok := parseNumber(value)
	return ok && o.holds.holds(compareFloats(n, o.number)), ok
}

func compareFloats(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

var numberForm = regexp.MustCompile(`^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

func parseNumber(text string) (float64, bool) {
	if !numberForm.MatchString(text) {
		return 0, false
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil && !math.IsInf(n, 0)
}

func numeric(r relation) func(p *parser, path *place, text string) operand {
	return func(p *parser, path *place, text string) operand {
		n, ok := parseNumber(text)
		if !ok {
			p.fail(path, "%q is no number", text)
		}
		return numberOperand{n, r}
	}
}

type dateOperand struct {
	at    time.Time
	holds relation
}

func (o dateOperand) fits(value string, _ view) (fits, judged bool) {
	at, ok := parseDate(value)
	return ok && o.holds.holds(at.Compare(o.at)), ok
}

// dateForms are the forms of W3C's profile of ISO 8601 that have a month. A year alone would be taken for seconds.
var dateForms = []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01"}

// parseDate reads a date, or seconds since 1970.
func parseDate(text string) (time.Time, bool) {
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(seconds, 0), true
	}
	for _, form := range dateForms {
		if at, err := time.Parse(form, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

func dated(r relation) func(p *parser, path *place, text string) operand {
	return func(p *parser, path *place, text string) operand {
		at, ok := parseDate(text)
		if !ok || len(text) == len("2006") {
			p.fail(path, "%q is no date; write for example 2026-01-02T03:04:05Z, 2026-01-02, or seconds since 1970", text)
		}
		return dateOperand{at, r}
	}
}

type truthOperand bool

func (o truthOperand) fits(value string, _ view) (fits, judged bool) {
	switch {
	case strings.EqualFold(value, "true"):
		return bool(o), true
	case strings.EqualFold(value, "false"):
		return !bool(o), true
	}
	return false, false
}

func boolOperand(p *parser, path *place, text string) operand {
	return truthOperand(p.truth(path, text))
}

func (p *parser) truth(path *place, text string) bool {
	is, isNot := strings.EqualFold(text, "true"), strings.EqualFold(text, "false")
	if !is && !isNot {
		p.fail(path, "%q is neither true nor false", text)
	}
	return is
}

type networkOperand netip.Prefix

func (o networkOperand) fits(value string, _ view) (fits, judged bool) {
	address, err := netip.ParseAddr(value)
	return err == nil && netip.Prefix(o).Contains(address.Unmap().WithZone("")), err == nil
}

func addressOperand(p *parser, path *place, text string) operand {
	network, ok := parseNetwork(text)
	if !ok {
		p.fail(path, "%q is no address and no network; write for example 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32", text)
	}
	return networkOperand(network)
}

// parseNetwork reads an address or a network. One of IPv4 written as IPv6 is that of IPv4.
func parseNetwork(text string) (netip.Prefix, bool) {
	if address, err := netip.ParseAddr(text); err == nil {
		address = address.Unmap()
		return netip.PrefixFrom(address, address.BitLen()), address.Zone() == ""
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, false
	}
	if address := network.Addr(); address.Is4In6() {
		bits := network.Bits() - 96
		if bits < 0 {
			return netip.Prefix{}, false
		}
		network = netip.PrefixFrom(address.Unmap(), bits)
	}
	return network, true
}
