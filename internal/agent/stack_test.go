package agent_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stocktake/internal/agent"
	"stocktake/internal/api"
	"stocktake/internal/awsjson"
	"stocktake/internal/iam"
	"stocktake/internal/iam/endpoint"
	"stocktake/internal/inventory"
	"stocktake/internal/replica"
	"stocktake/internal/sigv4"
	"stocktake/internal/ssm"
	"stocktake/internal/store"
	"stocktake/internal/store/storetest"
	"stocktake/internal/store/storetest/stores"
)

const region = "eu-north-1"

// The access keys of the tests.
var (
	root  = sigv4.Credentials{AccessKeyID: "AKIAROOT", SecretAccessKey: "root-secret-for-tests"}
	bound = sigv4.Credentials{AccessKeyID: "AKIABOUND", SecretAccessKey: "bound-secret-for-tests"}
	// stranger is the administrator of another account.
	stranger = sigv4.Credentials{AccessKeyID: "AKIASTRANGER", SecretAccessKey: "stranger-secret-for-tests"}
)

const strangers = "111122223333" // the account

// stack is the whole service behind HTTP, from signatures down to a store. It can be closed and opened over what the store
// holds.
type stack struct {
	t      *testing.T
	stores storetest.Maker
	store  store.Store
	dir    string
	config ssm.Config
	agents agent.Config
	tls    bool // with HTTP/2

	replica *replica.Replica
	service *ssm.Service
	users   *iam.Identities
	server  *httptest.Server

	broken atomic.Bool // the store fails

	mu  sync.Mutex
	log bytes.Buffer
}

// faulty is a store that fails while it is broken.
type faulty struct {
	store.Store
	s *stack
}

var errBroken = errors.New("the store is broken")

func (f faulty) Record(ctx context.Context, key string) (store.Record, error) {
	if f.s.broken.Load() {
		return store.Record{}, errBroken
	}
	return f.Store.Record(ctx, key)
}

func (s *stack) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

func (s *stack) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

func newStack(t *testing.T, m storetest.Maker, change func(s *stack)) *stack {
	t.Helper()
	return newStackOver(t, m, m.Open(t), change)
}

// newStackOver is newStack over a store that is open.
func newStackOver(t *testing.T, m storetest.Maker, st store.Store, change func(s *stack)) *stack {
	t.Helper()
	s := &stack{t: t, stores: m, store: st, dir: t.TempDir(), config: ssm.Config{Limits: inventory.DefaultLimits()}}
	if change != nil {
		change(s)
	}
	s.start()
	t.Cleanup(s.stop)
	return s
}

var kinds = stores.All(4)

// overStores runs a test over every kind of store.
func overStores(t *testing.T, test func(t *testing.T, m storetest.Maker)) {
	for _, kind := range kinds {
		t.Run(kind.Name, func(t *testing.T) { test(t, kind) })
	}
}

