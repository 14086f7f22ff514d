package awsjson

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"stocktake/internal/iam"
	"stocktake/internal/inventory"
	"stocktake/internal/sigv4"
	"stocktake/internal/wire"
)

const ownNode = "mi-0123456789abcdef0"

var pair = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// knownNodes knows one node and one token of it, and counts how often it is asked for a key.
type knownNodes struct {
	fault error
	asked int
}

func (n *knownNodes) principal() *iam.Principal {
	key := inventory.NodeKey{Partition: inventory.Partition{Account: "111122223333", Region: "eu-west-1"}, Node: ownNode}
	return iam.NewNode(key, "role", "ASIATOKEN")
}

func (n *knownNodes) PublicKeys(_ context.Context, node inventory.NodeID) ([]*rsa.PublicKey, *iam.Principal, error) {
	n.asked++
	if n.fault != nil {
		return nil, nil, n.fault
	}
	if node != ownNode {
		return nil, nil, sigv4.ErrUnknownKey
	}
	return []*rsa.PublicKey{&pair().PublicKey}, n.principal(), nil
}

func (n *knownNodes) Session(_ context.Context, id, token string) (sigv4.Key, error) {
	if n.fault != nil {
		return sigv4.Key{}, n.fault
	}
	if id != "ASIATOKEN" || token != "token" {
		return sigv4.Key{}, sigv4.ErrUnknownKey
	}
	return sigv4.Key{SecretAccessKey: testSecret, SessionToken: token, Identity: n.principal()}, nil
}

// gate is a handler with a row of each way of calling, and the last caller let in.
type gate struct {
	*Handler
	nodes  *knownNodes
	called *Caller
}

