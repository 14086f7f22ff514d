package postgres_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"stocktake/internal/inventory"
	"stocktake/internal/pgtest"
	"stocktake/internal/store"
	"stocktake/internal/store/postgres"
	"stocktake/internal/store/storetest"
)

// interceptor is a network before a database that knows its protocol: it ends a connection once the rows of a statement have
// reached the client, and before the word that the statement is over.
type interceptor struct {
	url string

	mu    sync.Mutex
	armed *cut
}

// cut is what is to happen, once.
type cut struct {
	statement string // a part of its text
	word      string // by which the server says that the statement is over
	commits   bool   // whether the server gets as far as to commit it
	between   func() // happens when the server is rid of the connection, and the client not yet told
	done      chan struct{}
}

func startInterceptor(t *testing.T, address string) *interceptor {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := u.Host
	u.Host = listener.Addr().String()
	query := u.Query()
	query.Set("sslmode", "disable")
	u.RawQuery = query.Encode()
	c := &interceptor{url: u.String()}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() { c.serve(t, client, server) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		group.Wait()
	})
	return c
}

// arm gives what tells, once the client was cut off, that it was.
func (c *interceptor) arm(what cut) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	what.done = make(chan struct{})
	c.armed = &what
	return what.done
}

// take gives what was armed to the first that finds its statement.
func (c *interceptor) take(text string) *cut {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := c.armed
	if found == nil || !strings.Contains(text, found.statement) {
		return nil
	}
	c.armed = nil
	return found
}

func (c *interceptor) serve(t *testing.T, client net.Conn, address string) {
	defer func() { _ = client.Close() }()
	server, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	cuts := make(chan *cut, 1)
	var group sync.WaitGroup
	group.Go(func() {
		defer func() { _ = server.Close() }()
		c.ask(client, server, cuts)
	})
	var found *cut
	over := false
	for {
		kind, body, err := message(server, true)
		select {
		case found = <-cuts:
		default:
		}
		if err != nil {
			break
		}
		over = over || found != nil && kind == 'C' && string(body[5:len(body)-1]) == found.word
		if over && (kind == 'Z' || !found.commits) {
			_ = server.Close()
			found.between()
			close(found.done)
			break
		}
		if over {
			continue
		}
		if _, err := client.Write(body); err != nil {
			break
		}
	}
	_ = client.Close()
	group.Wait()
}

// ask passes on what a client says. Of a statement that is not to be committed the server is asked for the rows alone.
func (c *interceptor) ask(client io.Reader, server io.Writer, cuts chan<- *cut) {
	texts := map[string]string{}
	var found *cut
	for started := false; ; started = true {
		kind, body, err := message(client, started)
		if err != nil {
			return
		}
		switch kind {
		case 'P': // parse: a name, a text
			parts := bytes.SplitN(body[5:], []byte{0}, 3)
			texts[string(parts[0])] = string(parts[1])
		case 'B': // bind: a portal, a name
			parts := bytes.SplitN(body[5:], []byte{0}, 3)
			if next := c.take(texts[string(parts[1])]); next != nil {
				found = next
				cuts <- found
			}
		case 'S': // sync, the end of what is a transaction where there is no other
			if found != nil && !found.commits {
				body[0] = 'H' // flush
			}
		}
		if _, err := server.Write(body); err != nil {
			return
		}
	}
}

// message reads one message, whole; the first of a client has no kind.
func message(r io.Reader, hasKind bool) (kind byte, body []byte, err error) {
	at := 0
	if hasKind {
		at = 1
	}
	head := make([]byte, at+4)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, nil, err
	}
	body = append(head, make([]byte, binary.BigEndian.Uint32(head[at:])-4)...)
	_, err = io.ReadFull(r, body[at+4:])
	if hasKind {
		kind = body[0]
	}
	return kind, body, err
}

// behindInterceptor makes a store of one connection through an interceptor, and another that has the database to itself.
func behindInterceptor(t *testing.T) (s, other *postgres.Store, c *interceptor, direct string) {
	t.Helper()
	direct = pgtest.Database(t)
	migrate(t, direct, postgres.MigrateOptions{Shards: 1})
	c = startInterceptor(t, direct)
	u, err := url.Parse(c.url)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("pool_max_conns", "1")
	u.RawQuery = query.Encode()
	return open(t, u.String(), 0), open(t, direct, 0), c, direct
}

// TestRowsOfALostTryProveNothing loses the connection between the row that tells of an unchanged report and the end of the
// statement: what is acknowledged is what a later try found, whatever became of the first.
func TestRowsOfALostTryProveNothing(t *testing.T) {
	s, other, c, _ := behindInterceptor(t)
	for i, tt := range []struct {
		name               string
		commits, overtaken bool
	}{
		{"lost", false, false},
		{"lost and overtaken", false, true},
		{"committed", true, false},
		{"committed and overtaken", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			node := storetest.Node(i)
			report(t, other, i, packages("a"))
			unchanged := packages()
			unchanged.HasContent = false
			commit, err := storetest.NewWriter(s).Build(t.Context(), node, storetest.Epoch.Add(1), unchanged)
			if err != nil {
				t.Fatal(err)
			}
			var last store.Committed
			cutOff := c.arm(cut{statement: "UPDATE stocktake.node", word: "UPDATE 1", commits: tt.commits, between: func() {
				if tt.overtaken {
					last, err = storetest.NewWriter(other).Report(t.Context(), node, storetest.Epoch.Add(2), packages("b"))
				}
			}})
			done, failure := s.Commit(t.Context(), commit)
			select {
			case <-cutOff:
			default:
				t.Fatalf("the connection was not cut: %v", failure)
			}
			if err != nil {
				t.Fatal(err)
			}
			var want error
			if tt.overtaken {
				want = store.ErrConflict
			} else {
				last = done
			}
			if !errors.Is(failure, want) {
				t.Errorf("the report came to %v, want %v", failure, want)
			}
			stored, err := other.Node(t.Context(), node)
			if err != nil || stored.Revision != last.Revision {
				t.Errorf("the node is at revision %d, want %d; %v", stored.Revision, last.Revision, err)
			}
		})
	}
}

// TestFenceOfALostTryIsForgotten raises a fence on a server that is lost, and with it a greater one that its successor
// never had.
func TestFenceOfALostTryIsForgotten(t *testing.T) {
	s, other, c, direct := behindInterceptor(t)
	if err := other.RaiseFence(t.Context(), store.Fence{Lease: "l", Number: 9}); err != nil {
		t.Fatal(err)
	}
	cutOff := c.arm(cut{statement: "INSERT INTO stocktake.fence", word: "INSERT 0 1", commits: true, between: func() {
		execute(t, direct, `DELETE FROM stocktake.fence`)
	}})
	fence := store.Fence{Lease: "l", Number: 5}
	err := s.RaiseFence(t.Context(), fence)
	select {
	case <-cutOff:
	default:
		t.Fatalf("the connection was not cut: %v", err)
	}
	if err != nil {
		t.Errorf("a fence greater than all there are: %v", err)
	}
	fence.Number = 4
	_, err = s.Commit(t.Context(), store.Commit{Node: inventory.Node{Key: storetest.Node(1)}, Fence: fence})
	if !errors.Is(err, store.ErrFenced) {
		t.Errorf("a commit under a smaller number: %v", err)
	}
}
