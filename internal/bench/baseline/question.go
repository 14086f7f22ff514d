package baseline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"stocktake/internal/wire"
)

const (
	pageEntries = 50
	pageNodes   = 50
	pageRows    = 10_000
)

const information = "AWS:InstanceInformation"

// planned asks for a plan made for the values at hand: what is best for a rare name is not for a common one.
const planned = pgx.QueryExecModeExec

const selectPage = `SELECT type, schema_version, captured, jsonb_path_query_array(content, '$[0 to 49]')::text
FROM doc WHERE node = $1 AND type = $2`

// listInventoryEntries gives the first page of a document.
func (s *Server) listInventoryEntries(ctx context.Context, body []byte) ([]byte, error) {
	var r wire.ListInventoryEntriesRequest
	if err := r.Decode(body); err != nil {
		return nil, err
	}
	if len(r.Filters) > 0 || r.NextToken != "" {
		return nil, refusal("UnsupportedOperationException")
	}
	var name, version, captured, content string
	if err := s.pool.QueryRow(ctx, selectPage, r.InstanceId, r.TypeName).Scan(&name, &version, &captured, &content); err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"TypeName":%q,"InstanceId":%q,"SchemaVersion":%q,"CaptureTime":%q,"Entries":%s}`,
		name, r.InstanceId, version, captured, content), nil
}

// getInventory gives a page of nodes that meet the filters, or counts.
func (s *Server) getInventory(ctx context.Context, body []byte) ([]byte, error) {
	var r wire.GetInventoryRequest
	if err := r.Decode(body); err != nil {
		return nil, err
	}
	w, err := conditions(r.Filters)
	if err != nil {
		return nil, err
	}
	if len(r.Aggregators) > 0 {
		return s.count(ctx, &r, w)
	}
	return s.nodes(ctx, &r, w)
}

// where are the conditions on documents of one type, with the values they refer to by number.
type where struct {
	typeName string
	clauses  []string
	args     []any
}

func (w *where) arg(v any) string {
	w.args = append(w.args, v)
	return "$" + strconv.Itoa(len(w.args))
}

// paths are the operators that a path of JSON compares with.
var paths = map[string]string{"Equal": "==", "BeginWith": "starts with", "GreaterThan": ">", "LessThan": "<"}

// conditions turns filters, all on one type, into conditions. All but NotEqual hold for one and the same entry, as those
// of the service do: Equal by containment, which the index serves, and where there are others all of them by a path.
func conditions(filters []wire.Filter) (*where, error) {
	w := &where{}
	equal, values := map[string]string{}, map[string]string{}
	var path []string
	for _, f := range filters {
		typeName, attribute, err := key(f.Key)
		if err != nil || len(f.Values) != 1 || w.typeName != "" && w.typeName != typeName {
			return nil, refusal("InvalidFilter")
		}
		if w.typeName == "" {
			w.typeName = typeName
			w.clauses = append(w.clauses, "type = "+w.arg(typeName))
		}
		operator := "Equal"
		if f.Type != nil {
			operator = *f.Type
		}
		if operator == "NotEqual" {
			w.clauses = append(w.clauses, "NOT content @> "+w.arg(contains(map[string]string{attribute: f.Values[0]}))+"::jsonb")
			continue
		}
		inPath, known := paths[operator]
		if !known {
			return nil, refusal("InvalidFilter")
		}
		if operator == "Equal" {
			equal[attribute] = f.Values[0]
		}
		variable := "v" + strconv.Itoa(len(path))
		values[variable] = f.Values[0]
		path = append(path, fmt.Sprintf("@.%q %s $%s", attribute, inPath, variable))
	}
	if len(equal) > 0 {
		w.clauses = append(w.clauses, "content @> "+w.arg(contains(equal))+"::jsonb")
	}
	if len(path) > len(equal) {
		w.clauses = append(w.clauses, fmt.Sprintf("jsonb_path_exists(content, '$[*] ? (%s)', %s::jsonb)",
			strings.Join(path, " && "), w.arg(object(values))))
	}
	return w, nil
}

// key parts the type from the attribute, which goes into a path and so is held to letters.
func key(s string) (typeName, attribute string, err error) {
	at := strings.LastIndexByte(s, '.')
	if at < 0 || strings.ContainsFunc(s[at+1:], func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }) {
		return "", "", refusal("InvalidFilter")
	}
	return s[:at], s[at+1:], nil
}

// object and contains give a JSON object, and a list of it, as text.
func object(values map[string]string) string {
	text, _ := json.Marshal(values) // strings always have JSON
	return string(text)
}

func contains(values map[string]string) string { return "[" + object(values) + "]" }

// nodes gives the next page of nodes by id, with what each says of itself.
func (s *Server) nodes(ctx context.Context, r *wire.GetInventoryRequest, w *where) ([]byte, error) {
	if w.typeName == "" {
		w.clauses = append(w.clauses, "type = "+w.arg(information))
	}
	if r.NextToken != "" {
		w.clauses = append(w.clauses, "node > "+w.arg(r.NextToken))
	}
	limit, about := w.arg(pageNodes+1), w.arg(information)
	query := `SELECT found.node, i.schema_version, i.captured, i.content::text
