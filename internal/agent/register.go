package agent

import (
	"context"
	"crypto/rsa"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"stocktake/internal/awsjson"
	"stocktake/internal/iam"
	"stocktake/internal/inventory"
	"stocktake/internal/rate"
	"stocktake/internal/sigv4"
	"stocktake/internal/ssm"
	"stocktake/internal/wire"
)

// registrations are the actions by which a machine becomes a node and gets its credentials.
type registrations struct {
	service  *ssm.Service
	log      *slog.Logger
	asked    *rate.Buckets[netip.Prefix] // registrations of a source
	mistaken *rate.Buckets[netip.Prefix] // those with a wrong id or code
}

// The bounds of one source that has the wrong id or code.
const (
	mistakesEach  = time.Minute
	mostMistakes  = 10 // in that time
	burstOfSource = 20 * time.Second
)

func registrationRows(service *ssm.Service, c Config) []awsjson.Row {
	r := &registrations{
		service:  service,
		log:      c.Log,
		asked:    rate.New[netip.Prefix](float64(c.RegistrationRate), burstOfSource),
		mistaken: rate.New[netip.Prefix](mostMistakes/mistakesEach.Seconds(), mistakesEach),
	}
	register := awsjson.NewRow("RegisterManagedInstance", registrant, r.register)
	register.Auth, register.Kind, register.Late = awsjson.Anonymous, awsjson.Write, true
	token := awsjson.NewRow("RequestManagedInstanceRoleToken", nil, r.requestRoleToken)
	token.Auth = awsjson.ByKeyPair
	key := awsjson.NewRow("UpdateManagedInstancePublicKey", nil, r.updatePublicKey)
	key.Auth, key.Kind = awsjson.ByKeyPair, awsjson.Write
	return []awsjson.Row{register, token, key}
}

