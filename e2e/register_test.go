package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
	"stocktake/internal/store/storetest"
)

// report puts a value. The content hash is the value too, so that a scan of the store tells it without reading content.
func report(ctx context.Context, client *ssm.Client, at register, value string) error {
	return tell(ctx, client, at, value, []map[string]string{{"Value": value}})
}

// tell reports an item, without content where it is nil.
func tell(ctx context.Context, client *ssm.Client, at register, hash string, content []map[string]string) error {
	_, err := client.PutInventory(ctx, &ssm.PutInventoryInput{InstanceId: &at.node, Items: []types.InventoryItem{{
		TypeName: &at.kind, SchemaVersion: aws.String("1.0"), CaptureTime: aws.String(capture), ContentHash: &hash, Content: content,
	}}})
	return err
}

// listed asks for a value by its document.
func listed(ctx context.Context, client *ssm.Client, at register) (string, error) {
	out, err := client.ListInventoryEntries(ctx, &ssm.ListInventoryEntriesInput{InstanceId: &at.node, TypeName: &at.kind})
	if code(err) == "InvalidInstanceId" { // nobody knows the node yet
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return only(out.Entries), nil
}

// paged asks for a value by a page of the fleet.
func paged(ctx context.Context, client *ssm.Client, at register) (string, error) {
	out, err := client.GetInventory(ctx, &ssm.GetInventoryInput{
		Filters:          []types.InventoryFilter{{Key: aws.String("AWS:InstanceInformation.InstanceId"), Values: []string{at.node}}},
		ResultAttributes: []types.ResultAttribute{{TypeName: &at.kind}},
	})
	if err != nil || len(out.Entities) == 0 {
		return "", err
	}
	return only(out.Entities[0].Data[at.kind].Content), nil
}

// has asks the index alone whether a register has a value.
func has(ctx context.Context, client *ssm.Client, at register, value string) (bool, error) {
	out, err := client.GetInventory(ctx, &ssm.GetInventoryInput{Filters: []types.InventoryFilter{
		{Key: aws.String("AWS:InstanceInformation.InstanceId"), Values: []string{at.node}},
		{Key: aws.String(at.kind + ".Value"), Values: []string{value}},
	}})
	return err == nil && len(out.Entities) == 1, err
}

// only gives the value of a register's entries; of any but one it makes a value that nobody put.
func only(entries []map[string]string) string {
	switch len(entries) {
	case 0:
		return ""
	case 1:
		return entries[0]["Value"]
	}
	return fmt.Sprintf("%d entries", len(entries))
}

// connected are registers as a client of a server has them, whichever process that is at the time.
type connected struct {
	server func() *service
	region string
	http   *http.Client
	of     *service
	client *ssm.Client
}

// connect makes registers for so many clients, by turns of the servers.
func connect(t testing.TB, n int, region string, servers ...func() *service) []registers {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: n}
	t.Cleanup(transport.CloseIdleConnections)
	all := make([]registers, n)
	for i := range all {
		all[i] = &connected{server: servers[i%len(servers)], region: region, http: &http.Client{Transport: transport, Timeout: requestTime}}
	}
	return all
}

// to gives the client. It never sends a request twice: the second may take effect after others that followed the first.
func (c *connected) to() *ssm.Client {
	if now := c.server(); now != c.of {
		c.of, c.client = now, ssm.New(ssm.Options{
			Region: c.region, BaseEndpoint: &now.endpoint, HTTPClient: c.http, Retryer: aws.NopRetryer{},
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return now.key, nil }),
		})
	}
	return c.client
}

func (c *connected) put(ctx context.Context, at register, value string) error {
	err := report(ctx, c.to(), at, value)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return errNothingDone
	}
	return err
}

func (c *connected) get(ctx context.Context, at register, way int) (string, error) {
	if way%2 == 0 {
		return listed(ctx, c.to(), at)
	}
	return paged(ctx, c.to(), at)
}

func (c *connected) same(ctx context.Context, at register, value string, way int) (bool, error) {
	if way%2 == 0 {
		return has(ctx, c.to(), at, value)
	}
	err := tell(ctx, c.to(), at, value, nil)
	if code(err) == "ItemContentMismatchException" {
		return false, nil
	}
	return err == nil, err
}

