package agent_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stocktake/internal/sigv4"
	"stocktake/internal/ssm"
	"stocktake/internal/store/storetest"
)

// TestMachineBecomesNode goes the way of a machine over every kind of store, over http and https, with the service
// restarted in the middle.
func TestMachineBecomesNode(t *testing.T) {
	overStores(t, func(t *testing.T, m storetest.Maker) {
		for _, tls := range []bool{false, true} {
			t.Run(fmt.Sprint("tls=", tls), func(t *testing.T) {
				s := newStack(t, m, func(s *stack) { s.tls, s.config.StrictEnrollment = tls, true })
				key := pairs()[0]
				a := s.activate(`,"DefaultInstanceName":"web","Tags":[{"Key":"Stage","Value":"test"}]`)
				node := s.register(a, key)
				if len(node) != 20 || !strings.HasPrefix(node, "mi-") {
					t.Fatalf("the node is %q", node)
				}
				if again := s.register(a, key); again != node {
					t.Errorf("registered again it is %s, not %s", again, node)
				}
				before := s.token(node, key).credentials()
				s.restart()
				after := s.token(node, key).credentials()
				for _, c := range []sigv4.Credentials{before, after} {
					s.call("PutInventory", putBody(node), by(c)).is(t, "")
				}
				var listed struct{ TagList []struct{ Key, Value string } }
				s.call("ListTagsForResource", `{"ResourceType":"ManagedInstance","ResourceId":"`+node+`"}`, by(root)).into(t, &listed)
				if len(listed.TagList) != 1 || listed.TagList[0].Value != "test" {
					t.Errorf("tags: %v", listed)
				}
				s.call("DeregisterManagedInstance", `{"InstanceId":"`+node+`"}`, by(root)).is(t, "")
				s.call("PutInventory", putBody(node), by(after)).is(t, "UnrecognizedClientException")
				s.requestToken(node, key).is(t, "AccessDeniedException")
				s.call("DeregisterManagedInstance", `{"InstanceId":"`+node+`"}`, by(root)).is(t, "InvalidInstanceId")
				secretsStayOutOfLogs(t, s, a.Code, publicText(key), before.SecretAccessKey, before.SessionToken, after.SessionToken)
			})
		}
	})
}

