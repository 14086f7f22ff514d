package ssm

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

const (
	recordActivation   = "activation"   // by partition and id
	recordActivationID = "activationid" // the partition of an id: who registers names the activation alone
)

// The bounds of activations (documented).
const (
	defaultActivationLife = 24 * time.Hour
	mostActivationLife    = 30 * 24 * time.Hour
	mostRegistrations     = 1000
	expiredActivationLife = 30 * 24 * time.Hour // ours: how long one that expired is still listed
	activationsListed     = 50
	activationsRead       = 500 // at once, where most may be passed over
	codeLength            = 20
)

// Activation is what an administrator gives machines to register with.
type Activation struct {
	ID          string
	Role        string // of the nodes that register with it: any name
	Name        string // of the nodes; may be empty
	Description string
	Limit       int // of nodes, 1 to 1000
	Count       int // of nodes that registered, deregistered ones included
	Created     time.Time
	Expires     time.Time
	Tags        []Tag // of the nodes, by key
}

// activation is an Activation as it is kept.
type activation struct {
	Activation
	// Code is the authenticator of the code, which is kept nowhere.
	Code []byte
	// Pending are the nodes that have a slot, counted already, and are not known to be made. See register.go.
	Pending []pendingNode `json:",omitempty"`
}

// pendingNode is a slot taken for a node.
type pendingNode struct {
	Node  inventory.NodeID
	Since time.Time
}

func activationKey(p inventory.Partition, id string) string {
	return store.Key(recordActivation, p.Account, p.Region, id)
}

// derived makes a key of its own for a purpose, from the store's root key.
func (s *Service) derived(purpose string, parts ...[]byte) []byte {
	key := s.store.Identity().Derive(purpose, parts...)
	return key[:]
}

// sealCode gives what is kept of an activation's code.
func (s *Service) sealCode(id, code string) []byte {
	sum := sha256.Sum256([]byte(code)) // of any length
	return s.derived("activation code", []byte(id), sum[:])
}

// newCode makes a code of 119 random bits.
func newCode() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	code := make([]byte, 0, codeLength)
	for len(code) < codeLength {
		var random [2 * codeLength]byte
		_, _ = rand.Read(random[:]) // it never fails
		for _, b := range random {
			// What would make some letters likelier than others is passed over.
			if int(b) < 256/len(letters)*len(letters) && len(code) < codeLength {
				code = append(code, letters[int(b)%len(letters)])
			}
		}
	}
	return string(code)
}

// CreateActivationInput says what nodes register with.
type CreateActivationInput struct {
	Role, Name, Description string
	Limit                   int       // 0: one node
	Expires                 time.Time // zero: in 24 hours
	Tags                    []Tag
}

// CreateActivation makes an activation. The code is told once, here.
func (s *Service) CreateActivation(ctx context.Context, p inventory.Partition, in CreateActivationInput) (id, code string, err error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	a := activation{Activation: Activation{
		ID: newUUID(), Role: in.Role, Name: in.Name, Description: in.Description, Limit: max(in.Limit, 1),
		Created: now, Expires: in.Expires.UTC(), Tags: orderedTags(in.Tags),
	}}
	if in.Expires.IsZero() {
		a.Expires = now.Add(defaultActivationLife)
	}
	switch {
	case !a.Expires.After(now):
		return "", "", inventory.Errorf(inventory.InvalidParameters, "ExpirationDate lies in the past. Leave it out for an activation of 24 hours.")
	case a.Expires.Sub(now) > mostActivationLife+time.Minute: // who reckons by a clock of his own may be a little ahead
		return "", "", inventory.Errorf(inventory.InvalidParameters, "ExpirationDate is more than 30 days ahead.")
	case a.Limit > mostRegistrations:
		return "", "", inventory.Errorf(inventory.InvalidParameters, "RegistrationLimit is at most %d.", mostRegistrations)
	case len(a.Tags) > mostTags:
		return "", "", inventory.Errorf(inventory.TooManyTags, "The activation has %d tags; a node keeps at most %d.", len(a.Tags), mostTags)
	}
	lock := s.activations.of(inventory.NodeKey{Partition: inventory.Partition{Account: p.Account}})
	lock.Lock() // so that no two take one place
	defer lock.Unlock()
	if err := s.checkActivations(ctx, p.Account); err != nil {
		return "", "", err
	}
	code = newCode()
	a.Code = s.sealCode(a.ID, code)
	// First what leads to it: an id without its activation is nothing.
	if err := s.swapRecord(ctx, store.Key(recordActivationID, a.ID), p, 0); err != nil {
		return "", "", err
	}
	err = s.swapRecord(ctx, activationKey(p, a.ID), a, 0)
	return a.ID, code, err
}

// checkActivations judges whether an account has room for one more activation. Where several servers make some at the same
// moment, there may be as many more.
func (s *Service) checkActivations(ctx context.Context, account string) error {
	have := 0
	err := eachRecord(ctx, s.store, store.Key(recordActivation, account, ""), func(store.Record) error { have++; return nil })
	if err != nil || have < s.cfg.Limits.Activations {
		return err
	}
	return inventory.Errorf(inventory.InvalidParameters,
		"The account has %d activations in all regions, the most it can have (limit_activations). Delete some with DeleteActivation; those that expired go by themselves after a month.", have)
}

