package client

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stocktake/internal/sigv4"
)

const (
	testNode        = "mi-0123456789abcdef0"
	testActivation  = "11111111-2222-4333-8444-555555555555"
	testCode        = "aCodeOfTwentyLetters"
	testFingerprint = "99999999-2222-4333-8444-555555555555"
)

// testKeys are made once: making one takes a good part of a second.
var testKeys = sync.OnceValue(func() (keys [3]*rsa.PrivateKey) {
	for i := range keys {
		key, err := NewKey()
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return keys
})

// authority is a service that registers one node and gives it credentials.
type authority struct {
	*httptest.Server
	mu      sync.Mutex
	public  *rsa.PublicKey
	rotate  bool
	calls   []string // the actions, in the order they came
	tokens  int
	life    time.Duration
	outages map[string][]outage // by action, taken from the front
	passed  time.Duration       // on the clock of the node and the service, beside the true time
}

func (a *authority) now() time.Time { return time.Now().Add(a.passed) }

// outage is what becomes of a call in the place of its answer.
type outage struct {
	status int
	code   string
	late   bool // after the call took effect
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{life: time.Hour, outages: map[string][]outage{}}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	a.calls = append(a.calls, action)
	var o outage
	if left := a.outages[action]; len(left) > 0 {
		o, a.outages[action] = left[0], left[1:]
	}
	answer, refused := map[string]any{}, ""
	if o.status == 0 || o.late {
		answer, refused = a.answer(action, body, r)
	}
	switch {
	case o.status != 0:
		answerError(w, o.status, fmt.Sprintf(`{"__type":%q,"message":"for the test"}`, o.code))
	case refused != "":
		answerError(w, http.StatusBadRequest, fmt.Sprintf(`{"__type":%q,"message":"for the test"}`, refused))
	default:
		_ = json.NewEncoder(w).Encode(answer)
	}
}

func (a *authority) answer(action string, body []byte, r *http.Request) (answer map[string]any, refused string) {
	var request map[string]string
	_ = json.Unmarshal(body, &request)
	if action == "RegisterManagedInstance" {
		if r.Header.Get("Authorization") != "" || request["ActivationId"] != testActivation || request["ActivationCode"] != testCode {
			return nil, "InvalidActivation"
		}
		a.public = parsePublic(request["PublicKey"])
		return map[string]any{"InstanceId": testNode}, ""
	}
	if action == "PutInventory" {
		return map[string]any{"Message": r.Header.Get("X-Amz-Security-Token")}, ""
	}
	verifier := sigv4.Verifier{Service: "ssm"}
	claim, err := verifier.Claim(r, a.now())
	if err != nil || claim.AccessKeyID != testNode || claim.VerifyPSS(sha256.Sum256(body), a.public) != nil {
		return nil, "AccessDeniedException"
	}
	if action == "UpdateManagedInstancePublicKey" {
		a.public, a.rotate = parsePublic(request["NewPublicKey"]), false
		return map[string]any{}, ""
	}
	if request["Fingerprint"] != testFingerprint {
		return nil, "MachineFingerprintDoesNotMatch"
	}
	a.tokens++
	return map[string]any{
		"AccessKeyId": "ASIATEST", "SecretAccessKey": "secret", "SessionToken": fmt.Sprint("token ", a.tokens),
		"TokenExpirationDate": float64(a.now().Add(a.life).UnixMilli()) / 1000, "UpdateKeyPair": a.rotate,
	}, ""
}

func parsePublic(text string) *rsa.PublicKey {
	der, _ := base64.StdEncoding.DecodeString(text)
	key, _ := x509.ParsePKIXPublicKey(der)
	public, _ := key.(*rsa.PublicKey)
	return public
}

func (a *authority) identity() Identity {
	return Identity{Endpoint: a.URL, Region: "eu-west-1", Fingerprint: testFingerprint, Key: testKeys()[0]}
}

// node gives the registered node, which keeps its identity in a file and waits for nothing.
func (a *authority) node(t *testing.T) (n *Node, path string) {
	t.Helper()
	i := a.identity()
	i.Node, a.public = testNode, &i.Key.PublicKey
	path = filepath.Join(t.TempDir(), "identity.json")
	return a.open(t, i, path), path
}

func (a *authority) open(t *testing.T, i Identity, path string) *Node {
	t.Helper()
	n, err := OpenNode(Config{}, i, func(i Identity) error { return i.Save(path) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	n.newKey = func() (*rsa.PrivateKey, error) { return testKeys()[1], nil }
	n.client.now = a.now
	n.client.pause = func(ctx context.Context, _ int) error { return ctx.Err() }
	t.Cleanup(n.client.Close)
	return n
}

func TestRegister(t *testing.T) {
	a := newAuthority(t)
	a.outages["RegisterManagedInstance"] = []outage{{status: 500, code: "InternalServerError"}, {status: 400, code: "TooManyUpdates"}, {status: 400, code: "ThrottlingException"}}
	node, err := Register(t.Context(), Config{}, a.identity(), testActivation, testCode)
	if err != nil || node != testNode || !a.public.Equal(&testKeys()[0].PublicKey) {
		t.Errorf("got %q, %v", node, err)
	}
	_, err = Register(t.Context(), Config{}, a.identity(), testActivation, "another code")
	if refused, ok := errors.AsType[*Error](err); !ok || refused.Code != "InvalidActivation" || len(a.calls) != 5 {
		t.Errorf("got %v after %d calls", err, len(a.calls))
	}
}

func TestCredentialsAreRenewedAtHalfOfTheirLife(t *testing.T) {
	a := newAuthority(t)
	n, _ := a.node(t)
	down := []outage{{status: 500}, {status: 500}, {status: 500}, {status: 500}}
	for _, step := range []struct {
		at    time.Duration
		fails []outage
		token string
		calls int // for tokens, so far
	}{
		{0, nil, "token 1", 1},
		{29 * time.Minute, nil, "token 1", 1},
		{31 * time.Minute, down, "token 1", 5}, // which is good for as long again
		{31*time.Minute + 5*time.Second, nil, "token 1", 5},
		{32 * time.Minute, nil, "token 2", 6},
		{61 * time.Minute, nil, "token 2", 6},
		{92 * time.Minute, nil, "token 3", 7},
	} {
		a.passed = step.at
		a.outages["RequestManagedInstanceRoleToken"] = step.fails
		got, err := n.Credentials(t.Context())
		if err != nil || got.SessionToken != step.token || len(a.calls) != step.calls {
			t.Errorf("at %v: got %q, %v after %d calls, want %q after %d", step.at, got.SessionToken, err, len(a.calls), step.token, step.calls)
		}
	}
}

func TestARefusedNodeLeavesTheServiceAlone(t *testing.T) {
	a := newAuthority(t)
	n, _ := a.node(t)
	a.public = &testKeys()[2].PublicKey
	for _, step := range []struct {
		at    time.Duration
		calls int
	}{{0, 1}, {24 * time.Minute, 1}, {31 * time.Minute, 2}, {54 * time.Minute, 2}} {
		a.passed = step.at
		_, err := n.Client().Do(t.Context(), "PutInventory", nil)
		role, ok := errors.AsType[*RoleError](err)
		if !ok || !role.Refused || !strings.Contains(err.Error(), "the service refuses managed node "+testNode) || len(a.calls) != step.calls {
			t.Errorf("at %v: got %v after %d calls, want %d", step.at, err, len(a.calls), step.calls)
		}
	}
	a.public, a.passed = &testKeys()[0].PublicKey, 2*time.Hour
	if _, err := n.Client().Do(t.Context(), "PutInventory", nil); err != nil {
		t.Errorf("known again: %v", err)
	}
}

func TestNextAttemptGrows(t *testing.T) {
	faults := []struct {
		err         error
		first, last [2]time.Duration
	}{
		{&Error{Status: 400, Code: "AccessDeniedException"}, [2]time.Duration{25 * time.Minute, 30 * time.Minute}, [2]time.Duration{25 * time.Minute, 30 * time.Minute}},
		{&Error{Status: 500, Code: "InternalServerError"}, [2]time.Duration{12 * time.Second, 22 * time.Second}, [2]time.Duration{30 * time.Minute, 30 * time.Minute}},
		{&Error{Status: 400, Code: "InvalidSignatureException"}, [2]time.Duration{12 * time.Second, 22 * time.Second}, [2]time.Duration{30 * time.Minute, 30 * time.Minute}},
		{&Error{Status: 503, Code: "AccessDeniedException"}, [2]time.Duration{12 * time.Second, 22 * time.Second}, [2]time.Duration{30 * time.Minute, 30 * time.Minute}},
		{io.ErrUnexpectedEOF, [2]time.Duration{2 * time.Second, 2 * time.Second}, [2]time.Duration{30 * time.Minute, 30 * time.Minute}},
	}
	for _, f := range faults {
		for failures, bounds := range map[int][2]time.Duration{1: f.first, 1000: f.last} {
			for range 50 {
				if got := nextAttempt(f.err, failures); got < bounds[0] || got > bounds[1] {
					t.Errorf("%v, failure %d: %v is not in %v", f.err, failures, got, bounds)
				}
			}
		}
	}
}

func TestExpiredCredentialsAreReplaced(t *testing.T) {
	a := newAuthority(t)
	n, _ := a.node(t)
	if _, err := n.Credentials(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, code := range []string{"ExpiredTokenException", "UnrecognizedClientException"} {
		a.outages["PutInventory"] = []outage{{status: 400, code: code}}
		answer, err := n.Client().Do(t.Context(), "PutInventory", nil)
		if err != nil || !strings.Contains(string(answer), fmt.Sprint("token ", i+2)) {
			t.Errorf("%s: got %s, %v", code, answer, err)
		}
	}
}

// TestKeyPairChanges takes what can become of the call that hands over a new pair. Afterwards, and also when the node was
// started anew from what it kept, the service and the node have the same pair.
func TestKeyPairChanges(t *testing.T) {
	for name, c := range map[string]struct {
		outages []outage
		changed bool // at once
		pairs   int  // kept right after
	}{
		"taken":                      {nil, true, 1},
		"taken, the answer was lost": {[]outage{{status: 500, late: true}, {status: 400, code: "AccessDeniedException"}}, true, 2},
		"not taken":                  {[]outage{{status: 500}, {status: 500}, {status: 500}, {status: 500}}, false, 2},
		"refused as a key":           {[]outage{{status: 400, code: "InvalidPublicKey"}}, false, 1},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", restart ", restart), func(t *testing.T) {
				a := newAuthority(t)
				n, path := a.node(t)
				a.rotate = true
				a.outages["UpdateManagedInstancePublicKey"] = c.outages
				if _, err := n.Credentials(t.Context()); err != nil {
					t.Fatal(err)
				}
				kept, err := LoadIdentity(path)
				pairs := 1
				if kept.Next != nil {
					pairs = 2
				}
				if err != nil || a.public.Equal(&testKeys()[1].PublicKey) != c.changed || pairs != c.pairs {
					t.Fatalf("changed %v, %d pairs kept, %v", !c.changed, pairs, err)
				}
				if restart {
					n = a.open(t, kept, path)
				}
				a.passed, a.rotate = 40*time.Minute, !c.changed
				if _, err := n.Credentials(t.Context()); err != nil || n.role.expires.Before(a.now().Add(59*time.Minute)) {
					t.Fatalf("no new credentials: %v", err)
				}
				kept, err = LoadIdentity(path)
				if err != nil || !a.public.Equal(&kept.Key.PublicKey) || kept.Next != nil || !kept.Key.Equal(testKeys()[1]) {
					t.Errorf("the service and the node differ, or a pair is left over: %v", err)
				}
			})
		}
	}
}

func TestAPairThatCannotBeKeptIsNotHandedOver(t *testing.T) {
	a := newAuthority(t)
	n, _ := a.node(t)
	n.keep = func(Identity) error { return errors.New("the disk is full") }
	a.rotate = true
	if _, err := n.Credentials(t.Context()); err != nil || len(a.calls) != 1 || n.identity.Next != nil {
		t.Errorf("got %v after %v", err, a.calls)
	}
}

func TestIdentityIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "identity.json")
	if _, err := LoadIdentity(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	want := Identity{Endpoint: "http://h", Region: "r-1", Node: testNode, Fingerprint: "f", CABundle: "/ca.pem", Key: testKeys()[0], Next: testKeys()[1]}
	if err := want.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := LoadIdentity(path)
	if err != nil || !got.Key.Equal(want.Key) || !got.Next.Equal(want.Next) {
		t.Fatalf("got %v, %v", got, err)
	}
	got.Key, got.Next = want.Key, want.Next
	info, err := os.Stat(path)
	if err != nil || got != want || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v of mode %v, %v", got, info.Mode(), err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if text := fmt.Sprintf("%v %+v %#v", got, got, got); strings.Contains(text, "D:") || strings.Contains(text, "Primes") {
		t.Errorf("printed with its keys: %s", text)
	}
	whole, _ := os.ReadFile(path)
	for _, text := range []string{"", "{", "{}", strings.Replace(string(whole), "PRIVATE", "PUBLIC", 1), strings.Replace(string(whole), `"r-1"`, `""`, 1), strings.Repeat(" ", 1<<20)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadIdentity(path); err == nil || !strings.Contains(err.Error(), "is damaged: restore it from a copy") {
			t.Errorf("%.40q: got %v", text, err)
		}
	}
}

func TestOpenNodeNamesWhatIsWrong(t *testing.T) {
	good := Identity{Endpoint: "http://h", Region: "r-1", Node: testNode, Fingerprint: "f", Key: testKeys()[0]}
	unfinished := good
	unfinished.Node = ""
	for _, c := range []struct {
		config   Config
		identity Identity
		text     string
	}{
		{Config{Region: "r-2"}, good, "is registered in r-1, not in r-2"},
		{Config{Endpoint: "nonsense"}, good, "nonsense"},
		{Config{}, unfinished, "no registered node"},
	} {
		if _, err := OpenNode(c.config, c.identity, nil, nil); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("got %v, want %s", err, c.text)
		}
	}
}