// registrant is the node that a machine with an access key says it is. One with an activation is none yet.
func registrant(r *wire.RegisterManagedInstanceRequest) inventory.NodeID {
	if r.ActivationId != nil {
		return ""
	}
	return inventory.NodeID(text(r.Fingerprint))
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (a *registrations) register(ctx context.Context, c awsjson.Caller, r *wire.RegisterManagedInstanceRequest) (*wire.RegisterManagedInstanceResponse, error) {
	now := time.Now()
	source := rate.Source(c.Source)
	if !a.asked.Take(source, now) {
		return nil, tooMany()
	}
	if r.ActivationId == nil {
		return nil, a.known(c, r)
	}
	if !a.mistaken.Left(source, now) {
		return nil, tooMany()
	}
	key, err := a.admitted(ctx, c, ssm.RegisterInput{
		ActivationID: *r.ActivationId, Code: text(r.ActivationCode),
		KeyType: text(r.PublicKeyType), PublicKey: text(r.PublicKey), Fingerprint: text(r.Fingerprint),
	})
	if inventory.CodeOf(err) == inventory.InvalidActivation {
		a.mistaken.Take(source, now)
	}
	if err != nil {
		if code := inventory.CodeOf(err); code != inventory.Internal {
			a.log.Warn("a machine was refused to register", "source", c.Source, "reason", err.Error(), "request_id", c.RequestID)
		}
		return nil, err
	}
	c.Concerns(key)
	a.log.Info("a node registered", "node", key.Node, "account", key.Account, "region", key.Region,
		"activation", *r.ActivationId, "source", c.Source, "request_id", c.RequestID)
	return &wire.RegisterManagedInstanceResponse{InstanceId: string(key.Node)}, nil
}

// admitted registers who knows a code. Who does not costs no write of the audit's: the refusal's line is bounded as all are.
func (a *registrations) admitted(ctx context.Context, c awsjson.Caller, in ssm.RegisterInput) (inventory.NodeKey, error) {
	p, err := a.service.PartitionOf(ctx, in.ActivationID, in.Code)
	if err == nil && c.Principal != nil && c.Principal.Account != p.Account {
		err = inventory.Errorf(inventory.InvalidActivation, "The activation is of another account than the key that signs.")
	}
	if err == nil {
		err = c.Begin(ctx)
	}
	if err != nil {
		return inventory.NodeKey{}, err
	}
	return a.service.RegisterManagedNode(ctx, in)
}

// known answers what registers without an activation. An instance of EC2 that has an access key for itself needs no
// registration: it is told that it has one, which its agent takes for done.
func (a *registrations) known(c awsjson.Caller, r *wire.RegisterManagedInstanceRequest) error {
	id := inventory.NodeID(text(r.Fingerprint))
	if c.Principal != nil && id.Valid() && !id.Activated() {
		return inventory.Errorf(inventory.InstanceAlreadyRegistered, "The node %s needs no registration: its access key is all it takes.", id)
	}
	return inventory.Errorf(inventory.InvalidActivation, "A machine registers with an ActivationId and an ActivationCode, which CreateActivation gives.")
}

func tooMany() error {
	return inventory.Errorf(inventory.TooManyUpdates, "Too many registrations from this address. Try again later.")
}

func (a *registrations) requestRoleToken(ctx context.Context, c awsjson.Caller, r *wire.RequestManagedInstanceRoleTokenRequest) (*wire.RequestManagedInstanceRoleTokenResponse, error) {
	t, err := a.service.RequestRoleToken(ctx, c.Principal.Node(), c.PublicKey, text(r.Fingerprint))
	if err != nil {
		return nil, refused(err)
	}
	return &wire.RequestManagedInstanceRoleTokenResponse{
		AccessKeyId: t.AccessKeyID, SecretAccessKey: t.Secret, SessionToken: t.SessionToken,
		TokenExpirationDate: t.Expires, UpdateKeyPair: t.UpdateKeyPair,
	}, nil
}

func (a *registrations) updatePublicKey(ctx context.Context, c awsjson.Caller, r *wire.UpdateManagedInstancePublicKeyRequest) (*wire.EmptyMessage, error) {
	err := a.service.UpdatePublicKey(ctx, c.Principal.Node(), c.PublicKey, *r.NewPublicKeyType, *r.NewPublicKey)
	return &wire.EmptyMessage{}, refused(err)
}

// refused gives the error of a request signed with a former key as what it is on the wire: a signature that no longer
// matches. The stock agent then tries its new key.
func refused(err error) error {
	if errors.Is(err, ssm.ErrFormerKey) {
		return &sigv4.Error{Code: sigv4.CodeInvalidSignature, Message: "The request is signed with a key that the node has replaced. Sign with its new one."}
	}
	return err
}

// Keys gives what the requests of a service's managed nodes are verified by.
func Keys(service *ssm.Service) awsjson.Nodes { return keys{service} }

type keys struct{ service *ssm.Service }

func (k keys) PublicKeys(ctx context.Context, node inventory.NodeID) ([]*rsa.PublicKey, *iam.Principal, error) {
	known, err := k.service.NodeIdentity(ctx, node)
	if err != nil {
		return nil, nil, unknown(err)
	}
	return known.Keys, iam.NewNode(known.Node, known.Role, string(node)), nil
}

func (k keys) Session(ctx context.Context, accessKeyID, token string) (sigv4.Key, error) {
	session, err := k.service.OpenRoleToken(ctx, accessKeyID, token)
	if err != nil {
		return sigv4.Key{}, unknown(err)
	}
	return sigv4.Key{
		SecretAccessKey: session.Secret, SessionToken: token, Expires: session.Expires,
		Identity: iam.NewNode(session.Node, session.Role, accessKeyID),
	}, nil
}

// unknown tells what is not there from a store that does not say.
func unknown(err error) error {
	if errors.Is(err, ssm.ErrNotManaged) {
		return sigv4.ErrUnknownKey
	}
	return err
}
