package policy

import "strings"

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

// Values are lists of values by name. Case does not tell names apart, as with condition keys in IAM. The zero Values is
// empty and ready.
type Values struct{ byName map[string][]string }

// Add adds values to those of a name.
func (v *Values) Add(name string, values ...string) {
	if v.byName == nil {
		v.byName = map[string][]string{}
	}
	name = fold(name)
	v.byName[name] = append(v.byName[name], values...)
}

// A view is a request as one statement looks at it.
type view struct {
	context  *Values
	resource *Resource
}

func (v view) values(k *key) []string {
	if k.ofResource {
		return v.resource.Tags.byName[k.folded]
	}
	return v.context.byName[k.folded]
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
	none := Decision{NotAllowed, 0, -1, -1}
	decision := none
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
