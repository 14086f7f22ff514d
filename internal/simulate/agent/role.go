package agent

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math"
	"time"

	"stocktake/internal/sigv4"
)

// role is what the service gave the node to sign with.
type role struct {
	credentials sigv4.Credentials
	renew       time.Time
}

func (a *Agent) credentials() sigv4.Credentials {
	if a.config.Key.AccessKeyID != "" {
		return a.config.Key
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.role.credentials
}

// renewAt is when the credentials are to be renewed; the zero time: never.
func (a *Agent) renewAt() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.role.renew
}

func public(key *rsa.PrivateKey) string {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		panic(err) // every RSA key has that form
	}
	return base64.StdEncoding.EncodeToString(der)
}

// Register makes the agent's machine a managed node by an activation, and notes the node on the disk, whose key and
// fingerprint there must be. TooManyUpdates and failures without an answer are tried again, as by the stock agent, and so
// is a service that is too busy, for which an administrator would call it again.
func (a *Agent) Register(ctx context.Context, activation, code string) error {
	const tries = 12
	request := struct{ ActivationCode, ActivationId, PublicKey, PublicKeyType, Fingerprint string }{ //nolint:revive,staticcheck // names on the wire
		code, activation, public(a.disk.Key), "Rsa", a.disk.Fingerprint,
	}
	c := call{service: ssm, action: "RegisterManagedInstance", body: encode(request), limit: registerTime}
	for n := 1; ; n++ {
		text, err := a.do(ctx, c)
		if err == nil {
			var answer struct{ InstanceId string } //nolint:revive,staticcheck // names on the wire
			if err := read(c.action, text, &answer, "InstanceId"); err != nil {
				return err
			}
			if len(answer.InstanceId) < 10 {
				return &Crash{c.action, fmt.Sprintf("the node id %q is too short", answer.InstanceId)}
			}
			a.disk.Node = answer.InstanceId
			return nil
		}
		if code := codeOf(err); ctx.Err() != nil || n == tries || code != "" && code != "TooManyUpdates" && code != "ThrottlingException" {
			return err
		}
		if err := a.sleep(ctx, a.scaled(100*time.Millisecond<<min(n, 8)+a.jitterFixed())); err != nil {
			return err
		}
	}
}

func (a *Agent) jitterFixed() time.Duration {
	return time.Duration(a.random.Int64N(int64(time.Second)))
}

// becomeRole asks for the role's credentials until it has them.
func (a *Agent) becomeRole(ctx context.Context) error {
	if a.config.Key.AccessKeyID != "" {
		return nil
	}
	for failures := 1; ; failures++ {
		err := a.token(ctx)
		if err == nil || isCrash(err) {
			return err
		}
		if err := a.sleep(ctx, a.afterFailure(err, failures)); err != nil {
			return err
		}
	}
}

// afterFailure is the wait of a node on the premises before it asks again.
func (a *Agent) afterFailure(err error, failures int) time.Duration {
	const longest = 30 * time.Minute
	doubling := min(time.Second<<min(failures, 12), longest)
	switch codeOf(err) {
	case "":
		return a.scaled(doubling)
	case "AccessDeniedException", "MachineFingerprintDoesNotMatch":
		return a.scaled(25*time.Minute) + a.jitter(5*time.Minute)
	}
	return a.scaled(min(doubling+10*time.Second, longest)) + a.jitter(10*time.Second)
}

// token asks once, and hands over another key pair where the service wants one.
func (a *Agent) token(ctx context.Context) error {
	rotate, err := a.tokenBy(ctx, a.disk.Key)
	if err != nil || !rotate {
		return err
	}
	if a.config.NewKey == nil {
		return &Crash{"RequestManagedInstanceRoleToken", "another key pair is wanted, and there is none"}
	}
	next := a.config.NewKey()
	request := struct{ NewPublicKey, NewPublicKeyType string }{public(next), "Rsa"}
	if _, err := a.do(ctx, a.asNode("UpdateManagedInstancePublicKey", request, a.disk.Key)); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return a.probe(ctx, next)
	}
	a.disk.Key = next
	a.rotations.Add(1)
	_, err = a.tokenBy(ctx, next)
	return err
}

// probe finds out which of two pairs the service has, the old one first.
func (a *Agent) probe(ctx context.Context, next *rsa.PrivateKey) error {
	if _, err := a.tokenBy(ctx, a.disk.Key); err == nil || isCrash(err) {
		return err
	}
	if _, err := a.tokenBy(ctx, next); err != nil {
		return err
	}
	a.disk.Key = next
	a.rotations.Add(1)
	return nil
}

func (a *Agent) tokenBy(ctx context.Context, key *rsa.PrivateKey) (rotate bool, err error) {
	const action = "RequestManagedInstanceRoleToken"
	text, err := a.do(ctx, a.asNode(action, struct{ Fingerprint string }{a.disk.Fingerprint}, key))
	if err != nil {
		return false, err
	}
	var answer struct {
		AccessKeyId, SecretAccessKey, SessionToken string //nolint:revive,staticcheck // names on the wire
		TokenExpirationDate                        float64
		UpdateKeyPair                              bool
	}
	if err := read(action, text, &answer, "AccessKeyId", "SecretAccessKey", "SessionToken", "TokenExpirationDate", "UpdateKeyPair"); err != nil {
		return false, err
	}
	now := time.Now()
	expires := time.UnixMilli(int64(math.Round(answer.TokenExpirationDate * 1000)))
	if life := expires.Sub(now); life <= 0 || life > 7*24*time.Hour {
		return false, &Crash{action, fmt.Sprintf("credentials that last for %v", life)}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.role = role{
		sigv4.Credentials{AccessKeyID: answer.AccessKeyId, SecretAccessKey: answer.SecretAccessKey, SessionToken: answer.SessionToken},
		now.Add(a.scaled(expires.Sub(now) / 2)),
	}
	a.tokens.Add(1)
	return answer.UpdateKeyPair, nil
}
