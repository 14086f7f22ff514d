package e2e

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"stocktake/internal/bench"
	"stocktake/internal/client"
	"stocktake/internal/inventory"
	"stocktake/internal/pgtest"
	"stocktake/internal/sigv4"
	"stocktake/internal/simulate/agent"
)

// agentSpeed has an agent live a minute in a tenth of a second.
const agentSpeed = 600

// front is one address before whatever server there is, which agents keep while servers come and go.
type front struct {
	listener net.Listener
	mu       sync.Mutex
	to       string
	open     map[net.Conn]struct{}
}

func newFront(t *testing.T) *front {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{listener: l, open: map[net.Conn]struct{}{}}
	var forwarding sync.WaitGroup
	forwarding.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			forwarding.Go(func() { f.forward(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		f.cut()
		forwarding.Wait()
	})
	return f
}

func (f *front) forward(c net.Conn) {
	f.mu.Lock()
	to := f.to
	f.mu.Unlock()
	up, err := net.DialTimeout("tcp", to, patience)
	if err != nil {
		_ = c.Close()
		return
	}
	f.mu.Lock()
	f.open[c], f.open[up] = struct{}{}, struct{}{}
	f.mu.Unlock()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{c, up}, {up, c}} {
		both.Go(func() {
			_, _ = io.Copy(way[1], way[0])
			_, _ = way[0].Close(), way[1].Close()
		})
	}
	both.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, c)
	delete(f.open, up)
}

// lead sends new connections to a server.
func (f *front) lead(to string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.to = to[strings.LastIndexByte(to, '/')+1:]
}

// cut breaks all connections.
func (f *front) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.open {
		_ = c.Close()
	}
}

// way is one way to reach a service, and one kind of store behind it.
type way struct {
	name            string
	secure, second  bool
	database, bound bool // bound: an identity of its own, with an access key
}

// TestStockAgentsLife has a simulated agent live with the built binary: restarted under it, its connections cut.
func TestStockAgentsLife(t *testing.T) {
	for _, w := range []way{
		{name: "http"},
		{name: "http, HTTP 2, over a database", second: true, database: true},
		{name: "https, over a database", secure: true, database: true},
		{name: "https, HTTP 2", secure: true, second: true},
		{name: "an access key of its own", bound: true},
	} {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			l := &agentLife{way: w, dir: t.TempDir(), front: newFront(t)}
			if w.database {
				l.url = pgtest.Database(t)
				migrate(t, l.url)
			}
			l.serve(t)
			l.live(t)
		})
	}
}

type agentLife struct {
	way
	dir, url string
	front    *front
	service  *service
	disk     agent.Disk
	items    []inventory.Item
	agent    *agent.Agent
}

// serve starts a server, the first or the next one.
func (l *agentLife) serve(t *testing.T) {
	t.Helper()
	args := []string{"--role-token-ttl", "15m", "--key-rotation", "1s"}
	if l.secure {
		args = append(args, "--tls-self-signed")
	}
	if l.database {
		fresh, err := over(l.url, append(args, "--data", l.dir)...).run()
		if err != nil {
			t.Fatal(err)
		}
		fresh.dir = l.dir
		fresh.watch(t)
		l.service = fresh
	} else {
		l.service = start(t, l.dir, args...)
	}
	l.front.lead(l.service.endpoint)
}

