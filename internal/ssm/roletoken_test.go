package ssm_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
)

func (tr *trial) token(key inventory.NodeKey, n int) ssm.RoleToken {
	tr.t.Helper()
	token, err := tr.RequestRoleToken(tr.t.Context(), key, &machineKey().PublicKey, fmt.Sprint("machine ", n))
	if err != nil {
		tr.t.Fatal(err)
	}
	return token
}

// TestTokenIsOpenedByEveryServer has no server keep anything of the tokens it gives.
func TestTokenIsOpenedByEveryServer(t *testing.T) {
	servers := newServers(t, 2)
	defer stopAll(servers)
	g := servers[0].activate(ssm.CreateActivationInput{})
	key := servers[0].mustRegister(g.machine(1))
	token := servers[0].token(key, 1)
	servers[1].restart()
	for _, s := range servers {
		session, err := s.OpenRoleToken(t.Context(), token.AccessKeyID, token.SessionToken)
		if err != nil || session.Node != key || session.Role != "inventory" || session.Secret != token.Secret || !session.Expires.Equal(token.Expires) {
			t.Errorf("opened as %+v, %v", session, err)
		}
	}
	if err := servers[1].DeregisterManagedNode(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	for _, s := range servers {
		if _, err := s.OpenRoleToken(t.Context(), token.AccessKeyID, token.SessionToken); !errors.Is(err, ssm.ErrNotManaged) {
			t.Errorf("after the end: %v", err)
		}
		_, err := s.RequestRoleToken(t.Context(), key, &machineKey().PublicKey, "machine 1")
		wantCode(t, err, inventory.AccessDenied)
	}
}

func TestTokenWithAnyBitChangedIsNone(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := mathrand.New(mathrand.NewPCG(seed, 0))
	tr, foreign := newTrial(t), newTrial(t)
	defer tr.stop()
	defer foreign.stop()
	token := tr.token(tr.mustRegister(tr.activate(ssm.CreateActivationInput{}).machine(1)), 1)
	refused := func(s *trial, id, session string) {
		t.Helper()
		if got, err := s.OpenRoleToken(t.Context(), id, session); !errors.Is(err, ssm.ErrNotManaged) {
			t.Errorf("%s with %q: %+v, %v", id, session, got, err)
		}
	}
	raw, err := base64.RawURLEncoding.DecodeString(token.SessionToken)
	if err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		changed := append([]byte(nil), raw...)
		changed[random.IntN(len(changed))] ^= 1 << random.IntN(8)
		refused(tr, token.AccessKeyID, base64.RawURLEncoding.EncodeToString(changed))
	}
	for _, session := range []string{"", "A", token.SessionToken[:20], token.SessionToken + "A", token.SessionToken + "\n", strings.Repeat("A", 5000), "*"} {
		refused(tr, token.AccessKeyID, session)
	}
	for _, id := range []string{"", "ASIA", token.AccessKeyID + "A", token.AccessKeyID[:19] + "a", "ASIAAAAAAAAAAAAAAAAA"} {
		refused(tr, id, token.SessionToken)
	}
	refused(foreign, token.AccessKeyID, token.SessionToken)
	for _, text := range []string{fmt.Sprintf("%v %+v %#v", token, token, token), fmt.Sprintf("%+v %#v", ssm.RoleSession{Secret: "hidden"}, ssm.RoleSession{Secret: "hidden"})} {
		if strings.Contains(text, token.Secret) || strings.Contains(text, "hidden") {
			t.Error("a secret is printed")
		}
	}
}

func TestTokensAreShortLived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t)
		defer tr.stop()
		token := tr.token(tr.mustRegister(tr.activate(ssm.CreateActivationInput{}).machine(1)), 1)
		if left := time.Until(token.Expires); left > time.Hour || left < time.Hour-time.Second {
			t.Errorf("it is good for %v", left)
		}
		time.Sleep(time.Hour)
		session, err := tr.OpenRoleToken(t.Context(), token.AccessKeyID, token.SessionToken)
		if err != nil || !session.Expires.Equal(token.Expires) {
			t.Errorf("past its end it is %+v, %v", session, err)
		}
	})
}

// TestOldKeyIsToBeReplaced has a node asked for a new key pair once its own is old enough, until it has one.
func TestOldKeyIsToBeReplaced(t *testing.T) {
	next, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	machineKey()
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t)
		tr.stop()
		tr.config.KeyRotation = 10 * day
		tr.start()
		defer tr.stop()
		key := tr.mustRegister(tr.activate(ssm.CreateActivationInput{}).machine(1))
		ask := func(with *rsa.PrivateKey) bool {
			t.Helper()
			token, err := tr.RequestRoleToken(t.Context(), key, &with.PublicKey, "machine 1")
			if err != nil {
				t.Fatal(err)
			}
			return token.UpdateKeyPair
		}
		time.Sleep(10*day - time.Minute)
		if ask(machineKey()) {
			t.Error("a new key is to be replaced")
		}
		time.Sleep(time.Minute)
		for range 2 {
			if !ask(machineKey()) {
				t.Error("an old key is not to be replaced")
			}
		}
		if err := tr.UpdatePublicKey(t.Context(), key, &machineKey().PublicKey, "Rsa", encodedKey(&next.PublicKey)); err != nil {
			t.Fatal(err)
		}
		if ask(next) {
			t.Error("the new key is to be replaced")
		}
		if _, err := tr.RequestRoleToken(t.Context(), key, &machineKey().PublicKey, "machine 1"); !errors.Is(err, ssm.ErrFormerKey) {
			t.Errorf("by its former key: %v", err)
		}
	})
}

// TestRacingKeysLeaveOne has two requests replace a key at once: one of them wins, and its key is the node's.
func TestRacingKeysLeaveOne(t *testing.T) {
	tr := newTrial(t)
	defer tr.stop()
	key := tr.mustRegister(tr.activate(ssm.CreateActivationInput{}).machine(1))
	type outcome struct {
		key *rsa.PrivateKey
		err error
	}
	outcomes := make(chan outcome, 2)
	for range 2 {
		next, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			outcomes <- outcome{next, tr.UpdatePublicKey(t.Context(), key, &machineKey().PublicKey, "Rsa", encodedKey(&next.PublicKey))}
		}()
	}
	won := 0
	for range 2 {
		o := <-outcomes
		_, err := tr.RequestRoleToken(t.Context(), key, &o.key.PublicKey, "machine 1")
		if (o.err == nil) != (err == nil) || o.err != nil && !errors.Is(o.err, ssm.ErrFormerKey) {
			t.Errorf("replaced: %v; then a token: %v", o.err, err)
		}
		if o.err == nil {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d keys won", won)
	}
}
