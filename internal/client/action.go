package client

import (
	"context"
	"crypto/rand"
	"fmt"

	"stocktake/internal/wire"
)

// request and response are the two sides of an action in wire.
type request interface{ AppendJSON([]byte) []byte }

type response[T any] interface {
	*T
	Decode([]byte) error
}

func call[T any, P response[T]](ctx context.Context, c *Client, action string, r request) (*T, error) {
	answer, err := c.Do(ctx, action, r.AppendJSON(nil))
	if err != nil {
		return nil, err
	}
	result := new(T)
	if err := P(result).Decode(answer); err != nil {
		return nil, fmt.Errorf("%s: the answer cannot be read: %w", action, err)
	}
	return result, nil
}

// PutInventory reports items of a node.
func (c *Client) PutInventory(ctx context.Context, r *wire.PutInventoryRequest) (*wire.PutInventoryResponse, error) {
	return call[wire.PutInventoryResponse](ctx, c, "PutInventory", r)
}

// GetInventory asks for nodes, or for counts of them.
func (c *Client) GetInventory(ctx context.Context, r *wire.GetInventoryRequest) (*wire.GetInventoryResponse, error) {
	return call[wire.GetInventoryResponse](ctx, c, "GetInventory", r)
}

// ListInventoryEntries asks for one type of one node.
func (c *Client) ListInventoryEntries(ctx context.Context, r *wire.ListInventoryEntriesRequest) (*wire.ListInventoryEntriesResponse, error) {
	return call[wire.ListInventoryEntriesResponse](ctx, c, "ListInventoryEntries", r)
}

// GetInventorySchema asks for types and their attributes.
func (c *Client) GetInventorySchema(ctx context.Context, r *wire.GetInventorySchemaRequest) (*wire.GetInventorySchemaResponse, error) {
	return call[wire.GetInventorySchemaResponse](ctx, c, "GetInventorySchema", r)
}

// DeleteInventory has a custom type's data removed. A request without a ClientToken is given one, so that an attempt whose
// answer was lost starts no second deletion.
func (c *Client) DeleteInventory(ctx context.Context, r *wire.DeleteInventoryRequest) (*wire.DeleteInventoryResponse, error) {
	once := *r
	if once.ClientToken == nil {
		token := newToken()
		once.ClientToken = &token
	}
	return call[wire.DeleteInventoryResponse](ctx, c, "DeleteInventory", &once)
}

// DescribeInventoryDeletions asks how deletions stand.
func (c *Client) DescribeInventoryDeletions(
	ctx context.Context, r *wire.DescribeInventoryDeletionsRequest,
) (*wire.DescribeInventoryDeletionsResponse, error) {
	return call[wire.DescribeInventoryDeletionsResponse](ctx, c, "DescribeInventoryDeletions", r)
}

// newToken makes a random UUID (RFC 9562, version 4), lower-case.
func newToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
