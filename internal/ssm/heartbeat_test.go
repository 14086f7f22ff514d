package ssm_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/store"
)

const informationType = inventory.TypeInstanceInformation

// ping is the short form of a heartbeat, whole the long one.
func ping(id inventory.NodeID) ssm.HeartbeatInput {
	return ssm.HeartbeatInput{Node: id, AgentName: "amazon-ssm-agent", AgentVersion: "3.3.0.0", PlatformType: "Linux"}
}

func whole(id inventory.NodeID) ssm.HeartbeatInput {
	in := ping(id)
	in.AgentStatus, in.ComputerName, in.IPAddress = "Active", "web1", "10.0.0.1"
	in.PlatformName, in.PlatformVersion = "Debian GNU/Linux", "12"
	return in
}

func (tr *trial) beat(in ssm.HeartbeatInput) {
	tr.t.Helper()
	if err := tr.Heartbeat(context.Background(), home, in); err != nil {
		tr.t.Fatalf("heartbeat of %s: %v", in.Node, err)
	}
}

// information gives a node's AWS:InstanceInformation as one text.
func (tr *trial) information(id inventory.NodeID) string {
	tr.t.Helper()
	all := tr.list(id, informationType)
	if len(all) != 1 {
		tr.t.Fatalf("%s has %d entries of %s", id, len(all), informationType)
	}
	var text strings.Builder
	for _, a := range all[0] {
		fmt.Fprintf(&text, "%s=%s ", a.Name, a.Value)
	}
	return strings.TrimSuffix(text.String(), " ")
}

func (tr *trial) wantInformation(id inventory.NodeID, want string) {
	tr.t.Helper()
	if diff := cmp.Diff(want, tr.information(id)); diff != "" {
		tr.t.Error(diff)
	}
}

func TestHeartbeatEnrols(t *testing.T) {
	tr := newTrial(t)
	defer tr.stop()
	tr.beat(ping(node(1)))
	tr.wantInformation(node(1), "AgentType=amazon-ssm-agent AgentVersion=3.3.0.0 InstanceId=i-00000001 InstanceStatus=Active PlatformType=Linux ResourceType=EC2Instance")
	const managed = "mi-00000000000000001"
	wantCode(t, tr.Heartbeat(t.Context(), home, ping(managed)), inventory.InvalidInstanceID)
	if err := tr.RegisterNode(t.Context(), home, managed); err != nil {
		t.Fatal(err)
	}
	tr.beat(ping(managed))
	tr.stop()
	tr.config.StrictEnrollment = true
	tr.start()
	wantCode(t, tr.Heartbeat(t.Context(), home, ping(node(2))), inventory.InvalidInstanceID)
	tr.beat(ping(node(1)))
}

func TestPingKeepsWhatTheFullFormSaid(t *testing.T) {
	tr := newTrial(t)
	defer tr.stop()
	tr.beat(whole(node(1)))
	want := tr.information(node(1))
	tr.beat(ping(node(1)))
	tr.wantInformation(node(1), want)
	if !strings.Contains(want, "ComputerName=web1") || !strings.Contains(want, "IpAddress=10.0.0.1") {
		t.Error(want)
	}
}

// TestHeartbeatsMergeWithWhatWasPut has an administrator and an agent speak of one node, in both orders.
func TestHeartbeatsMergeWithWhatWasPut(t *testing.T) {
	tr := newTrial(t)
	defer tr.stop()
	put := item(informationType, entry("ComputerName", "rack-7", "AgentStatus", "fine"))
	put.ContentHash = "h"
	tr.mustReport(node(1), put)
	tr.beat(ping(node(1)))
	const ping = "AgentStatus=fine AgentType=amazon-ssm-agent AgentVersion=3.3.0.0 ComputerName=rack-7 InstanceId=i-00000001 InstanceStatus=Active PlatformType=Linux ResourceType=EC2Instance"
	tr.wantInformation(node(1), ping)
	tr.beat(whole(node(1)))
	full := strings.NewReplacer("rack-7", "web1", " PlatformType", " IpAddress=10.0.0.1 PlatformName=Debian GNU/Linux PlatformType",
		"=Linux Res", "=Linux PlatformVersion=12 Res", "InstanceId", "InstanceId").Replace(ping)
	full = strings.Replace(full, "InstanceId=i-00000001 InstanceStatus=Active IpAddress", "InstanceId=i-00000001 InstanceStatus=Active IpAddress", 1)
	tr.wantInformation(node(1), full)
	// What was put is no longer what is stored.
	hash := put
	hash.HasContent, hash.Content = false, nil
	wantCode(t, tr.report(node(1), hash), inventory.ItemContentMismatch)
	// A put leaves the agent's word but for what it names itself, and takes its own earlier word back.
	tr.mustReport(node(1), item(informationType, entry("ComputerName", "rack-8")))
	tr.wantInformation(node(1), strings.NewReplacer("AgentStatus=fine ", "", "web1", "rack-8").Replace(full))
}