FROM (SELECT node FROM doc WHERE ` + strings.Join(w.clauses, " AND ") + ` ORDER BY node LIMIT ` + limit + `) AS found
JOIN doc AS i ON i.node = found.node AND i.type = ` + about + ` ORDER BY found.node`
	rows, err := s.pool.Query(ctx, query, append([]any{planned}, w.args...)...)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString(`{"Entities":[`)
	n, last, more := 0, "", false
	var node, version, captured, content string
	_, err = pgx.ForEachRow(rows, []any{&node, &version, &captured, &content}, func() error {
		if more = n == pageNodes; more {
			return nil
		}
		if n++; n > 1 {
			out.WriteByte(',')
		}
		last = node
		fmt.Fprintf(&out, `{"Id":%q,"Data":{%q:{"TypeName":%q,"SchemaVersion":%q,"CaptureTime":%q,"Content":%s}}}`,
			node, information, information, version, captured, content)
		return nil
	})
	if err != nil {
		return nil, err
	}
	out.WriteByte(']')
	if more {
		fmt.Fprintf(&out, `,"NextToken":%q`, last)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// count counts the nodes of each value of an attribute, the most frequent first; a node counts once for a value.
func (s *Server) count(ctx context.Context, r *wire.GetInventoryRequest, w *where) ([]byte, error) {
	a := r.Aggregators[0]
	if len(r.Aggregators) > 1 || a.Expression == nil || len(a.Groups)+len(a.Aggregators) > 0 {
		return nil, refusal("InvalidAggregatorException")
	}
	typeName, attribute, err := key(*a.Expression)
	if err != nil {
		return nil, err
	}
	if w.typeName == "" {
		w.clauses = append(w.clauses, "type = "+w.arg(typeName))
	} else if w.typeName != typeName {
		return nil, refusal("InvalidAggregatorException")
	}
	offset, _ := strconv.Atoi(r.NextToken) // none is 0
	query := `SELECT v, count(*) FROM doc, LATERAL (
	SELECT DISTINCT lower(e ->> ` + w.arg(attribute) + `) COLLATE "C" AS v FROM jsonb_array_elements(content) AS e
) AS value WHERE v IS NOT NULL AND ` + strings.Join(w.clauses, " AND ") + `
GROUP BY v ORDER BY 2 DESC, 1 LIMIT ` + w.arg(pageRows+1) + ` OFFSET ` + w.arg(offset)
	rows, err := s.pool.Query(ctx, query, append([]any{planned}, w.args...)...)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, `{"Entities":[{"Data":{%q:{"Content":[`, typeName)
	n, more := 0, false
	var value string
	var count int64
	_, err = pgx.ForEachRow(rows, []any{&value, &count}, func() error {
		if more = n == pageRows; more {
			return nil
		}
		if n++; n > 1 {
			out.WriteByte(',')
		}
		text, err := json.Marshal(value)
		fmt.Fprintf(&out, `{%q:%s,"Count":"%d"}`, attribute, text, count)
		return err
	})
	if err != nil {
		return nil, err
	}
	out.WriteString(`]}}}]`)
	if more {
		fmt.Fprintf(&out, `,"NextToken":"%d"`, offset+pageRows)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}
