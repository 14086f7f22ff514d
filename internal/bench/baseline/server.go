package baseline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// connections is how many connections the server keeps at most.
const connections = 20

// tables keeps documents as PostgreSQL's own manual would have it. Rows have room to be touched in place, and a document's
// key serves both its node's report and the walk over a type in the order of nodes.
const tables = `
CREATE TABLE doc (
	node text COLLATE "C" NOT NULL,
	type text COLLATE "C" NOT NULL,
	hash text NOT NULL,
	schema_version text NOT NULL,
	captured text NOT NULL,
	content jsonb NOT NULL,
	PRIMARY KEY (node, type)
) WITH (fillfactor = 85);
CREATE INDEX doc_type ON doc (type, node);
CREATE INDEX doc_content ON doc USING gin (content jsonb_path_ops);`

// Server answers requests. It may be used by many goroutines at once.
type Server struct{ pool *pgxpool.Pool }

// New connects to a database that Create was called for.
func New(ctx context.Context, url string) (*Server, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns, config.MinConns = connections, connections
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return &Server{pool}, nil
}

// Close gives back the connections.
func (s *Server) Close() { s.pool.Close() }

// refusal is an answer of 400 by the name of the service's error.
type refusal string

func (r refusal) Error() string { return string(r) }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := make([]byte, max(r.ContentLength, 0))
	_, err := io.ReadFull(r.Body, body)
	var answer []byte
	if err == nil {
		switch _, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); action {
		case "PutInventory":
			answer, err = s.putInventory(r.Context(), body)
		case "ListInventoryEntries":
			answer, err = s.listInventoryEntries(r.Context(), body)
		case "GetInventory":
			answer, err = s.getInventory(r.Context(), body)
		default:
			err = refusal("UnknownOperationException")
		}
	}
	status := http.StatusOK
	if err != nil {
		name := "InternalServerError"
		status = http.StatusInternalServerError
		if refused, ok := errors.AsType[refusal](err); ok {
			status, name = http.StatusBadRequest, string(refused)
		}
		answer = fmt.Appendf(nil, `{"__type":%q,"message":%q}`, name, err.Error())
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	w.WriteHeader(status)
	_, _ = w.Write(answer) // a client that is gone cannot be told
}