// client is an HTTP client of the way.
func (l *agentLife) client(t *testing.T, messages bool) *http.Client {
	t.Helper()
	var protocols http.Protocols
	protocols.SetHTTP1(!l.second || messages)
	protocols.SetHTTP2(l.second && l.secure && !messages)
	protocols.SetUnencryptedHTTP2(l.second && !l.secure && !messages)
	transport := &http.Transport{Protocols: &protocols, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if l.secure {
		pem, err := os.ReadFile(filepath.Join(l.dir, "tls", "ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// admin is a client for the administrator's questions.
func (l *agentLife) admin(t *testing.T) *ssm.Client {
	t.Helper()
	return l.service.clientWith(l.client(t, false))
}

func (s *service) clientWith(c *http.Client) *ssm.Client {
	return ssm.New(ssm.Options{
		Region: cliRegion, BaseEndpoint: &s.endpoint, HTTPClient: c, Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return s.key, nil }),
	})
}

// prepare makes the agent, and the association it follows.
func (l *agentLife) prepare(t *testing.T) {
	t.Helper()
	key, err := client.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	l.disk.Fingerprint, l.disk.Key = client.NewFingerprint(), key
	l.items = []inventory.Item{{
		Type: "AWS:Application", SchemaVersion: "1.1", ContentHash: "h", HasContent: true,
		Content: []inventory.Entry{{{Name: "Name", Value: "tool"}}},
	}}
	config := agent.Config{
		Endpoint: strings.Replace(l.service.endpoint, l.service.endpoint[strings.LastIndexByte(l.service.endpoint, '/')+1:], l.front.listener.Addr().String(), 1),
		Region:   cliRegion, Client: l.client(t, false), Messages: l.client(t, true), Speed: agentSpeed,
		Gather: func(int) []inventory.Item { return slices.Clone(l.items) },
		NewKey: func() *rsa.PrivateKey {
			next, err := client.NewKey()
			if err != nil {
				t.Error(err)
			}
			return next
		},
	}
	if l.bound {
		l.disk.Node = "i-0000000000000a9e0"
		config.Key = sigv4.Credentials{AccessKeyID: l.service.key.AccessKeyID, SecretAccessKey: l.service.key.SecretAccessKey}
	}
	l.agent = agent.New(config, &l.disk)
	_, err = l.admin(t).CreateAssociation(t.Context(), &ssm.CreateAssociationInput{
		Name: aws.String("AWS-GatherSoftwareInventory"), ScheduleExpression: aws.String("rate(30 minutes)"),
		Targets: []types.Target{{Key: aws.String("InstanceIds"), Values: []string{"*"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if l.bound {
		return
	}
	made, err := l.admin(t).CreateActivation(t.Context(), &ssm.CreateActivationInput{IamRole: aws.String("nodes")})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.agent.Register(t.Context(), *made.ActivationId, *made.ActivationCode); err != nil {
		t.Fatal(err)
	}
}

func (l *agentLife) live(t *testing.T) {
	l.prepare(t)
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.agent.Run(ctx) }()
	defer func() {
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	more := func(what string, runs int64) {
		t.Helper()
		before := l.agent.Counts()
		eventually(t, what, patience, func() error {
			select {
			case err := <-ended:
				ended <- err
				t.Fatalf("the agent ended: %v", err)
			default:
			}
			if c := l.agent.Counts(); c.Runs < before.Runs+runs || c.Heartbeats <= before.Heartbeats {
				return os.ErrDeadlineExceeded
			}
			return nil
		})
	}
	more("reports", 2)
	l.service.kill()
	l.front.cut()
	l.serve(t)
	more("reports after a restart", 2)
	l.front.cut()
	more("reports over new connections", 1)
	c := l.agent.Counts()
	if c.Failed > 0 || c.Full == 0 || c.HashOnly == 0 || c.Again > 0 || !l.bound && c.Rotations == 0 {
		t.Errorf("in all: %+v", c)
	}
	described, err := l.admin(t).DescribeInstanceInformation(t.Context(), &ssm.DescribeInstanceInformationInput{})
	if err != nil || len(described.InstanceInformationList) != 1 || *described.InstanceInformationList[0].InstanceId != l.disk.Node ||
		described.InstanceInformationList[0].PingStatus != types.PingStatusOnline {
		t.Errorf("the nodes are %+v, %v", described, err)
	}
}

// TestBenchOfAgents runs the benchmark of agents, small and fast, against a server that it kills.
func TestBenchOfAgents(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, dir)
	host := s.endpoint[strings.LastIndexByte(s.endpoint, '/')+1:]
	first := true
	result, err := bench.RunAgents(t.Context(), bench.AgentsOptions{
		Agents: 10, For: 2 * time.Second, Packages: 5, Seed: 1, Keys: 2, Region: cliRegion, Speed: agentSpeed,
		Kill: func() error { s.kill(); return nil },
		Start: func(context.Context) (bench.Server, error) {
			if !first {
				s = &service{dir: dir, process: exec.Command(binary, "serve", "--listen", host, "--admin-listen", "127.0.0.1:0", "--data", dir)}
				if _, err := s.run(); err != nil {
					return bench.Server{}, err
				}
				s.watch(t)
			}
			first = false
			c, err := client.New(client.Config{
				Endpoint: s.endpoint, Region: cliRegion,
				Credentials: func(context.Context) (sigv4.Credentials, error) {
					return sigv4.Credentials{AccessKeyID: s.key.AccessKeyID, SecretAccessKey: s.key.SecretAccessKey}, nil
				},
			})
			return bench.Server{Client: c, Address: host, PID: s.process.Process.Pid, Metrics: s.admin + "/metrics"}, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	// Runs may fail: agents in such a hurry give up on a service that takes a second to be back.
	if result.Online != 10 || result.Lost+result.Missing != 0 || result.Runs < 20 || len(result.Phases) != 3 || len(result.Memory) == 0 {
		t.Errorf("the result is %+v", result)
	}
	for _, phase := range result.Phases {
		for _, a := range phase.Actions {
			if a.Errors > 0 {
				t.Errorf("%s: %+v", phase.Name, a)
			}
		}
	}
	var table bytes.Buffer
	if err := result.Table(&table); err != nil || !strings.Contains(table.String(), "nodes: 10 online, 0 lost, 0 missing") {
		t.Errorf("%v\n%s", err, table.String())
	}
}