// pruneActivations drops activations a month after they expired.
func (s *Service) pruneActivations(ctx context.Context) error {
	past := time.Now().Add(-expiredActivationLife)
	return eachRecord(ctx, s.store, store.Key(recordActivation, ""), func(rec store.Record) error {
		a, err := parseActivation(rec)
		if err != nil || !a.Expires.Before(past) {
			return err
		}
		// First what leads to it: the record that is found again goes last.
		if err := s.dropActivationID(ctx, a.ID); err != nil {
			return err
		}
		return s.dropRecord(ctx, rec)
	})
}

// dropActivationID drops what leads to an activation.
func (s *Service) dropActivationID(ctx context.Context, id string) error {
	rec, err := s.store.Record(ctx, store.Key(recordActivationID, id))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.dropRecord(ctx, rec)
}

// orderedTags gives tags by key; of several with one key the last holds.
func orderedTags(tags []Tag) []Tag {
	all := map[string]string{}
	for _, t := range tags {
		all[t.Key] = t.Value
	}
	var out []Tag
	for _, e := range tagEntries(all) {
		out = append(out, Tag{Key: e[0].Value, Value: e[1].Value})
	}
	return out
}

// DeleteActivation makes an activation unusable. Nodes that registered with it stay.
func (s *Service) DeleteActivation(ctx context.Context, p inventory.Partition, id string) error {
	err := retry(ctx, func() error {
		rec, err := s.store.Record(ctx, activationKey(p, id))
		if err == nil {
			err = s.store.DeleteRecord(ctx, rec.Key, rec.Revision)
		}
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return inventory.Errorf(inventory.InvalidActivation, "The activation %s doesn't exist. DescribeActivations lists those there are.", id)
	}
	if err != nil {
		return err
	}
	return s.dropActivationID(ctx, id)
}

// The keys activations are filtered by.
const (
	ActivationIDs  = "ActivationIds"
	ActivationName = "DefaultInstanceName"
	ActivationRole = "IamRole"
)

// ActivationFilter holds for an activation with any of the values.
type ActivationFilter struct {
	Key    string
	Values []string
}

func (f ActivationFilter) holds(a *Activation) bool {
	switch f.Key {
	case ActivationIDs:
		return slices.Contains(f.Values, a.ID)
	case ActivationName:
		return slices.Contains(f.Values, a.Name)
	}
	return slices.Contains(f.Values, a.Role)
}

func (f ActivationFilter) check() error {
	if f.Key != ActivationIDs && f.Key != ActivationName && f.Key != ActivationRole {
		return inventory.Errorf(inventory.InvalidFilter, "A filter of activations has the FilterKey %s, %s or %s.", ActivationIDs, ActivationName, ActivationRole)
	}
	if len(f.Values) == 0 {
		return inventory.Errorf(inventory.InvalidFilter, "The filter %s has no FilterValues.", f.Key)
	}
	return nil
}

// DescribeActivationsInput asks for the activations for which every filter holds.
type DescribeActivationsInput struct {
	Filters    []ActivationFilter
	MaxResults int
	NextToken  string
}

// DescribeActivationsOutput is a page of them, by id.
type DescribeActivationsOutput struct {
	Activations []Activation
	NextToken   string
}

// DescribeActivations lists activations, expired ones too.
func (s *Service) DescribeActivations(ctx context.Context, p inventory.Partition, in DescribeActivationsInput) (DescribeActivationsOutput, error) {
	var out DescribeActivationsOutput
	for _, f := range in.Filters {
		if err := f.check(); err != nil {
			return out, err
		}
	}
	asked, err := question(in.Filters)
	if err != nil {
		return out, err
	}
	from, err := s.openToken(p, "DescribeActivations", asked, in.NextToken)
	if err != nil {
		return out, err
	}
	after := ""
	if from != nil {
		after = activationKey(p, from.After)
	}
	most := pageSize(in.MaxResults, activationsListed)
	step := most + 1
	if len(in.Filters) > 0 {
		step = activationsRead
	}
	for {
		records, err := s.store.ListRecords(ctx, activationKey(p, ""), after, step)
		if err != nil {
			return out, err
		}
		for _, rec := range records {
			a, err := parseActivation(rec)
			if err != nil {
				return out, err
			}
			if slices.ContainsFunc(in.Filters, func(f ActivationFilter) bool { return !f.holds(&a.Activation) }) {
				continue
			}
			if len(out.Activations) == most {
				out.NextToken, err = s.sealToken(p, "DescribeActivations", asked, token{After: out.Activations[most-1].ID})
				return out, err
			}
			out.Activations = append(out.Activations, a.Activation)
		}
		if len(records) < step {
			return out, nil
		}
		after = records[len(records)-1].Key
	}
}

func parseActivation(rec store.Record) (activation, error) {
	var a activation
	if err := json.Unmarshal(rec.Value, &a); err != nil {
		return a, fmt.Errorf("%w: record %s: %w", store.ErrCorrupt, rec.Key, err)
	}
	return a, nil
}
