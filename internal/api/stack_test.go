package api_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"stocktake/internal/agent"
	"stocktake/internal/api"
	"stocktake/internal/awsjson"
	"stocktake/internal/iam"
	"stocktake/internal/inventory"
	"stocktake/internal/replica"
	"stocktake/internal/sigv4"
	"stocktake/internal/ssm"
	"stocktake/internal/store"
	"stocktake/internal/store/storetest"
)

// stack is the whole service in one process, from signed HTTP down to a store. Restart closes and opens everything over
// what the store holds.
type stack struct {
	stores storetest.Maker
	store  store.Store // as opened, below the faults
	faults *faults
	dir    string // of the snapshot
	config ssm.Config

	replica *replica.Replica
	service *ssm.Service
	handler http.Handler
}

// The keys of the tests, by the name a script gives them.
var keys = map[string]sigv4.Credentials{
	"root":    {AccessKeyID: "AKIAROOT", SecretAccessKey: "root-secret-for-tests"},
	"other":   {AccessKeyID: "AKIAOTHER", SecretAccessKey: "other-secret-for-tests"},
	"bound":   {AccessKeyID: "AKIABOUND", SecretAccessKey: "bound-secret-for-tests"},
	"reader":  {AccessKeyID: "AKIAREADER", SecretAccessKey: "reader-secret-for-tests"},
	"unknown": {AccessKeyID: "AKIANOBODY", SecretAccessKey: "nobodys-secret-for-tests"},
	"wrong":   {AccessKeyID: "AKIAROOT", SecretAccessKey: "not-the-secret-of-root"},
}

// accounts are the tenants: `other` is an administrator of another account; `bound` a node's key and `reader` one that
// only reads, both of the root's account.
func accounts() []iam.Account {
	key := func(name string) iam.Key {
		return iam.Key{ID: keys[name].AccessKeyID, Secret: keys[name].SecretAccessKey}
	}
	bound, reader := key("bound"), key("reader")
	bound.Nodes = []string{"i-b0*"}
	reader.Actions = []string{"ssm:Get*", "ssm:List*", "ssm:Describe*"}
	return []iam.Account{
		{ID: iam.RootAccount, Keys: []iam.Key{bound, reader}},
		{ID: "111122223333", Keys: []iam.Key{key("other")}},
	}
}

var discard = slog.New(slog.DiscardHandler)

func newStack(t *testing.T, m storetest.Maker) *stack {
	t.Helper()
	s := &stack{stores: m, store: m.Open(t), faults: newFaults(), dir: t.TempDir(), config: ssm.Config{Limits: inventory.DefaultLimits()}}
	s.start(t)
	t.Cleanup(func() { s.stop(t) })
	return s
}

// again closes everything and opens it over what the store holds. A store that forgets stays open.
func (s *stack) again(t testing.TB, config ssm.Config) {
	t.Helper()
	s.stop(t)
	if s.stores.Reopen != nil {
		s.store = s.stores.Reopen(t, s.store)
	}
	s.config = config
	s.start(t)
}

func (s *stack) start(t testing.TB) {
	t.Helper()
	ctx := context.Background()
	var err error
	st := faulty{s.store, s.faults}
	if s.replica, err = replica.Open(ctx, st, replica.Options{Dir: s.dir, Limits: s.config.Limits}); err != nil {
		t.Fatal(err)
	}
	if s.service, err = ssm.New(st, s.replica, s.config); err != nil {
		t.Fatal(err)
	}
	if err = s.service.Start(ctx); err != nil {
		t.Fatal(err)
	}
	root := iam.Key{ID: keys["root"].AccessKeyID, Secret: keys["root"].SecretAccessKey}
	directory, err := iam.New(root, accounts())
	if err != nil {
		t.Fatal(err)
	}
	if s.handler, err = awsjson.New(awsjson.Config{Keys: directory, Rows: slices.Concat(api.Rows(s.service), agent.Rows(s.service, agent.Config{Log: discard})), Log: discard, Observe: s.observe}); err != nil {
		t.Fatal(err)
	}
}

// observe keeps what nodes are refused for, as the server does.
func (s *stack) observe(_ *http.Request, o awsjson.Observation) {
	if o.Code != "" && o.Node != "" && (o.Action == "PutInventory" || o.Action == "UpdateInstanceInformation") {
		s.service.NoteRefusal(inventory.NodeKey{Partition: o.Partition, Node: o.Node}, o.Action, o.Code, o.Text)
	}
}

func (s *stack) stop(t testing.TB) {
	t.Helper()
	s.service.Stop()
	if err := s.replica.Close(); err != nil {
		t.Error(err)
	}
}

// request is one call, as a script describes it.
type request struct {
	target      string
	body        string
	key         string
	region      string
	contentType string
	service     string        // of the signature; empty: ssm
	clock       time.Duration // of the signature, from now
	unsigned    bool
}

// do sends a request through the handler.
func (s *stack) do(t testing.TB, q request) (status int, contentType, body string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://stocktake.test/", strings.NewReader(q.body))
	if q.contentType != "" {
		r.Header.Set("Content-Type", q.contentType)
	}
	if q.target != "" {
		r.Header.Set("X-Amz-Target", q.target)
	}
	if !q.unsigned {
		credentials, ok := keys[q.key]
		if !ok {
			t.Fatalf("there is no key %q", q.key)
		}
		if err := sigv4.Sign(r, sha256.Sum256([]byte(q.body)), credentials, q.region, cmp.Or(q.service, "ssm"), time.Now().Add(q.clock)); err != nil {
			t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	answer, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, w.Header().Get("Content-Type"), string(answer)
}
