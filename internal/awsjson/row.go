package awsjson

import (
	"context"
	"crypto/rsa"
	"errors"

	"stocktake/internal/iam"
	"stocktake/internal/inventory"
)

// A Caller is who asks, for which data. A method trusts it and nothing in the request.
type Caller struct {
	Partition inventory.Partition // zero where nobody signed
	Principal *iam.Principal      // nil where nobody signed
	// PublicKey is the one the request was verified by, where a key pair signed it; nil elsewhere.
	PublicKey *rsa.PublicKey
	// Source is the address the request came from, as its RemoteAddr says: behind a proxy that is not trusted, the
	// proxy's.
	Source    string
	RequestID string // for the log; empty without the middleware that sets it

	asking asking
	call   *Call // what the audit is told; nil: nothing
}

// Auth says how an action's caller is known.
type Auth uint8

// The ways of calling.
const (
	// Signed actions are called with an access key, that of a role token included.
	Signed Auth = iota
	// Anonymous actions may be called without an Authorization header too. With one the request is verified as any other.
	Anonymous
	// ByKeyPair actions are called with the signature of a managed node's own key pair, and no other.
	ByKeyPair
)

// A Row is one action. It is made by [NewRow], [NewMessageRow] or [NewOwnRow].
type Row struct {
	Action     string // as the target names it: PutInventory
	Target     string // the whole X-Amz-Target: AmazonSSM.PutInventory
	Permission string // as IAM names it: ssm:PutInventory
	Auth       Auth
	Kind       Kind

	// Late is of an action whose method calls [Caller.Begin] itself, before it writes: where most of what asks is refused by
	// the method, and is not worth a write.
	Late bool

	// MostResults, where it is more than the model's 50, is what a request may ask for in one page. Requests without pages
	// of such a kind pay it no heed.
	MostResults int32

	// Waits is of an action whose method may take long because there is nothing to say yet. Requests of it hold no more memory
	// than their own while they wait.
	Waits bool

	subject func(request any) Subject // nil: the node is all that requests name

	// serve decodes body, holds it to the model and to what the caller may touch, calls the method, and gives what writes
	// the answer. It keeps no part of body.
	serve func(ctx context.Context, c Caller, row Row, body []byte) (encode func(dst []byte) []byte, err error)
}

// A request is a shape of wire as a pointer: *wire.PutInventoryRequest.
type request[T any] interface {
	*T
	Decode(body []byte) error
	Validate() error
}

// A response is a shape of wire as a pointer: *wire.PutInventoryResponse.
type response interface {
	AppendJSON(dst []byte) []byte
}

// aboutNode is a refusal with the node it is about; empty: none.
type aboutNode struct {
	error
	node inventory.NodeID
}

func (a aboutNode) Unwrap() error { return a.error }

// refusedNode gives the node that a refusal is about.
func refusedNode(err error, p *iam.Principal) inventory.NodeID {
	var about aboutNode
	switch {
	case errors.As(err, &about) && about.node != "":
		return about.node
	case p != nil:
		return p.Node().Node
	}
	return ""
}

// NewRow makes the row of an action. Node gives the node that a request is done to; nil for an action that is done to no
// single one. Method is called with a valid request that the caller is allowed; its error is an [*inventory.Error], or
// one that the caller is not told of.
//
//	awsjson.NewRow("PutInventory",
//		func(r *wire.PutInventoryRequest) inventory.NodeID { return inventory.NodeID(r.InstanceId) },
//		func(ctx context.Context, c awsjson.Caller, r *wire.PutInventoryRequest) (*wire.PutInventoryResponse, error) { ... })
func NewRow[T any, Request request[T], Response response](
	action string,
	node func(r Request) inventory.NodeID,
	method func(ctx context.Context, c Caller, r Request) (Response, error),
) Row {
	serve := func(ctx context.Context, c Caller, row Row, body []byte) (func([]byte) []byte, error) {
		r := Request(new(T))
		if err := r.Decode(body); err != nil {
			return nil, err
		}
		if paged, ok := any(r).(interface{ AllowResults(most int32) }); ok {
			paged.AllowResults(row.MostResults)
		}
		if err := r.Validate(); err != nil {
			return nil, err
		}
		var id inventory.NodeID
		if node != nil {
			id = node(r)
		}
		if err := c.reaches(ctx, row, node != nil, id, r); err != nil {
			return nil, aboutNode{err, id}
		}
		if err := c.asking.bounds.about(c, id); err != nil {
			return nil, aboutNode{err, id}
		}
		if err := c.begins(ctx, row, id, r); err != nil {
			return nil, err
		}
		answer, err := method(ctx, c, r)
		if err != nil {
			return nil, aboutNode{err, id}
		}
		return answer.AppendJSON, nil
	}
	return Row{Action: action, Target: targetPrefix + action, Permission: "ssm:" + action, serve: serve}
}

// NewOwnRow makes the row of an action that is this service's own and not in AWS's API: its target begins with
// "Stocktake." and its permission with "stocktake:". Everything else is as in [NewRow].
func NewOwnRow[T any, Request request[T], Response response](
	action string,
	node func(r Request) inventory.NodeID,
	method func(ctx context.Context, c Caller, r Request) (Response, error),
) Row {
	row := NewRow(action, node, method)
	row.Target, row.Permission = ownTargetPrefix+action, "stocktake:"+action
	return row
}

// NewMessageRow makes the row of an action of the service that delivers messages to agents: its target begins with
// "EC2WindowsMessageDeliveryService.", its permission with "ec2messages:", and requests are signed for the service
// ec2messages. Everything else is as in [NewRow].
func NewMessageRow[T any, Request request[T], Response response](
	action string,
	node func(r Request) inventory.NodeID,
	method func(ctx context.Context, c Caller, r Request) (Response, error),
) Row {
	row := NewRow(action, node, method)
	row.Target, row.Permission = messageTargetPrefix+action, messageService+":"+action
	return row
}