func secretsStayOutOfLogs(t *testing.T, s *stack, secrets ...string) {
	t.Helper()
	log := s.logged()
	if !strings.Contains(log, "a node registered") {
		t.Error("no line says that the node registered")
	}
	for _, secret := range secrets {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// TestSlotsAreExact has 200 machines register at once with an activation for half of them, and for one, at one server and at
// two.
func TestSlotsAreExact(t *testing.T) {
	overStores(t, func(t *testing.T, m storetest.Maker) {
		first := newStack(t, m, nil)
		slotsAreExact(t, 1, first, first)
		if m.Handle != nil {
			slotsAreExact(t, 100, first, newStackOver(t, m, m.Handle(t, first.store), nil))
		} else {
			slotsAreExact(t, 100, first, first)
		}
	})
}

func slotsAreExact(t *testing.T, limit int, servers ...*stack) {
	t.Helper()
	const machines = 200
	a := servers[0].activate(fmt.Sprintf(`,"RegistrationLimit":%d`, limit))
	var nodes sync.Map
	var refused atomic.Int32
	var wg sync.WaitGroup
	for i := range machines {
		wg.Go(func() {
			for {
				got := servers[i%2].call("RegisterManagedInstance", registerBody(a, pairs()[0], fmt.Sprint("machine ", i)), unsigned)
				switch {
				case got.status == http.StatusOK:
					nodes.Store(got.body, true)
				case got.code() == "RegistrationLimitExceeded":
					refused.Add(1)
				case got.code() == "TooManyUpdates":
					continue // as agents do
				default:
					t.Errorf("answered %d %s", got.status, got.body)
				}
				return
			}
		})
	}
	wg.Wait()
	registered := 0
	nodes.Range(func(any, any) bool { registered++; return true })
	if registered != limit || int(refused.Load()) != machines-limit {
		t.Errorf("%d registered and %d were refused", registered, refused.Load())
	}
	var listed struct {
		ActivationList []struct{ RegistrationsCount int }
	}
	servers[1].call("DescribeActivations", `{"Filters":[{"FilterKey":"ActivationIds","FilterValues":["`+a.ID+`"]}]}`, by(root)).into(t, &listed)
	if len(listed.ActivationList) != 1 || listed.ActivationList[0].RegistrationsCount != limit {
		t.Errorf("listed: %+v", listed)
	}
}

// memoryStore is the kind of store of tests that do not look at it.
func memoryStore(t *testing.T, change func(s *stack)) *stack {
	t.Helper()
	return newStack(t, kinds[0], change)
}

func TestRegistrationRefusals(t *testing.T) {
	s := memoryStore(t, func(s *stack) { s.agents.RegistrationRate = 1 })
	a := s.activate("")
	key := pairs()[0]
	wrongID, wrongCode := a, a
	wrongID.ID = "00000000-0000-4000-8000-000000000000"
	wrongCode.Code = strings.Repeat("A", 20)
	first := s.call("RegisterManagedInstance", registerBody(wrongID, key, fingerprint), unsigned)
	second := s.call("RegisterManagedInstance", registerBody(wrongCode, key, fingerprint), unsigned)
	if first != second {
		t.Errorf("a wrong id and a wrong code differ: %v, %v", first, second)
	}
	first.is(t, "InvalidActivation")
	for name, change := range map[string]func(body string) string{
		"another type": func(b string) string { return strings.Replace(b, `"Rsa"`, `"Ec"`, 1) },
		"no base64":    func(b string) string { return strings.Replace(b, `"PublicKey":"`, `"PublicKey":"*`, 1) },
		"no key":       func(b string) string { return strings.Replace(b, publicText(key), "AAAA", 1) },
		"missing":      func(b string) string { return strings.Replace(b, publicText(key), "", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			s.call("RegisterManagedInstance", change(registerBody(a, key, fingerprint)), unsigned).is(t, "InvalidPublicKey")
		})
	}
	s.call("RegisterManagedInstance", `{}`, unsigned).is(t, "InvalidActivation")
	s.call("RegisterManagedInstance", `[]`, unsigned).is(t, "SerializationException")
	s.call("RegisterManagedInstance", `{"Fingerprint":"`+strings.Repeat("f", 70_000)+`"}`, unsigned).is(t, "RequestEntityTooLargeException")
	// None of these took a slot, and whoever guesses is made to wait.
	s.register(a, key)
	for range 20 {
		s.call("RegisterManagedInstance", registerBody(wrongCode, key, fingerprint), unsigned)
	}
	s.call("RegisterManagedInstance", registerBody(a, key, fingerprint), unsigned).is(t, "TooManyUpdates")
}

func TestSourceIsBounded(t *testing.T) {
	s := memoryStore(t, func(s *stack) { s.agents.RegistrationRate = 1 })
	a := s.activate(`,"RegistrationLimit":1000`)
	refused := 0
	for i := range 40 {
		if s.call("RegisterManagedInstance", registerBody(a, pairs()[0], fmt.Sprint(i)), unsigned).code() == "TooManyUpdates" {
			refused++
		}
	}
	if refused < 10 || refused > 20 {
		t.Errorf("%d of 40 were refused", refused)
	}
}

// TestInstanceWithKeyNeedsNoRegistration is the way of an EC2 instance: its agent takes the refusal for done.
func TestInstanceWithKeyNeedsNoRegistration(t *testing.T) {
	s := memoryStore(t, nil)
	body := func(id string) string {
		return fmt.Sprintf(`{"Fingerprint":%q,"PublicKey":%q,"PublicKeyType":"Rsa"}`, id, publicText(pairs()[0]))
	}
	s.call("RegisterManagedInstance", body("i-b0000001"), by(bound)).is(t, "InstanceAlreadyRegistered")
	s.call("RegisterManagedInstance", body("i-c0000001"), by(bound)).is(t, "AccessDeniedException")
	s.call("RegisterManagedInstance", body("i-c0000001"), by(root)).is(t, "InstanceAlreadyRegistered")
	s.call("RegisterManagedInstance", body("i-c0000001"), unsigned).is(t, "InvalidActivation")
	wrong := root
	wrong.SecretAccessKey += "x"
	s.call("RegisterManagedInstance", body("i-c0000001"), by(wrong)).is(t, "InvalidSignatureException")
}

// TestKeyOfAnotherAccountRegistersNothing: a node of one account would be the doing of a key of another.
func TestKeyOfAnotherAccountRegistersNothing(t *testing.T) {
	s := memoryStore(t, nil)
	a := s.activate(`,"RegistrationLimit":2`)
	body := registerBody(a, pairs()[0], fingerprint)
	s.call("RegisterManagedInstance", body, by(stranger)).is(t, "InvalidActivation")
	if answer := s.call("RegisterManagedInstance", body, by(root)); answer.status != http.StatusOK {
		t.Errorf("by a key of its own account: %v", answer)
	}
}

func TestKeyPairIsReplacedAtomically(t *testing.T) {
	overStores(t, func(t *testing.T, m storetest.Maker) {
		s := newStack(t, m, func(s *stack) { s.config.KeyRotation = time.Nanosecond })
		first, second, third := pairs()[0], pairs()[1], pairs()[2]
		node := s.register(s.activate(""), first)
		if !*s.token(node, first).UpdateKeyPair {
			t.Error("an old key is not to be replaced")
		}
		body := `{"NewPublicKey":"` + publicText(second) + `","NewPublicKeyType":"Rsa"}`
		s.call("UpdateManagedInstancePublicKey", body, byPair(node, third)).is(t, "InvalidSignatureException")
		s.call("UpdateManagedInstancePublicKey", `{"NewPublicKey":"AAAA","NewPublicKeyType":"Rsa"}`, byPair(node, first)).is(t, "InvalidPublicKey")
		s.call("UpdateManagedInstancePublicKey", body, byPair(node, first)).is(t, "")
		// The answer may have been lost: asked again by either key, it is the same.
		s.call("UpdateManagedInstancePublicKey", body, byPair(node, first)).is(t, "")
		s.call("UpdateManagedInstancePublicKey", body, byPair(node, second)).is(t, "")
		s.requestToken(node, first).is(t, "InvalidSignatureException")
		s.token(node, second)
		other := strings.Replace(body, publicText(second), publicText(third), 1)
		s.call("UpdateManagedInstancePublicKey", other, byPair(node, first)).is(t, "InvalidSignatureException")
		s.restart()
		s.requestToken(node, first).is(t, "InvalidSignatureException")
		s.token(node, second)
	})
}

func TestTokenIsOfItsNodeAndRegion(t *testing.T) {
	s := memoryStore(t, nil)
	a := s.activate(`,"RegistrationLimit":2`)
	one, other := s.register(a, pairs()[0]), s.register(a, pairs()[1])
	mine := s.token(one, pairs()[0]).credentials()
	s.call("PutInventory", putBody(other), by(mine)).is(t, "AccessDeniedException")
	abroad := func(r *http.Request, hash [32]byte) error {
		return sigv4.Sign(r, hash, mine, "us-east-1", "ssm", time.Now())
	}
	s.call("PutInventory", putBody(one), abroad).is(t, "InvalidSignatureException")
	s.call("GetInventory", `{}`, by(mine)).is(t, "AccessDeniedException")
	s.call("PutInventory", strings.Replace(strings.Replace(putBody(one), "AWS:Application", "AWS:InstanceInformation", 1), "1.1", "1.0", 1), by(mine)).is(t, "InvalidTypeNameException")
	for name, change := range map[string]func(c *sigv4.Credentials){
		"another secret":   func(c *sigv4.Credentials) { c.SecretAccessKey = strings.ToLower(c.SecretAccessKey) },
		"no token":         func(c *sigv4.Credentials) { c.SessionToken = "" },
		"another's token":  func(c *sigv4.Credentials) { c.SessionToken = s.token(other, pairs()[1]).credentials().SessionToken },
		"a spoilt token":   func(c *sigv4.Credentials) { c.SessionToken = "A" + c.SessionToken[1:] + "A" },
		"another key's id": func(c *sigv4.Credentials) { c.AccessKeyID = "ASIAAAAAAAAAAAAAAAAA" },
		"a token on a root": func(c *sigv4.Credentials) {
			*c = sigv4.Credentials{AccessKeyID: root.AccessKeyID, SecretAccessKey: root.SecretAccessKey, SessionToken: c.SessionToken}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := mine
			change(&c)
			if got := s.call("PutInventory", putBody(one), by(c)); got.status != http.StatusBadRequest {
				t.Errorf("answered %d %s", got.status, got.body)
			}
		})
	}
	s.call("PutInventory", putBody(one), by(mine)).is(t, "")
}

func TestFingerprintIsComparedForEquality(t *testing.T) {
	s := memoryStore(t, nil)
	node := s.register(s.activate(""), pairs()[0])
	for body, code := range map[string]string{
		`{"Fingerprint":"` + fingerprint + `"}`:                  "",
		`{"Fingerprint":"` + strings.ToUpper(fingerprint) + `"}`: "MachineFingerprintDoesNotMatch",
		`{"Fingerprint":""}`:                                     "MachineFingerprintDoesNotMatch",
		`{}`:                                                     "MachineFingerprintDoesNotMatch",
	} {
		s.call("RequestManagedInstanceRoleToken", body, byPair(node, pairs()[0])).is(t, code)
	}
}

// TestTerminatedNodeIsRefusedUntilRevived holds the commands that care for nodes to those that registered.
func TestTerminatedNodeIsRefusedUntilRevived(t *testing.T) {
	s := memoryStore(t, nil)
	key := pairs()[0]
	a := s.activate(`,"RegistrationLimit":5`)
	node := s.register(a, key)
	mine := s.token(node, key).credentials()
	own := func(action, id string) { s.call("Stocktake."+action, `{"NodeId":"`+id+`"}`, by(root)).is(t, "") }
	own("TerminateNode", node)
	s.call("PutInventory", putBody(node), by(mine)).is(t, "UnrecognizedClientException")
	s.requestToken(node, key).is(t, "AccessDeniedException")
	own("RegisterNode", node)
	s.call("PutInventory", putBody(node), by(mine)).is(t, "")
	s.token(node, key)
	own("RemoveNode", node)
	s.requestToken(node, key).is(t, "AccessDeniedException")
	s.call("PutInventory", putBody(node), by(mine)).is(t, "UnrecognizedClientException")
	// The machine comes back as another node, and what is revived by hand gets no credentials of before.
	own("RegisterNode", node)
	s.requestToken(node, key).is(t, "AccessDeniedException")
	again := s.register(a, key)
	if again == node {
		t.Error("an id was given twice")
	}
	s.call("PutInventory", putBody(again), by(s.token(again, key).credentials())).is(t, "")
	s.call("PutInventory", putBody(again), by(mine)).is(t, "UnrecognizedClientException")
}

func TestRoleOfTokenFollowsTheNode(t *testing.T) {
	s := memoryStore(t, nil)
	node := s.register(s.activate(""), pairs()[0])
	s.call("UpdateManagedInstanceRole", `{"InstanceId":"`+node+`","IamRole":"service-role/other"}`, by(root)).is(t, "")
	s.call("UpdateManagedInstanceRole", `{"InstanceId":"mi-00000000000000000","IamRole":"other"}`, by(root)).is(t, "InvalidInstanceId")
	got := s.call("GetInventory", `{}`, by(s.token(node, pairs()[0]).credentials()))
	if !strings.Contains(got.body, "arn:aws:sts::000000000000:assumed-role/service-role/other/"+node) {
		t.Error(got.body)
	}
}

// TestFaultOfTheStoreIsNeverTheCallers breaks the store: an agent gives up on what it is told is its own fault.
func TestFaultOfTheStoreIsNeverTheCallers(t *testing.T) {
	s := memoryStore(t, nil)
	a := s.activate(`,"RegistrationLimit":5`)
	node := s.register(a, pairs()[0])
	mine := s.token(node, pairs()[0]).credentials()
	s.broken.Store(true)
	for name, got := range map[string]answer{
		"register": s.call("RegisterManagedInstance", registerBody(a, pairs()[1], fingerprint), unsigned),
		"token":    s.requestToken(node, pairs()[0]),
		"report":   s.call("PutInventory", putBody(node), by(mine)),
		"rotate":   s.call("UpdateManagedInstancePublicKey", `{"NewPublicKey":"`+publicText(pairs()[1])+`","NewPublicKeyType":"Rsa"}`, byPair(node, pairs()[0])),
	} {
		if got.status != http.StatusInternalServerError || got.code() != "InternalServerError" {
			t.Errorf("%s: answered %d %s", name, got.status, got.body)
		}
	}
	s.broken.Store(false)
	s.call("PutInventory", putBody(node), by(mine)).is(t, "")
}

func TestTokenEnds(t *testing.T) {
	s := memoryStore(t, func(s *stack) { s.config.RoleTokenTTL = time.Second })
	node := s.register(s.activate(""), pairs()[0])
	k := s.token(node, pairs()[0])
	time.Sleep(time.Until(time.UnixMilli(int64(*k.TokenExpirationDate * 1000))))
	s.call("PutInventory", putBody(node), by(k.credentials())).is(t, "ExpiredTokenException")
	if ssm.DefaultRoleTokenTTL != time.Hour {
		t.Error("tokens last longer than documented")
	}
}
