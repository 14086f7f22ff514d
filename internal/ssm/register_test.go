package ssm_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/store"
)

// machineKey is the key pair of the machines of the tests.
var machineKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func encodedKey(key *rsa.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// given is an activation as it is given to machines.
type given struct{ id, code string }

func (tr *trial) activate(in ssm.CreateActivationInput) given {
	tr.t.Helper()
	in.Role = "inventory"
	id, code, err := tr.CreateActivation(context.Background(), home, in)
	if err != nil {
		tr.t.Fatal(err)
	}
	return given{id, code}
}

// machine is what the nth machine registers with.
func (g given) machine(n int) ssm.RegisterInput {
	return ssm.RegisterInput{
		ActivationID: g.id, Code: g.code, KeyType: "Rsa", PublicKey: encodedKey(&machineKey().PublicKey), Fingerprint: fmt.Sprint("machine ", n),
	}
}

func (tr *trial) registers(in ssm.RegisterInput) (inventory.NodeKey, error) {
	return tr.RegisterManagedNode(context.Background(), in)
}

func (tr *trial) mustRegister(in ssm.RegisterInput) inventory.NodeKey {
	tr.t.Helper()
	key, err := tr.registers(in)
	if err != nil {
		tr.t.Fatal(err)
	}
	return key
}

func (tr *trial) activations() []ssm.Activation {
	tr.t.Helper()
	out, err := tr.DescribeActivations(context.Background(), home, ssm.DescribeActivationsInput{})
	if err != nil {
		tr.t.Fatal(err)
	}
	return out.Activations
}

// TestOneSlotIsOnes has machines race for the last slot of an activation at several servers.
func TestOneSlotIsOnes(t *testing.T) {
	servers := newServers(t, 3)
	defer stopAll(servers)
	for _, limit := range []int{1, 7} {
		g := servers[0].activate(ssm.CreateActivationInput{Limit: limit})
		var mu sync.Mutex
		nodes := map[inventory.NodeKey]bool{}
		var wg sync.WaitGroup
		for n := range 20 {
			for _, s := range servers {
				wg.Go(func() {
					key, err := s.registers(g.machine(n))
					for inventory.CodeOf(err) == inventory.TooManyUpdates { // on which agents come again
						key, err = s.registers(g.machine(n))
					}
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						nodes[key] = true
					} else if inventory.CodeOf(err) != inventory.RegistrationLimitExceeded {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		if len(nodes) != limit {
			t.Errorf("%d nodes have %d slots", len(nodes), limit)
		}
		for key := range nodes {
			if got := servers[1].list(key.Node, inventory.TypeInstanceInformation); len(got) != 1 {
				t.Errorf("%s has no AWS:InstanceInformation", key.Node)
			}
		}
	}
}

func TestRegistrationIsRepeatable(t *testing.T) {
	tr := newTrial(t)
	defer tr.stop()
	g := tr.activate(ssm.CreateActivationInput{Limit: 2})
	first := tr.mustRegister(g.machine(1))
	if again := tr.mustRegister(g.machine(1)); again != first {
		t.Errorf("%v became %v", first, again)
	}
	if other := tr.mustRegister(g.machine(2)); other == first {
		t.Error("two machines are one node")
	}
	// Also when the activation is used up, and when it is over.
	if again := tr.mustRegister(g.machine(1)); again != first {
		t.Errorf("%v became %v", first, again)
	}
	if got := tr.activations(); got[0].Count != 2 {
		t.Errorf("%d slots are taken", got[0].Count)
	}
	if err := tr.DeregisterManagedNode(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	_, err := tr.registers(g.machine(1))
	wantCode(t, err, inventory.RegistrationLimitExceeded)
}

// TestCrashLosesNoSlot stops a registration at each of its writes, as a server that dies there, and has the same machine
// come again, and others.
func TestCrashLosesNoSlot(t *testing.T) {
	for _, write := range []string{"put activation/", "put identity/", "commit of mi-", "put managed/"} {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprint(write, " before=", before), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { crashAt(t, write, before) })
			})
		}
	}
}

func crashAt(t *testing.T, write string, before bool) {
	tr := newTrial(t)
	defer tr.stop()
	g := tr.activate(ssm.CreateActivationInput{Limit: 2, Tags: []ssm.Tag{{Key: "Stage", Value: "test"}}})
	faults := &crash{write: write, before: before}
	tr.wrap = func(st store.Store) store.Store { return crashing{st, faults} }
	tr.restart()
	faults.armed.Store(true)
	if _, err := tr.registers(g.machine(1)); !errors.Is(err, errCrash) {
		t.Fatalf("error is %v", err)
	}
	// A machine that asks again is the node it would have been, in the slot it had.
	tr.mustRegister(g.machine(1))
	// Another one died, and never asks again. Either it is a node all the same, or its slot is another's.
	faults.armed.Store(true)
	if _, err := tr.registers(g.machine(2)); !errors.Is(err, errCrash) {
		t.Fatalf("error is %v", err)
	}
	time.Sleep(2 * time.Minute)
	third, err := tr.registers(g.machine(3))
	if err != nil {
		wantCode(t, err, inventory.RegistrationLimitExceeded)
	}
	if isNode := write != "put activation/" && (write != "put identity/" || !before); isNode != (err != nil) {
		t.Errorf("the slot went to %v, %v", third, err)
	}
	_, err = tr.registers(g.machine(4))
	wantCode(t, err, inventory.RegistrationLimitExceeded)
	nodes := tr.find(equal("AWS:InstanceInformation.InstanceStatus", "Active")...)
	if len(nodes) != 2 || tr.activations()[0].Count != 2 {
		t.Errorf("%v registered with %+v", nodes, tr.activations())
	}
	for _, id := range nodes {
		if tags, err := tr.ListTags(t.Context(), home, tagged(id)); err != nil || len(tags) != 1 {
			t.Errorf("tags of %s: %v, %v", id, tags, err)
		}
	}
}

// crash fails the first write of a name once armed, before it reaches the store or after.
type crash struct {
	write  string
	before bool
	armed  atomic.Bool // until it struck
}

var errCrash = errors.New("the server died")

func (c *crash) strike(name string, write func() error) error {
	if !strings.HasPrefix(name, c.write) || !c.armed.CompareAndSwap(true, false) {
		return write()
	}
	if c.before {
		return errCrash
	}
	return errors.Join(write(), errCrash)
}

type crashing struct {
	store.Store
	crash *crash
}

func (c crashing) PutRecord(ctx context.Context, r store.Record) (revision uint64, err error) {
	err = c.crash.strike("put "+r.Key, func() (err error) {
		revision, err = c.Store.PutRecord(ctx, r)
		return err
	})
	return revision, err
}

func (c crashing) Commit(ctx context.Context, commit store.Commit) (done store.Committed, err error) {
	err = c.crash.strike("commit of "+string(commit.Node.Key.Node), func() (err error) {
		done, err = c.Store.Commit(ctx, commit)
		return err
	})
	return done, err
}

// TestSlowRegistrationKeepsNoSlot holds a registration up until its slot was given back, and to another: it takes no
// second one.
func TestSlowRegistrationKeepsNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := newServers(t, 2)
		defer stopAll(servers)
		slow, fast := servers[0], servers[1]
		g := fast.activate(ssm.CreateActivationInput{})
		held, free := slow.calls.holdOne(func(name string) bool { return strings.HasPrefix(name, "put identity/") })
		defer free()
		ended := make(chan error, 1)
		go func() {
			_, err := slow.registers(g.machine(1))
			ended <- err
		}()
		<-held
		_, err := fast.registers(g.machine(2))
		wantCode(t, err, inventory.RegistrationLimitExceeded)
		time.Sleep(2 * time.Minute)
		fast.mustRegister(g.machine(2))
		free()
		wantCode(t, <-ended, inventory.RegistrationLimitExceeded)
		if got := fast.activations(); got[0].Count != 1 {
			t.Errorf("%d slots are taken", got[0].Count)
		}
	})
}

func TestActivationEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t)
		defer tr.stop()
		g := tr.activate(ssm.CreateActivationInput{Limit: 5})
		long := tr.activate(ssm.CreateActivationInput{Expires: time.Now().Add(30 * day)})
		known := tr.mustRegister(g.machine(1))
		time.Sleep(day - time.Second)
		tr.mustRegister(g.machine(2))
		time.Sleep(time.Second)
		_, err := tr.registers(g.machine(3))
		wantCode(t, err, inventory.ActivationExpired)
		if again := tr.mustRegister(g.machine(1)); again != known {
			t.Error("a node is another after the end")
		}
		tr.mustRegister(long.machine(4))
		for _, at := range []time.Time{time.Now(), time.Now().Add(30*day + time.Hour)} {
			_, _, err := tr.CreateActivation(t.Context(), home, ssm.CreateActivationInput{Expires: at})
			wantCode(t, err, inventory.InvalidParameters)
		}
	})
}

func TestPublicKeysAreChecked(t *testing.T) {
	tr := newTrial(t)
	defer tr.stop()
	g := tr.activate(ssm.CreateActivationInput{})
	modulus := func(bits int) *big.Int {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return n.SetBit(n, 0, 1)
	}
	own := machineKey().PublicKey
	for name, key := range map[string]*rsa.PublicKey{
		"short":         {N: modulus(2047), E: 65537},
		"long":          {N: modulus(4097), E: 65537},
		"even modulus":  {N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 65537},
		"exponent of 1": {N: own.N, E: 1},
		"even exponent": {N: own.N, E: 65536},
	} {
		t.Run(name, func(t *testing.T) {
			in := g.machine(1)
			in.PublicKey = encodedKey(key)
			_, err := tr.registers(in)
			wantCode(t, err, inventory.InvalidPublicKey)
		})
	}
	in := g.machine(1)
	in.PublicKey += in.PublicKey
	_, err := tr.registers(in)
	wantCode(t, err, inventory.InvalidPublicKey)
	tr.mustRegister(g.machine(1))
}