func newGate(t *testing.T) *gate {
	t.Helper()
	keys, err := iam.New(iam.Key{ID: "ROOT", Secret: testSecret}, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{nodes: &knownNodes{}}
	method := func(_ context.Context, c Caller, _ *wire.EmptyMessage) (*wire.EmptyMessage, error) {
		g.called = &c
		return &wire.EmptyMessage{}, nil
	}
	plain, open, paired := NewRow("GetDocument", nil, method), NewRow("RegisterManagedInstance", nil, method), NewRow("RequestManagedInstanceRoleToken", nil, method)
	open.Auth, paired.Auth = Anonymous, ByKeyPair
	g.Handler, err = New(Config{
		Keys: keys, Nodes: g.nodes, Rows: []Row{plain, open, paired, NewMessageRow("GetMessages", nil, method)},
		Regions: []string{"eu-west-1", "eu-west-2"},
		Log:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// try sends a request and gives the error's name, or "".
func (g *gate) try(t *testing.T, target, body string, sign func(r *http.Request, hash [32]byte) error) (string, int) {
	t.Helper()
	g.called = nil
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/", strings.NewReader(body))
	r.RemoteAddr = "[2001:db8::1]:4711"
	r.ContentLength = -1 // in chunks
	r.Header.Set("Content-Type", contentType)
	r.Header.Set(targetHeader, target)
	if err := sign(r, sha256.Sum256([]byte(body))); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	if w.Code == http.StatusOK {
		if g.called == nil || g.called.Source != "2001:db8::1" {
			t.Errorf("the caller is %+v", g.called)
		}
		return "", w.Code
	}
	if g.called != nil {
		t.Errorf("the method was called, and the answer is %d %s", w.Code, w.Body)
	}
	var e wire.ErrorBody
	if err := e.Decode(w.Body.Bytes()); err != nil {
		t.Error(err)
	}
	return e.Type, w.Code
}

type signer = func(r *http.Request, hash [32]byte) error

func withAccessKey(id, token, region, service string) signer {
	return func(r *http.Request, hash [32]byte) error {
		return sigv4.Sign(r, hash, sigv4.Credentials{AccessKeyID: id, SecretAccessKey: testSecret, SessionToken: token}, region, service, time.Now())
	}
}

func withPair(node, region, service string) signer {
	return func(r *http.Request, hash [32]byte) error {
		return sigv4.SignPSS(r, hash, node, region, service, time.Now(), pair())
	}
}

const (
	getDocument = "AmazonSSM.GetDocument"
	getMessages = "EC2WindowsMessageDeliveryService.GetMessages"
	register    = "AmazonSSM.RegisterManagedInstance"
	getToken    = "AmazonSSM.RequestManagedInstanceRoleToken"
)

// TestWaysOfCalling calls rows of every kind in every way.
func TestWaysOfCalling(t *testing.T) {
	g := newGate(t)
	nobody := func(*http.Request, [32]byte) error { return nil }
	header := func(name, value string) signer {
		return func(r *http.Request, _ [32]byte) error { r.Header.Set(name, value); return nil }
	}
	for _, c := range []struct {
		name, target string
		sign         signer
		code         string
	}{
		{"an access key", getDocument, withAccessKey("ROOT", "", "eu-west-1", "ssm"), ""},
		{"nobody", getDocument, nobody, "MissingAuthenticationTokenException"},
		{"a node", getDocument, withAccessKey("ASIATOKEN", "token", "eu-west-1", "ssm"), ""},
		{"a node abroad", getDocument, withAccessKey("ASIATOKEN", "token", "eu-west-2", "ssm"), "InvalidSignatureException"},
		{"an administrator abroad", getDocument, withAccessKey("ROOT", "", "eu-west-2", "ssm"), ""},
		{"a node without its token", getDocument, withAccessKey("ASIATOKEN", "", "eu-west-1", "ssm"), "UnrecognizedClientException"},
		{"a node with another token", getDocument, withAccessKey("ASIATOKEN", "other", "eu-west-1", "ssm"), "UnrecognizedClientException"},
		{"another key with the token", getDocument, withAccessKey("ASIAOTHER", "token", "eu-west-1", "ssm"), "UnrecognizedClientException"},
		{"an access key with a token", getDocument, withAccessKey("ROOT", "token", "eu-west-1", "ssm"), "UnrecognizedClientException"},
		{"a key pair", getDocument, withPair(ownNode, "eu-west-1", "ssm"), "InvalidSignatureException"},

		{"messages", getMessages, withAccessKey("ROOT", "", "eu-west-1", "ec2messages"), ""},
		{"messages signed for another service", getMessages, withAccessKey("ROOT", "", "eu-west-1", "ssm"), "InvalidSignatureException"},
		{"another service's signature", getDocument, withAccessKey("ROOT", "", "eu-west-1", "ec2messages"), "InvalidSignatureException"},
		{"no action of messages", "EC2WindowsMessageDeliveryService.Nothing", withAccessKey("ROOT", "", "eu-west-1", "ec2messages"), "UnknownOperationException"},

		{"anybody where it is open", register, nobody, ""},
		{"an access key where it is open", register, withAccessKey("ROOT", "", "eu-west-1", "ssm"), ""},
		{"a foreign key where it is open", register, withAccessKey("OTHER", "", "eu-west-1", "ssm"), "UnrecognizedClientException"},
		{"a node where it is open", register, withAccessKey("ASIATOKEN", "token", "eu-west-1", "ssm"), "AccessDeniedException"},
		{"an empty header where it is open", register, header("Authorization", ""), "MissingAuthenticationTokenException"},
		{"another scheme where it is open", register, header("Authorization", "Bearer x"), "MissingAuthenticationTokenException"},
		{"a key pair where it is open", register, withPair(ownNode, "eu-west-1", "ssm"), "InvalidSignatureException"},

		{"the node's key pair", getToken, withPair(ownNode, "eu-west-1", "ssm"), ""},
		{"the node's key pair abroad", getToken, withPair(ownNode, "eu-west-2", "ssm"), "InvalidSignatureException"},
		{"the node's key pair in a region not served", getToken, withPair(ownNode, "mars-1", "ssm"), "InvalidSignatureException"},
		{"the node's key pair for another service", getToken, withPair(ownNode, "eu-west-1", "ec2messages"), "InvalidSignatureException"},
		{"another node's key pair", getToken, withPair("mi-00000000000000000", "eu-west-1", "ssm"), "AccessDeniedException"},
		{"an access key for a key pair", getToken, withAccessKey("ROOT", "", "eu-west-1", "ssm"), "AccessDeniedException"},
		{"a token for a key pair", getToken, withAccessKey("ASIATOKEN", "token", "eu-west-1", "ssm"), "AccessDeniedException"},
		{"nobody for a key pair", getToken, nobody, "MissingAuthenticationTokenException"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if code, _ := g.try(t, c.target, "{}", c.sign); code != c.code {
				t.Errorf("answered %q, want %q", code, c.code)
			}
		})
	}
}

func TestCallerByKindOfKey(t *testing.T) {
	g := newGate(t)
	g.try(t, getToken, "{}", withPair(ownNode, "eu-west-1", "ssm"))
	if c := g.called; c.PublicKey == nil || c.Principal.Node().Node != ownNode || c.Partition.Account != "111122223333" {
		t.Errorf("the caller is %+v", c)
	}
	g.try(t, register, "{}", func(*http.Request, [32]byte) error { return nil })
	if c := g.called; c.PublicKey != nil || c.Principal != nil || c.Partition != (inventory.Partition{}) {
		t.Errorf("the caller is %+v", c)
	}
	g.try(t, getDocument, "{}", withAccessKey("ROOT", "", "eu-west-1", "ssm"))
	if c := g.called; c.PublicKey != nil || c.Principal.AccessKeyID != "ROOT" || c.Partition.Region != "eu-west-1" {
		t.Errorf("the caller is %+v", c)
	}
}

// TestForeignBodiesStaySmall gives nobody room for more than what these calls need.
func TestForeignBodiesStaySmall(t *testing.T) {
	g := newGate(t)
	large := `{"PublicKey":"` + strings.Repeat("A", maxOpenBody) + `"}`
	for target, sign := range map[string]signer{
		register: func(*http.Request, [32]byte) error { return nil },
		getToken: withPair(ownNode, "eu-west-1", "ssm"),
	} {
		if code, status := g.try(t, target, large, sign); status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: answered %d %s", target, status, code)
		}
	}
	if code, _ := g.try(t, register, large, withAccessKey("ROOT", "", "eu-west-1", "ssm")); code != "" {
		t.Errorf("a large body of who is known: %s", code)
	}
}

// untouched is a body that may not be read.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the body is read")
	return 0, io.EOF
}

// TestTooMuchAnnouncedIsNotTouched has bodies announced that are longer than their callers may send: the first read of them would
// take as much of the memory for all bodies.
func TestTooMuchAnnouncedIsNotTouched(t *testing.T) {
	g := newGate(t)
	for _, c := range []struct {
		target    string
		announced int64
		sign      signer
	}{
		{register, maxOpenBody + 1, func(*http.Request, [32]byte) error { return nil }},
		{getToken, maxOpenBody + 1, withPair(ownNode, "eu-west-1", "ssm")},
		{getDocument, defaultMaxBody + 1, withAccessKey("ROOT", "", "eu-west-1", "ssm")},
	} {
		code, status := g.try(t, c.target, "", func(r *http.Request, hash [32]byte) error {
			r.ContentLength = c.announced
			err := c.sign(r, hash)
			r.Body = io.NopCloser(untouched{t})
			return err
		})
		if status != http.StatusRequestEntityTooLarge || code != wire.RequestEntityTooLargeException {
			t.Errorf("%s: answered %d %s", c.target, status, code)
		}
	}
}

// TestKeyPairIsLookedUpWhereItMayCallAlone has a signature that no row takes cost no look at the store.
func TestKeyPairIsLookedUpWhereItMayCallAlone(t *testing.T) {
	g := newGate(t)
	for _, target := range []string{getDocument, getMessages, register, "AmazonSSM.Nothing"} {
		g.try(t, target, "{}", withPair(ownNode, "eu-west-1", "ssm"))
	}
	if g.nodes.asked != 0 {
		t.Errorf("looked up %d times", g.nodes.asked)
	}
}

// TestFaultOfLookupsIsTheServers has a store that does not answer never called the caller's fault.
func TestFaultOfLookupsIsTheServers(t *testing.T) {
	g := newGate(t)
	g.nodes.fault = errors.New("the store does not answer")
	for target, sign := range map[string]signer{
		getDocument: withAccessKey("ASIATOKEN", "token", "eu-west-1", "ssm"),
		getToken:    withPair(ownNode, "eu-west-1", "ssm"),
	} {
		if code, status := g.try(t, target, "{}", sign); status != http.StatusInternalServerError || code != "InternalServerError" {
			t.Errorf("%s: answered %d %s", target, status, code)
		}
	}
}