func TestHeartbeatOfTheTerminated(t *testing.T) {
	tr := newTrial(t)
	defer tr.stop()
	tr.beat(ping(node(1)))
	if err := tr.TerminateNode(t.Context(), home, node(1)); err != nil {
		t.Fatal(err)
	}
	wantCode(t, tr.Heartbeat(t.Context(), home, ping(node(1))), inventory.InvalidInstanceID)
	wantCode(t, tr.StopNode(t.Context(), home, node(1)), inventory.InvalidInstanceID)
}

func TestStoppedUntilHeardOfAgain(t *testing.T) {
	tr := newTrial(t)
	defer tr.stop()
	status := func(when, want string) {
		t.Helper()
		if got := tr.information(node(1)); !strings.Contains(got, "InstanceStatus="+want) {
			t.Errorf("%s: %s", when, got)
		}
	}
	bye := whole(node(1))
	bye.AgentStatus = "Inactive"
	tr.beat(whole(node(1)))
	tr.beat(bye)
	status("the agent says that it stops", "Stopped")
	tr.beat(ping(node(1)))
	status("the agent pings", "Active")
	if err := tr.StopNode(t.Context(), home, node(1)); err != nil {
		t.Fatal(err)
	}
	status("an administrator stops it", "Stopped")
	app := item(application, entry("Name", "a"))
	app.ContentHash = "h"
	tr.mustReport(node(1), app)
	status("it reports", "Active")
	if err := tr.StopNode(t.Context(), home, node(1)); err != nil {
		t.Fatal(err)
	}
	app.HasContent, app.Content = false, nil
	tr.mustReport(node(1), app)
	status("it reports that nothing changed", "Active")
}

// counted counts what a store is asked to write.
type counted struct {
	store.Store
	commits, records *atomic.Int64
}

func (c counted) Commit(ctx context.Context, commit store.Commit) (store.Committed, error) {
	c.commits.Add(1)
	return c.Store.Commit(ctx, commit)
}

func (c counted) PutRecord(ctx context.Context, r store.Record) (uint64, error) {
	if strings.HasPrefix(r.Key, "heartbeat/") {
		c.records.Add(1)
	}
	return c.Store.PutRecord(ctx, r)
}

// TestUnchangedHeartbeatsCostNoWrites counts what 200 nodes' heartbeats cost that say what they said before.
func TestUnchangedHeartbeatsCostNoWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t)
		tr.stop()
		var commits, records atomic.Int64
		tr.wrap = func(st store.Store) store.Store { return counted{st, &commits, &records} }
		tr.start()
		defer tr.stop()
		for n := range 200 {
			tr.beat(whole(node(n)))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		commits.Store(0)
		records.Store(0)
		for range 10 {
			for n := range 200 {
				tr.beat(whole(node(n)))
				tr.beat(ping(node(n)))
			}
		}
		if n := commits.Load() + records.Load(); n != 0 {
			t.Errorf("4,000 heartbeats that change nothing cost %d writes", n)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := records.Load(); n == 0 || n > 64 {
			t.Errorf("their times were written as %d records", n)
		}
		records.Store(0)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := records.Load(); n != 0 {
			t.Errorf("%d records were written while nobody was heard of", n)
		}
	})
}

// BenchmarkHeartbeat takes heartbeats that change nothing, of a fleet on disk.
func BenchmarkHeartbeat(b *testing.B) {
	const nodes = 10_000
	tr := newPebbleTrial(b)
	defer tr.stop()
	for n := range nodes {
		tr.beat(whole(node(n)))
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		tr.beat(whole(node(n % nodes)))
		n++
	}
}