// TestWrongCodeAndWrongIDAreOne has no caller learn which activations there are.
func TestWrongCodeAndWrongIDAreOne(t *testing.T) {
	tr := newTrial(t)
	defer tr.stop()
	g := tr.activate(ssm.CreateActivationInput{})
	gone := tr.activate(ssm.CreateActivationInput{})
	if err := tr.DeleteActivation(t.Context(), home, gone.id); err != nil {
		t.Fatal(err)
	}
	wantCode(t, tr.DeleteActivation(t.Context(), home, gone.id), inventory.InvalidActivation)
	var texts []string
	for _, wrong := range []given{{g.id, gone.code}, {g.id, ""}, {g.id, g.code + "x"}, {gone.id, gone.code}, {gone.id, g.code}, {"", ""}, {"x/y%", g.code}} {
		_, err := tr.registers(wrong.machine(1))
		wantCode(t, err, inventory.InvalidActivation)
		texts = append(texts, err.Error())
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("%q and %q tell them apart", text, texts[0])
		}
	}
}

func TestCodesAreNotStored(t *testing.T) {
	tr := newTrial(t)
	defer tr.stop()
	g := tr.activate(ssm.CreateActivationInput{})
	if len(g.code) < 20 || strings.Trim(g.code, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") != "" {
		t.Errorf("the code is %q", g.code)
	}
	records, err := tr.store.ListRecords(t.Context(), "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range records {
		if strings.Contains(string(rec.Value), g.code) || strings.Contains(rec.Key, g.code) {
			t.Errorf("record %s holds the code", rec.Key)
		}
	}
}

func TestRegistrationHoldsToTheLimitOfNodes(t *testing.T) {
	tr := newTrial(t)
	tr.stop()
	tr.config.Limits.Nodes = 1
	tr.start()
	defer tr.stop()
	g := tr.activate(ssm.CreateActivationInput{Limit: 3})
	tr.mustRegister(g.machine(1))
	if _, err := tr.registers(g.machine(2)); err == nil || tr.activations()[0].Count != 1 {
		t.Errorf("error is %v, and the activations are %+v", err, tr.activations())
	}
	tr.mustRegister(g.machine(1))
}
