package iam

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"stocktake/internal/store"
)

// stalled is a store whose records cannot be written until it is released, or whoever writes gives up.
type stalled struct {
	store.Store
	release chan struct{}
}

func (s stalled) PutRecord(ctx context.Context, r store.Record) (uint64, error) {
	select {
	case <-s.release:
		return s.Store.PutRecord(ctx, r)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// keyOf makes a user with a key, and gives the key's id and principal.
func keyOf(t *testing.T, s store.Store) (id string, p *Principal) {
	t.Helper()
	d := open(t, Options{Store: s})
	must(d.CreateUser(t.Context(), tenant, "alice", "/", nil))(t)
	id = must(d.CreateAccessKey(t.Context(), tenant, "alice"))(t).ID
	_, p, err := d.Key(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return id, p
}

// TestUseIsNotWaitedFor has a disk that stands still: who uses a key goes on, the use is told, and written before Close returns.
func TestUseIsNotWaitedFor(t *testing.T) {
	s := stalled{newStore(t), make(chan struct{})}
	id, p := keyOf(t, s.Store)
	d := open(t, Options{Store: s})
	d.Used(p, "ssm", "eu-west-1")
	if _, at, _, region, err := d.LastUsed(t.Context(), tenant, id); err != nil || at.IsZero() || region != "eu-west-1" {
		t.Errorf("before it is written it was used at %s in %s, %v", at, region, err)
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		d.Close(context.Background())
	}()
	close(s.release)
	<-closed
	d.Used(p, "iam", "eu-west-2") // nobody's any more
	if _, at, service, _, err := open(t, Options{Store: s.Store}).LastUsed(t.Context(), tenant, id); err != nil || at.IsZero() || service != "ssm" {
		t.Errorf("after the stop it was used at %s for %s, %v", at, service, err)
	}
}

// TestUsesThatWaitAreBounded has more keys used than are remembered while the disk stands still, and a stop that cannot wait for it.
func TestUsesThatWaitAreBounded(t *testing.T) {
	d := open(t, Options{Store: stalled{newStore(t), make(chan struct{})}, Log: slog.New(slog.DiscardHandler)})
	for i := range mostUses + 10 {
		d.Used(&Principal{user: "alice", AccessKeyID: fmt.Sprint(i)}, "ssm", "eu-west-1")
	}
	d.uses.mu.Lock()
	waiting, noted := len(d.uses.waiting), len(d.uses.last)
	d.uses.mu.Unlock()
	if waiting != mostUses || noted != mostUses {
		t.Errorf("%d uses wait, %d are noted", waiting, noted)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	d.Close(ctx)
}

// TestUseOfADeletedKeyIsForgotten deletes a key whose use waits.
func TestUseOfADeletedKeyIsForgotten(t *testing.T) {
	s := newStore(t)
	id, p := keyOf(t, s)
	d := open(t, Options{Store: s})
	d.uses.writing = true // nobody writes
	d.Used(p, "ssm", "eu-west-1")
	if err := d.DeleteAccessKey(t.Context(), tenant, "alice", id); err != nil {
		t.Fatal(err)
	}
	if len(d.uses.waiting) != 0 {
		t.Errorf("to be written: %v", d.uses.waiting)
	}
}
