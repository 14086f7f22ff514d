package policy

import (
	"slices"
	"strings"
)

// A Request is what policies are asked about.
type Request struct {
	Action string // as IAM names it: ssm:PutInventory
	// Resources are what the action is done to; all must be allowed. Without one nothing is allowed: what is done to nothing
	// in particular is done to [AnyARN].
	Resources []Resource
	// Context holds the values of the condition keys of the request, tags of resources left out. A key without values, and
	// one never added, is absent.
	Context Values
}

// A Resource is one thing an action is done to.
type Resource struct {
	ARN string
	// Tags are its tags by their keys, as aws:ResourceTag/KEY and ssm:resourceTag/KEY give them. They may be left out where
	// no policy asks ([Policy.ReadsResourceTags]).
	Tags Values
}

// Values are values by name, any number of each. Case does not tell names apart, as with condition keys in IAM. The zero
// Values is empty and ready.
type Values struct{ pairs []pair }

type pair struct{ name, value string }

// Add adds values to those of a name.
func (v *Values) Add(name string, values ...string) {
	name = fold(name)
	for _, value := range values {
		v.pairs = append(v.pairs, pair{name, value})
	}
}

// next finds the next pair of a folded name, from a place on; none: below zero. There are few pairs, and most names differ
// in length.
func (v *Values) next(name string, from int) int {
	for i := from; i < len(v.pairs); i++ {
		if v.pairs[i].name == name {
			return i
		}
	}
	return -1
}

// A view is a request as one statement looks at it.
type view struct {
	context  *Values
	resource *Resource
}

// values gives where the values of a key are.
func (v view) values(k *key) *Values {
	if k.ofResource {
		return &v.resource.Tags
	}
	return v.context
}

// value gives the value of a key that has just one; count tells how many it has, two for more.
func (v view) value(k *key) (value string, count int) {
	values := v.values(k)
	first := values.next(k.folded, 0)
	if first < 0 {
		return "", 0
	}
	if values.next(k.folded, first+1) >= 0 {
		return "", 2
	}
	return values.pairs[first].value, 1
}

// An Outcome is what policies say to a request.
type Outcome uint8

// The outcomes. Only one lets the request pass.
const (
	NotAllowed       Outcome = iota // no statement allows it
	DeniedExplicitly                // a statement denies it
	Allowed
)

func (o Outcome) String() string {
	switch o {
	case Allowed:
		return "allowed"
	case DeniedExplicitly:
		return "explicitly denied"
	}
	return "not allowed"
}

// A Decision is an outcome and how it came about.
type Decision struct {
	Outcome Outcome
	// Resource is the number, in the request, of the resource that decided: the one denied, the first not allowed, or the
	// first of all that were allowed.
	Resource int
	// Policy and Statement are the numbers of the statement that decided, the first that did; both -1 where none did.
	Policy, Statement int
}

// Evaluate decides by all the policies of a principal together. It reads its arguments alone, and they may be shared.
func Evaluate(policies []*Policy, r *Request) Decision {
	decision := Decision{NotAllowed, 0, -1, -1}
	action := strings.ToLower(r.Action)
	for i := range r.Resources {
		d := evaluate(policies, action, view{&r.Context, &r.Resources[i]})
		d.Resource = i
		if d.Outcome == DeniedExplicitly {
			return d
		}
		if i == 0 || decision.Outcome == Allowed && d.Outcome == NotAllowed {
			decision = d
		}
	}
	return decision
}

// evaluate decides about one resource.
func evaluate(policies []*Policy, action string, v view) Decision {
	decision := Decision{NotAllowed, 0, -1, -1}
	for i, p := range policies {
		for j := range p.statements {
			s := &p.statements[j]
			if !s.deny && decision.Outcome == Allowed || !s.applies(action, v) {
				continue
			}
			if s.deny {
				return Decision{DeniedExplicitly, 0, i, j}
			}
			decision = Decision{Allowed, 0, i, j}
		}
	}
	return decision
}

// Foresee tells what is certain of an action before its request was read: DeniedExplicitly where a statement denies it on
// everything under no condition, NotAllowed where no statement allows it on anything; in these cases [Evaluate] allows no
// request for it. Else it gives Allowed, and Evaluate may still say otherwise.
func Foresee(policies []*Policy, action string) Outcome {
	action = strings.ToLower(action)
	outcome := NotAllowed
	for _, p := range policies {
		for i := range p.statements {
			s := &p.statements[i]
			if !matchAny(s.actions, action, view{}, s.notAction, false) {
				continue
			}
			if !s.deny {
				outcome = Allowed
			} else if s.everything() {
				return DeniedExplicitly
			}
		}
	}
	return outcome
}

// everything reports whether the statement is about every resource under no condition.
func (s *statement) everything() bool {
	return len(s.conditions) == 0 && !s.notResource &&
		slices.ContainsFunc(s.resources, func(p pattern) bool { return p.source == "*" })
}
