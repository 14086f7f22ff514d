package agent_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	spoken "stocktake/internal/agent"
	"stocktake/internal/api"
	"stocktake/internal/awsjson"
	"stocktake/internal/client"
	"stocktake/internal/httpd"
	"stocktake/internal/iam"
	"stocktake/internal/inventory"
	"stocktake/internal/replica"
	"stocktake/internal/sigv4"
	"stocktake/internal/simulate/agent"
	"stocktake/internal/ssm"
	"stocktake/internal/store"
	"stocktake/internal/store/storetest"
)

const region = "eu-west-1"

var root = sigv4.Credentials{AccessKeyID: "AKIAROOT", SecretAccessKey: "root-secret-for-tests"}

// keyPairs are made once: making one takes a good part of a second.
var keyPairs = sync.OnceValue(func() (keys [4]*rsa.PrivateKey) {
	for i := range keys {
		key, err := client.NewKey()
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return keys
})

// world is a service and the network to it, all inside of a bubble: connections are pipes in memory.
type world struct {
	t      *testing.T
	maker  storetest.Maker
	store  store.Store
	dir    string
	secure bool
	second bool // HTTP/2 for the calls to ssm
	config ssm.Config

	authority *httpd.Authority
	roots     *x509.CertPool
	wires     *wires
	replica   *replica.Replica
	service   *ssm.Service
	stop      context.CancelFunc
	stopped   chan error
}

func newWorld(t *testing.T, m storetest.Maker, secure, second bool) *world {
	t.Helper()
	w := &world{
		t: t, maker: m, store: m.Open(t), dir: t.TempDir(), secure: secure, second: second, wires: newWires(),
		config: ssm.Config{Limits: inventory.DefaultLimits(), ConnectionLostAfter: 30 * time.Minute, KeyRotation: 5 * time.Hour, LeaseTTL: 10 * time.Minute, LeaseRenew: 3 * time.Minute},
	}
	if secure {
		var err error
		if w.authority, err = httpd.OpenAuthority(t.TempDir(), []string{"stocktake.test"}); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(w.authority.CertificateFile())
		if err != nil {
			t.Fatal(err)
		}
		w.roots = x509.NewCertPool()
		w.roots.AppendCertsFromPEM(text)
	}
	w.start()
	return w
}

func (w *world) start() {
	w.t.Helper()
	discard := slog.New(slog.DiscardHandler)
	var err error
	if w.replica, err = replica.Open(context.Background(), w.store, replica.Options{Dir: w.dir, Limits: w.config.Limits}); err != nil {
		w.t.Fatal(err)
	}
	if w.service, err = ssm.New(w.store, w.replica, w.config); err != nil {
		w.t.Fatal(err)
	}
	if err := w.service.Start(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	directory, err := iam.New(iam.Key{ID: root.AccessKeyID, Secret: root.SecretAccessKey}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	rows := append(api.Rows(w.service), spoken.Rows(w.service, spoken.Config{Log: discard})...)
	handler, err := awsjson.New(awsjson.Config{Keys: directory, Nodes: spoken.Keys(w.service), Rows: rows, Log: discard})
	if err != nil {
		w.t.Fatal(err)
	}
	server := httpd.Server{Name: "api", Handler: handler, Log: discard, DrainTimeout: time.Second}
	if w.secure {
		server.TLS = httpd.TLSConfig(w.authority, nil)
	}
	ctx, stop := context.WithCancel(context.Background())
	w.stop, w.stopped = stop, make(chan error, 1)
	listener := w.wires.listen()
	go func() { w.stopped <- server.Run(ctx, listener) }()
}

// kill ends the server in the midst of what it does: connections break, and whoever asks finds nobody.
func (w *world) kill() {
	w.wires.cut()
	w.stop()
	if err := <-w.stopped; err != nil {
		w.t.Logf("the server was killed: %v", err)
	}
	w.service.Stop()
	if err := w.replica.Close(); err != nil {
		w.t.Error(err)
	}
}

// again starts the server over what the store holds, after it was gone for a time.
func (w *world) again(gone time.Duration) {
	w.kill()
	time.Sleep(gone)
	if w.maker.Reopen != nil {
		w.store = w.maker.Reopen(w.t, w.store)
	}
	w.start()
}

// http makes an HTTP client of the world. Messages go over HTTP/1.1 in any case.
func (w *world) http(messages bool) *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP1(!w.second || messages)
	protocols.SetHTTP2(w.second && !messages && w.secure)
	protocols.SetUnencryptedHTTP2(w.second && !messages && !w.secure)
	transport := &http.Transport{
		DialContext: w.wires.dial, Protocols: &protocols, TLSClientConfig: &tls.Config{RootCAs: w.roots, MinVersion: tls.VersionTLS12},
		MaxIdleConns: 10, IdleConnTimeout: 90 * time.Second,
	}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (w *world) url() string {
	if w.secure {
		return "https://stocktake.test"
	}
	return "http://stocktake.test"
}

// admin calls an action with the root key, and gives the members of the answer.
func (w *world) admin(action string, request map[string]any) map[string]any {
	w.t.Helper()
	if request == nil {
		request = map[string]any{}
	}
	body, err := json.Marshal(request)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, w.url()+"/", bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AmazonSSM."+action)
	if err := sigv4.Sign(r, sha256.Sum256(body), root, region, "ssm", time.Now()); err != nil {
		w.t.Fatal(err)
	}
	caller := w.http(false)
	defer caller.CloseIdleConnections()
	answer, err := caller.Do(r)
	if err != nil {
		w.t.Fatalf("%s: %v", action, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %s %s, %v", action, answer.Status, text, err)
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		w.t.Fatalf("%s: %v in %s", action, err, text)
	}
	return members
}

// wires are the network: connections in memory between whoever dials and the one server that listens.
type wires struct {
	mu       sync.Mutex
	listener *pipes
	open     map[net.Conn]struct{}
}

func newWires() *wires { return &wires{open: map[net.Conn]struct{}{}} }

func (n *wires) listen() net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listener = &pipes{arriving: make(chan net.Conn), closed: make(chan struct{})}
	return n.listener
}

var errNobody = errors.New("connection refused")

func (n *wires) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	listener := n.listener
	n.mu.Unlock()
	if listener == nil {
		return nil, errNobody
	}
	here, there := net.Pipe()
	select {
	case listener.arriving <- there:
	case <-listener.closed:
		return nil, errNobody
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open[here] = struct{}{}
	return &wired{Conn: here, wires: n}, nil
}

// cut breaks all connections, and takes no more.
func (n *wires) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listener = nil
	for c := range n.open {
		_ = c.Close()
	}
	clear(n.open)
}

// breakAll breaks all connections there are.
func (n *wires) breakAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.open {
		_ = c.Close()
	}
	clear(n.open)
}

type wired struct {
	net.Conn
	wires *wires
}

func (c *wired) Close() error {
	c.wires.mu.Lock()
	delete(c.wires.open, c.Conn)
	c.wires.mu.Unlock()
	return c.Conn.Close()
}

// pipes is a listener that is dialled in memory.
type pipes struct {
	arriving chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.arriving:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

// weather is how a machine's network, and the proxies on it, fail some calls in the ways there are.
type weather struct {
	mu     sync.Mutex
	random *rand.Rand
	// percent of calls fail, of each kind as many.
	percent int
	only    string // where not empty, the one action that is hit
	struck  map[string]int
}

func (f *weather) set(percent int, only string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.percent, f.only = percent, only
}

// strike says what becomes of a call; "" is nothing.
func (f *weather) strike(action string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.only != "" && f.only != action || f.random.IntN(100) >= f.percent {
		return ""
	}
	kinds := []string{"500", "502 of a proxy", "throttled", "cut before", "cut after", "time-out"}
	kind := kinds[f.random.IntN(len(kinds))]
	f.struck[kind]++
	return kind
}

// exposed is a transport under a weather.
type exposed struct {
	weather *weather
	next    http.RoundTripper
}

func (e exposed) RoundTrip(r *http.Request) (*http.Response, error) {
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	kind := e.weather.strike(action)
	answer := func(status int, text string) (*http.Response, error) {
		return &http.Response{
			StatusCode: status, Status: fmt.Sprint(status), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: r,
		}, nil
	}
	switch kind {
	case "500":
		return answer(500, `{"__type":"InternalServerError","Message":"for the test"}`)
	case "502 of a proxy":
		return answer(502, "<html>Bad Gateway</html>")
	case "throttled":
		return answer(400, `{"__type":"ThrottlingException","message":"Rate exceeded"}`)
	case "cut before":
		return nil, io.ErrUnexpectedEOF
	case "time-out":
		// The stock agent sets no bound on most calls: it is the system's, in the end, that breaks them.
		select {
		case <-time.After(2 * time.Minute):
		case <-r.Context().Done():
		}
		return nil, os.ErrDeadlineExceeded
	}
	got, err := e.next.RoundTrip(r)
	if kind == "cut after" && err == nil {
		_, _ = io.Copy(io.Discard, got.Body)
		_ = got.Body.Close()
		return nil, io.ErrUnexpectedEOF
	}
	return got, err
}

// machine is what the agents of a world run on: an inventory, and a network with weather.
type machine struct {
	*world
	disk    *agent.Disk
	weather *weather

	mu    sync.Mutex
	items []inventory.Item
	keys  int // pairs given out
	// stuckNext has the next run hang.
	stuckNext bool

	agent *agent.Agent
	end   context.CancelFunc
	ended chan error
	seen  map[string]int // attempts by action and outcome
}

func (w *world) machine(n int) *machine {
	m := &machine{
		world: w, disk: &agent.Disk{Fingerprint: fmt.Sprintf("11111111-2222-4333-8444-%012d", n), Key: keyPairs()[0]},
		seen: map[string]int{}, weather: &weather{random: rand.New(rand.NewPCG(7, uint64(n))), struck: map[string]int{}},
	}
	m.install("1.0")
	return m
}

// install puts an application of a version on the machine.
func (m *machine) install(version string) {
	item := func(t inventory.TypeName, schema, hash string, pairs ...string) inventory.Item {
		var entry inventory.Entry
		for i := 0; i < len(pairs); i += 2 {
			entry = append(entry, inventory.Attribute{Name: pairs[i], Value: pairs[i+1]})
		}
		return inventory.Item{Type: t, SchemaVersion: schema, ContentHash: hash, HasContent: true, Content: []inventory.Entry{entry}}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.items = []inventory.Item{
		item("AWS:Application", "1.1", "application "+version, "Name", "tool", "Version", version),
		item("AWS:Network", "1.0", "network", "IPV4", "10.0.0.1", "Name", "eth0"),
		item("AWS:InstanceInformation", "1.0", "never sent", "AgentType", "x"),
		item("Custom:RackInfo", "1.0", "rack", "Bay", "7"),
	}
}

// boot starts the agent, a process, over what is on the machine's disk.
func (m *machine) boot() {
	weathered := func(messages bool) *http.Client {
		return &http.Client{Transport: exposed{m.weather, m.http(messages).Transport}}
	}
	m.agent = agent.New(agent.Config{
		Endpoint: m.url(), Region: region, Client: weathered(false), Messages: weathered(true), Seed: 3,
		Machine: agent.Machine{ComputerName: "web1", IPAddress: "10.0.0.1", PlatformName: "Debian GNU/Linux", PlatformVersion: "12"},
		Gather: func(int) []inventory.Item {
			m.mu.Lock()
			defer m.mu.Unlock()
			return slices.Clone(m.items)
		},
		NewKey: func() *rsa.PrivateKey {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.keys++
			return keyPairs()[m.keys%len(keyPairs())]
		},
		Hang: func(int) bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			stuck := m.stuckNext
			m.stuckNext = false
			return stuck
		},
		Observe: func(a agent.Attempt) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.seen[a.Action]++
			if a.Code != "" {
				m.seen[a.Action+" "+a.Code]++
			}
		},
	}, m.disk)
}

// run begins the agent's life.
func (m *machine) run() {
	ctx, end := context.WithCancel(context.Background())
	m.end, m.ended = end, make(chan error, 1)
	go func() { m.ended <- m.agent.Run(ctx) }()
}

// off ends the agent's process.
func (m *machine) off() {
	m.t.Helper()
	m.end()
	if err := <-m.ended; err != nil {
		m.t.Error(err)
	}
}

// alive fails the test when the agent has crashed.
func (m *machine) alive() {
	m.t.Helper()
	select {
	case err := <-m.ended:
		m.t.Fatalf("the agent's process ended: %v", err)
	default:
	}
}

func (m *machine) saw(what string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen[what]
}
