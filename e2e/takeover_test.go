package e2e

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/google/go-cmp/cmp"

	"stocktake/internal/pgtest"
	"stocktake/internal/store/postgres"
)

const (
	goneType   = "Custom:Gone"
	goneNodes  = 160
	laterNodes = 20
)

// takeover is a deletion whose server is stopped in the middle. Server 0 runs it, slowly, for its database is far away.
type takeover struct {
	servers *servers
	url     string
	id      string
}

func TestDeletionOfKilledServerIsTakenOver(t *testing.T) {
	o := beginTakeover(t)
	o.stop(t, func(holder *service) error { holder.kill(); return nil })
	o.ends(t)
}

// TestPausedServerWritesNothingMore stops a server without ending it, and lets it go on once another has taken its work.
func TestPausedServerWritesNothingMore(t *testing.T) {
	o := beginTakeover(t)
	var holder *service
	o.stop(t, func(s *service) error {
		holder = s
		return s.process.Process.Signal(syscall.SIGSTOP)
	})
	o.ends(t)
	before := o.heads(t)
	if err := holder.process.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the paused server serves again", patience, func() error { return o.servers.readyOn(0) })
	time.Sleep(3 * time.Second) // in which it goes on with whatever it was at
	if diff := cmp.Diff(before, o.heads(t)); diff != "" {
		t.Errorf("the server that was paused wrote on: %s", diff)
	}
	for i := range o.servers.urls {
		o.holdsLater(t, i)
	}
}

// beginTakeover starts two servers, stores a type on many nodes, and begins its deletion.
func beginTakeover(t *testing.T) *takeover {
	t.Helper()
	t.Parallel() // most of it is waiting
	url := pgtest.Database(t)
	migrate(t, url)
	proxy, err := pgtest.StartProxy(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	o := &takeover{url: url, servers: startServers(t, binary, "takeover-1", []string{proxy.URL(), url})}
	for n := range goneNodes {
		put(t, o.servers.client(1), fmt.Sprintf("i-%017d", n), goneType, "1.0", map[string]string{"When": "before"})
	}
	if err := proxy.Delay(50 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	out, err := o.servers.client(0).DeleteInventory(t.Context(), &ssm.DeleteInventoryInput{TypeName: aws.String(goneType)})
	if err != nil {
		t.Fatal(err)
	}
	o.id = aws.ToString(out.DeletionId)
	return o
}

// stop ends the holder, by the means given, while it is at work, and puts the type again on some nodes.
func (o *takeover) stop(t *testing.T, stop func(*service) error) {
	t.Helper()
	eventually(t, "the deletion begins", patience, func() error {
		if n := len(o.holders(t, 1, "before")); n == goneNodes {
			return fmt.Errorf("all of %d nodes have the type", n)
		}
		return nil
	})
	if err := stop(o.servers.server(0)); err != nil {
		t.Fatal(err)
	}
	if n := len(o.holders(t, 1, "before")); n == 0 {
		t.Fatal("the deletion was over before its server was stopped: nothing was tested")
	}
	for n := range laterNodes {
		put(t, o.servers.client(1), fmt.Sprintf("i-%017d", n*(goneNodes/laterNodes)), goneType, "1.0", map[string]string{"When": "later"})
	}
}

// ends waits until another server has ended the deletion.
func (o *takeover) ends(t *testing.T) {
	t.Helper()
	began := time.Now()
	eventually(t, "another server ends the deletion", 2*patience, func() error {
		out, err := o.servers.client(1).DescribeInventoryDeletions(t.Context(), &ssm.DescribeInventoryDeletionsInput{DeletionId: &o.id})
		if err != nil {
			return err
		}
		if d := out.InventoryDeletions[0]; d.LastStatus != types.InventoryDeletionStatusComplete || d.DeletionSummary.RemainingCount != 0 {
			return fmt.Errorf("%s: %s, %d remain", o.id, d.LastStatus, d.DeletionSummary.RemainingCount)
		}
		return nil
	})
	t.Logf("the deletion ended %v after its server was stopped", time.Since(began))
	o.holdsLater(t, 1)
}

// holdsLater fails the test unless a server knows the type on those nodes alone that put it after the call.
func (o *takeover) holdsLater(t *testing.T, i int) {
	t.Helper()
	if before, later := len(o.holders(t, i, "before")), len(o.holders(t, i, "later")); before != 0 || later != laterNodes {
		t.Errorf("server %d: %d nodes have what was deleted, want none; %d have what was put later, want %d", i, before, later, laterNodes)
	}
}

// holders gives the nodes that have the type from then.
func (o *takeover) holders(t *testing.T, i int, when string) []string {
	t.Helper()
	return ids(t, o.servers.client(i), &ssm.GetInventoryInput{Filters: []types.InventoryFilter{
		{Key: aws.String(goneType + ".When"), Values: []string{when}},
	}})
}

// heads gives the database's positions, which every write to a node moves.
func (o *takeover) heads(t *testing.T) any {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Options{URL: o.url})
	if err != nil {
		t.Fatal(err)
	}
	heads, err := s.Heads(t.Context())
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	return heads
}
