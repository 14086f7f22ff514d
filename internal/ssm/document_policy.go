package ssm

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"stocktake/internal/inventory"
)

// GatherInventory is the document that has nodes report inventory, the one document there is.
const GatherInventory = "AWS-GatherSoftwareInventory"

//go:embed gather.json
var gatherText string

// Policy is a document that associations have nodes carry out, as it is told. (A document of inventory is something else:
// what a node reported.) Policies are built in; none can be made.
type Policy struct {
	Name        string
	Owner       string
	Created     time.Time
	Version     string // the newest, which is the default too
	Type        string
	Schema      string
	Description string
	Platforms   []string
	Content     string // JSON
	Parameters  []PolicyParameter
}

// PolicyParameter is a parameter of a policy, in the text's order.
type PolicyParameter struct {
	Name        string
	Type        string
	Description string
	Default     string
	Allowed     []string // empty: any text
}

// Hash is the SHA-256 of the text in hexadecimal.
func (p *Policy) Hash() string {
	sum := sha256.Sum256([]byte(p.Content))
	return hex.EncodeToString(sum[:])
}

// checksum moves with the text and the version of the document: agents keep a text until it does.
func (p *Policy) checksum() string {
	sum := sha256.Sum256([]byte(p.Version + "\x00" + p.Content))
	return hex.EncodeToString(sum[:])
}

// parsePolicy reads a text of our own.
func parsePolicy(name, text string, created time.Time) (*Policy, error) {
	var read struct {
		SchemaVersion string
		Description   string
		Parameters    map[string]struct {
			Type, Default, Description string
			AllowedValues              []string
		}
	}
	if err := json.Unmarshal([]byte(text), &read); err != nil {
		return nil, err
	}
	p := &Policy{
		Name: name, Owner: "Amazon", Created: created, Version: "1", Type: "Policy", Schema: read.SchemaVersion,
		Description: read.Description, Platforms: []string{"Windows", "Linux", "MacOS"}, Content: text,
	}
	for name, v := range read.Parameters {
		p.Parameters = append(p.Parameters, PolicyParameter{Name: name, Type: v.Type, Description: v.Description, Default: v.Default, Allowed: v.AllowedValues})
	}
	slices.SortFunc(p.Parameters, func(a, b PolicyParameter) int { return strings.Compare(a.Name, b.Name) })
	return p, nil
}

// builtInPolicies gives the policies of the service, by name.
func builtInPolicies() ([]*Policy, error) {
	gather, err := parsePolicy(GatherInventory, gatherText, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	return []*Policy{gather}, err
}

// policy gives a document by name and version; "" is the default version.
func (s *Service) policy(name, version string) (*Policy, error) {
	at := slices.IndexFunc(s.policies, func(p *Policy) bool { return p.Name == name })
	if at < 0 {
		return nil, inventory.Errorf(inventory.InvalidDocument, "There is no document %s here. ListDocuments lists those there are.", clip(name))
	}
	p := s.policies[at]
	switch version {
	case "", "$DEFAULT", "$LATEST", p.Version:
		return p, nil
	}
	return nil, inventory.Errorf(inventory.InvalidDocumentVersion, "The document %s has no version %s. Its only version is %s.", p.Name, clip(version), p.Version)
}

// Policy gives a document, by name, version ("" is the default one) and format ("" is JSON, the only one there is).
func (s *Service) Policy(_ context.Context, name, version, versionName, format string) (*Policy, error) {
	p, err := s.policy(name, version)
	if err != nil {
		return nil, err
	}
	if versionName != "" {
		return nil, inventory.Errorf(inventory.InvalidDocumentVersion, "The document %s has no version named %s: the versions of built-in documents have no names.", p.Name, clip(versionName))
	}
	if format != "" && format != "JSON" {
		return nil, inventory.Errorf(inventory.InvalidDocument, "The document %s is kept as JSON and can't be given as %s.", p.Name, clip(format))
	}
	return p, nil
}

// PolicyFilter asks for documents with one of several values of a property.
type PolicyFilter struct {
	Key    string
	Values []string
}

// ListPoliciesInput asks which documents there are; all filters hold.
type ListPoliciesInput struct {
	Filters    []PolicyFilter
	MaxResults int
	NextToken  string
}

// ListPoliciesOutput is one page of them, by name.
type ListPoliciesOutput struct {
	Policies  []*Policy
	NextToken string
}

// policiesListed is the largest page of documents.
const policiesListed = 50

// ListPolicies lists the documents.
func (s *Service) ListPolicies(_ context.Context, p inventory.Partition, in ListPoliciesInput) (ListPoliciesOutput, error) {
	var out ListPoliciesOutput
	asked, err := question(in.Filters)
	if err != nil {
		return out, err
	}
	from, err := s.openToken(p, "ListDocuments", asked, in.NextToken)
	if err != nil {
		return out, err
	}
	var found []*Policy
	for _, policy := range s.policies {
		ok, err := policy.meets(in.Filters)
		if err != nil {
			return out, err
		}
		if ok && (from == nil || policy.Name > from.After) {
			found = append(found, policy)
		}
	}
	most := pageSize(in.MaxResults, policiesListed)
	if out.Policies = found; len(found) > most {
		out.Policies = found[:most]
		out.NextToken, err = s.sealToken(p, "ListDocuments", asked, token{After: found[most-1].Name})
	}
	return out, err
}

// meets reports whether a document has what all filters ask for. A name is met by its beginning.
func (p *Policy) meets(filters []PolicyFilter) (bool, error) {
	all := true
	for _, f := range filters {
		var has []string
		match := strings.EqualFold
		switch f.Key {
		case "Name":
			has, match = []string{p.Name}, strings.HasPrefix
		case "Owner":
			has = []string{p.Owner, "Public", "All"}
		case "DocumentType":
			has = []string{p.Type}
		case "PlatformTypes":
			has = p.Platforms
		case "SchemaVersion":
			has = []string{p.Schema}
		case "TargetType": // built-in documents have none
		case "SearchKeyword":
			has = []string{p.Name + " " + p.Description}
			match = func(text, word string) bool { return strings.Contains(strings.ToLower(text), strings.ToLower(word)) }
		default:
			if !strings.HasPrefix(f.Key, "tag:") { // built-in documents have no tags
				return false, inventory.Errorf(inventory.InvalidFilterKey, "Documents can't be listed by %s. Use Name, Owner, DocumentType, PlatformTypes, SchemaVersion or SearchKeyword.", clip(f.Key))
			}
		}
		all = all && slices.ContainsFunc(f.Values, func(v string) bool {
			return slices.ContainsFunc(has, func(h string) bool { return match(h, v) })
		})
	}
	return all, nil
}