func (s *stack) start() {
	s.t.Helper()
	log := slog.New(slog.NewJSONHandler(s, nil))
	st := faulty{s.store, s}
	var err error
	if s.replica, err = replica.Open(context.Background(), st, replica.Options{Dir: s.dir, Limits: s.config.Limits}); err != nil {
		s.t.Fatal(err)
	}
	s.config.Logger, s.agents.Log = log, log
	if s.service, err = ssm.New(st, s.replica, s.config); err != nil {
		s.t.Fatal(err)
	}
	if err := s.service.Start(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	keys, err := iam.New(iam.Key{ID: root.AccessKeyID, Secret: root.SecretAccessKey}, []iam.Account{{ID: iam.RootAccount, Keys: []iam.Key{
		{ID: bound.AccessKeyID, Secret: bound.SecretAccessKey, Nodes: []string{"i-b0*"}},
	}}, {ID: strangers, Keys: []iam.Key{{ID: stranger.AccessKeyID, Secret: stranger.SecretAccessKey}}}})
	if err != nil {
		s.t.Fatal(err)
	}
	if s.users, err = iam.Open(iam.Options{Store: st, Log: log}); err != nil {
		s.t.Fatal(err)
	}
	handler, err := awsjson.New(awsjson.Config{
		Keys: keys, Identities: s.users, Forms: endpoint.New(s.users), Tags: api.Tags(s.service), Nodes: agent.Keys(s.service), Rows: append(api.Rows(s.service), agent.Rows(s.service, s.agents)...), Log: log,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.server = httptest.NewUnstartedServer(handler)
	s.server.EnableHTTP2 = s.tls
	if s.tls {
		s.server.StartTLS()
	} else {
		s.server.Start()
	}
}

func (s *stack) stop() {
	s.t.Helper()
	s.server.Close()
	s.users.Close(context.Background())
	s.service.Stop()
	if err := s.replica.Close(); err != nil {
		s.t.Error(err)
	}
}

func (s *stack) restart() {
	s.t.Helper()
	s.stop()
	if s.stores.Reopen != nil {
		s.store = s.stores.Reopen(s.t, s.store)
	}
	s.start()
}

// answer is what came back of a call.
type answer struct {
	status int
	body   string
}

func (a answer) code() string {
	var e struct {
		Type string `json:"__type"`
	}
	_ = json.Unmarshal([]byte(a.body), &e) // no JSON has no code
	return e.Type
}

// is fails the test unless the call was refused with the code, or went well for "".
func (a answer) is(t *testing.T, code string) {
	t.Helper()
	if a.code() != code || (code == "") != (a.status == http.StatusOK) {
		t.Errorf("answered %d %s, want %q", a.status, a.body, code)
	}
}

// sign signs a request that is about to be sent.
type sign func(r *http.Request, bodyHash [32]byte) error

func unsigned(*http.Request, [32]byte) error { return nil }

func by(c sigv4.Credentials) sign {
	return func(r *http.Request, hash [32]byte) error {
		return sigv4.Sign(r, hash, c, region, serviceOf(r), time.Now())
	}
}

func serviceOf(r *http.Request) string {
	if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "EC2WindowsMessageDeliveryService.") {
		return "ec2messages"
	}
	return "ssm"
}

// byPair signs with a node's key pair.
func byPair(node string, key *rsa.PrivateKey) sign {
	return func(r *http.Request, hash [32]byte) error {
		return sigv4.SignPSS(r, hash, node, region, "ssm", time.Now(), key)
	}
}

// call sends a request as the stock agent does: what no access key signs goes in chunks.
func (s *stack) call(action, body string, sign sign) answer {
	s.t.Helper()
	target := action
	if !strings.Contains(action, ".") {
		target = "AmazonSSM." + action
	}
	r, err := http.NewRequest(http.MethodPost, s.server.URL+"/", struct{ io.Reader }{strings.NewReader(body)})
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", target)
	if err := sign(r, sha256.Sum256([]byte(body))); err != nil {
		s.t.Fatal(err)
	}
	got, err := s.server.Client().Do(r)
	if err != nil {
		s.t.Error(err)
		return answer{}
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		s.t.Error(err)
	}
	if s.tls != (got.ProtoMajor == 2) {
		s.t.Errorf("answered by %s", got.Proto)
	}
	return answer{got.StatusCode, string(text)}
}

// into reads an answer that must be one of success.
func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("answered %d %s", a.status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatal(err)
	}
}

// activation is what CreateActivation answers.
type activation struct {
	ID   string `json:"ActivationId"`
	Code string `json:"ActivationCode"`
}

func (s *stack) activate(members string) activation {
	s.t.Helper()
	var a activation
	s.call("CreateActivation", `{"IamRole":"inventory"`+members+`}`, by(root)).into(s.t, &a)
	return a
}

// pairs are key pairs of the tests, made once: to make one takes long.
var pairs = sync.OnceValue(func() []*rsa.PrivateKey {
	made := make([]*rsa.PrivateKey, 3)
	for i := range made {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		made[i] = key
	}
	return made
})

func publicText(key *rsa.PrivateKey) string {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		panic(err) // of a key that was just made
	}
	return base64.StdEncoding.EncodeToString(der)
}

const fingerprint = "1c2d3e4f-0000-4000-8000-000000000001"

func registerBody(a activation, key *rsa.PrivateKey, fingerprint string) string {
	return fmt.Sprintf(`{"ActivationCode":%q,"ActivationId":%q,"PublicKey":%q,"PublicKeyType":"Rsa","Fingerprint":%q}`,
		a.Code, a.ID, publicText(key), fingerprint)
}

// register makes a node and gives its id.
func (s *stack) register(a activation, key *rsa.PrivateKey) string {
	s.t.Helper()
	var node struct {
		ID string `json:"InstanceId"`
	}
	s.call("RegisterManagedInstance", registerBody(a, key, fingerprint), unsigned).into(s.t, &node)
	return node.ID
}

// token is what RequestManagedInstanceRoleToken answers.
type token struct {
	AccessKeyID                   *string `json:"AccessKeyId"`
	SecretAccessKey, SessionToken *string
	TokenExpirationDate           *float64
	UpdateKeyPair                 *bool
}

func (k token) credentials() sigv4.Credentials {
	return sigv4.Credentials{AccessKeyID: *k.AccessKeyID, SecretAccessKey: *k.SecretAccessKey, SessionToken: *k.SessionToken}
}

func (s *stack) requestToken(node string, key *rsa.PrivateKey) answer {
	return s.call("RequestManagedInstanceRoleToken", `{"Fingerprint":"`+fingerprint+`"}`, byPair(node, key))
}

func (s *stack) token(node string, key *rsa.PrivateKey) token {
	s.t.Helper()
	var k token
	s.requestToken(node, key).into(s.t, &k)
	if k.AccessKeyID == nil || k.SecretAccessKey == nil || k.SessionToken == nil || k.TokenExpirationDate == nil || k.UpdateKeyPair == nil {
		s.t.Fatalf("a member is missing: %+v", k)
	}
	return k
}

func putBody(node string) string {
	return `{"InstanceId":"` + node + `","Items":[{"TypeName":"AWS:Application","SchemaVersion":"1.1",` +
		`"CaptureTime":"2026-01-02T03:04:05Z","Content":[{"Name":"a"}]}]}`
}
