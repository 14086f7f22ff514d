package ssm

import (
	"cmp"
	"context"
	"slices"
	"sort"

	"stocktake/internal/inventory"
)

// GetInventorySchemaInput asks for the types a caller may use.
type GetInventorySchemaInput struct {
	// Type names one type; empty for all.
	Type string
	// Aggregator narrows the answer to types and attributes that nodes can be counted by.
	Aggregator bool
	// SubType asks for the sub-types in use instead.
	SubType    bool
	MaxResults int
	NextToken  string
}

// GetInventorySchemaOutput is one page of schemas.
type GetInventorySchemaOutput struct {
	Schemas   []inventory.Schema
	NextToken string
}

// schemaPage is the largest page of schemas (API model: 50 to 200).
const schemaPage = 200

// GetInventorySchema lists the built-in types a live account lists and the account's own, in byte order of each group.
// A type asked for by name must be known, but may be one that is not listed.
func (s *Service) GetInventorySchema(ctx context.Context, p inventory.Partition, in GetInventorySchemaInput) (GetInventorySchemaOutput, error) {
	var out GetInventorySchemaOutput
	types, err := s.schemas.catalogue(ctx, p)
	if err != nil {
		return out, err
	}
	asked, err := question([]any{in.Type, in.Aggregator, in.SubType})
	if err != nil {
		return out, err
	}
	from, err := s.openToken(p, "GetInventorySchema", asked, in.NextToken)
	if err != nil {
		return out, err
	}
	if in.Type != "" {
		if _, known := types.Schema(inventory.TypeName(in.Type)); !known {
			return out, inventory.Errorf(inventory.InvalidTypeName, "The inventory type %s isn't known. GetInventorySchema without TypeName lists the types.", clip(in.Type))
		}
	}
	all, err := s.selectSchemas(ctx, p, types, in)
	if err != nil {
		return out, err
	}
	if from != nil {
		all = all[sort.Search(len(all), func(i int) bool { return schemaOrder(all[i]) > from.After }):]
	}
	limit := pageSize(in.MaxResults, schemaPage)
	if len(all) > limit {
		all = all[:limit]
		out.NextToken, err = s.sealToken(p, "GetInventorySchema", asked, token{After: schemaOrder(all[limit-1])})
	}
	out.Schemas = all
	return out, err
}

// schemaOrder is what schemas are sorted by: "AWS:" comes before "Custom:", and sub-types of one type follow each other.
func schemaOrder(s inventory.Schema) string { return string(s.Type) + "\x00" + s.DisplayName }

func (s *Service) selectSchemas(ctx context.Context, p inventory.Partition, types *catalogue, in GetInventorySchemaInput) ([]inventory.Schema, error) {
	if in.SubType {
		if in.Type != "" && in.Type != string(inventory.TypeComplianceItem) {
			return nil, nil
		}
		return s.subTypeSchemas(ctx, p, types)
	}
	var all []inventory.Schema
	for _, schema := range inventory.BuiltIns() {
		if schema.Listed || in.Type == string(schema.Type) {
			all = append(all, schema)
		}
	}
	for t, own := range types.custom {
		all = append(all, own.schema(t))
	}
	slices.SortFunc(all, func(a, b inventory.Schema) int { return cmp.Compare(a.Type, b.Type) })
	var out []inventory.Schema
	for _, schema := range all {
		if in.Type != "" && in.Type != string(schema.Type) {
			continue
		}
		if in.Aggregator {
			if !schema.Aggregatable() {
				continue
			}
			schema.Attributes = slices.DeleteFunc(slices.Clone(schema.Attributes), func(a inventory.SchemaAttribute) bool { return !a.Aggregatable })
		} else {
			schema.DisplayName = ""
		}
		out = append(out, schema)
	}
	return out, nil
}

// subTypeSchemas gives one schema for each compliance type that some node reports now, named in DisplayName.
func (s *Service) subTypeSchemas(ctx context.Context, p inventory.Partition, types *catalogue) ([]inventory.Schema, error) {
	idx, err := s.index(ctx)
	if err != nil {
		return nil, err
	}
	schema, _ := inventory.BuiltIn(inventory.TypeComplianceItem)
	var out []inventory.Schema
	for _, sub := range types.subTypes {
		used, err := idx.Query(ctx, p, []inventory.Filter{{Type: schema.Type, Attribute: "ComplianceType", Values: []string{inventory.Fold(sub)}}})
		if err != nil {
			return nil, err
		}
		n, err := used.Count(ctx, documents{s, p})
		if err != nil {
			return nil, err
		}
		if n > 0 {
			schema.DisplayName = sub
			out = append(out, schema)
		}
	}
	return out, nil
}