// stored are registers in a store, by way of one of its handles, whose callers have clocks that lie by up to an hour.
type stored struct {
	*storetest.Writer
	region string
}

// place names a register as a store does.
func (s stored) place(at register) (inventory.NodeKey, inventory.ItemKey) {
	return inventory.NodeKey{Partition: inventory.Partition{Account: "000000000000", Region: s.region}, Node: inventory.NodeID(at.node)},
		inventory.ItemKey{Type: inventory.TypeName(at.kind)}
}

func (s stored) put(ctx context.Context, at register, value string) error {
	return s.commit(ctx, at, inventory.Item{HasContent: true, ContentHash: value, Content: []inventory.Entry{{{Name: "Value", Value: value}}}})
}

// commit reports an item as the service does, and computes it anew when another report came between.
func (s stored) commit(ctx context.Context, at register, item inventory.Item) error {
	node, key := s.place(at)
	item.Type, item.SchemaVersion, item.CaptureTime = key.Type, "1.0", capture
	for {
		_, err := s.Report(ctx, node, lyingNow(), item)
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) { // a document that goes while it is read
			return err
		}
	}
}

// get asks for the record, the document, or both at once, and again when what it found went meanwhile.
func (s stored) get(ctx context.Context, at register, way int) (value string, err error) {
	for {
		switch way % 3 {
		case 0:
			value, err = s.hash(ctx, at)
		case 1:
			value, err = s.document(ctx, at)
		default:
			value, err = s.both(ctx, at)
		}
		if !errors.Is(err, store.ErrNotFound) {
			return value, err
		}
	}
}

func (s stored) document(ctx context.Context, at register) (string, error) {
	node, key := s.place(at)
	document, err := s.Store.Document(ctx, storetest.DocumentKey(node, key))
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return s.value(ctx, at, document)
}

func (s stored) both(ctx context.Context, at register) (string, error) {
	node, key := s.place(at)
	found, err := s.Store.Read(ctx, []inventory.NodeKey{node}, []inventory.TypeName{key.Type})
	if err != nil || len(found) == 0 {
		return "", err
	}
	for i, item := range found[0].Node.Items {
		if item.ItemKey != key {
			continue
		}
		value, err := s.value(ctx, at, found[0].Documents[i])
		if err == nil && value != item.Hash {
			value = fmt.Sprintf("%s beside the hash %s", value, item.Hash)
		}
		return value, err
	}
	return "", nil
}

// value puts a document together.
func (s stored) value(ctx context.Context, at register, document inventory.Document) (string, error) {
	node, key := s.place(at)
	entries, err := storetest.Entries(ctx, s.Store, storetest.DocumentKey(node, key), document)
	if err != nil || len(entries) != 1 {
		return fmt.Sprintf("%d entries", len(entries)), err
	}
	value, _ := entries[0].Get("Value")
	return value, nil
}

// hash gives the hash that the node's record has of a register, which is the value.
func (s stored) hash(ctx context.Context, at register) (string, error) {
	node, key := s.place(at)
	record, err := s.Store.Node(ctx, node)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if item := record.Item(key); err == nil && item != nil {
		return item.Hash, nil
	}
	return "", err
}

// same commits a report of no change where the hash is the one stored, from the revision at which it was.
func (s stored) same(ctx context.Context, at register, value string, _ int) (bool, error) {
	node, key := s.place(at)
	for {
		held, err := s.Store.Node(ctx, node)
		if errors.Is(err, store.ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		item := held.Item(key)
		if item == nil || item.Hash != value {
			return false, nil
		}
		again := *item
		again.Arrival = lyingNow()
		held = held.Clone()
		held.SetItem(again)
		if _, err = s.Store.Commit(ctx, store.Commit{Node: held, Arrival: again.Arrival}); !errors.Is(err, store.ErrConflict) {
			return err == nil, err
		}
	}
}

// lyingNow is a clock that nobody set: up to an hour off, and another hour the next time.
func lyingNow() time.Time {
	return time.Now().Add(time.Duration(rand.Int64N(int64(2*time.Hour))) - time.Hour)
}
