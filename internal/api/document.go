package api

import (
	"context"

	"stocktake/internal/awsjson"
	"stocktake/internal/ssm"
	"stocktake/internal/wire"
)

// documentActions are the API's actions on the documents that associations have nodes carry out.
type documentActions struct{ service *ssm.Service }

func documentRows(service *ssm.Service) []awsjson.Row {
	a := documentActions{service}
	return []awsjson.Row{
		awsjson.Naming(awsjson.NewRow("GetDocument", nil, a.get), documentNames),
		awsjson.Naming(awsjson.NewRow("DescribeDocument", nil, a.describe), describedNames),
		awsjson.NewRow("ListDocuments", nil, a.list),
	}
}

// documentFormat is the form all documents are kept in, and documentActive the state of all.
const (
	documentFormat = "JSON"
	documentActive = "Active"
)

func (a documentActions) get(ctx context.Context, _ awsjson.Caller, r *wire.GetDocumentRequest) (*wire.GetDocumentResponse, error) {
	p, err := a.service.Policy(ctx, value(r.Name), value(r.DocumentVersion), value(r.VersionName), value(r.DocumentFormat))
	if err != nil {
		return nil, err
	}
	return &wire.GetDocumentResponse{
		Name: p.Name, CreatedDate: p.Created, DocumentVersion: p.Version, Status: documentActive, Content: p.Content, DocumentType: p.Type, DocumentFormat: documentFormat,
	}, nil
}

func (a documentActions) describe(ctx context.Context, _ awsjson.Caller, r *wire.DescribeDocumentRequest) (*wire.DescribeDocumentResponse, error) {
	p, err := a.service.Policy(ctx, value(r.Name), value(r.DocumentVersion), value(r.VersionName), "")
	if err != nil {
		return nil, err
	}
	d := &wire.DocumentDescription{
		Hash: p.Hash(), HashType: "Sha256", Name: p.Name, Owner: p.Owner, CreatedDate: p.Created, Status: documentActive, DocumentVersion: p.Version,
		Description: p.Description, PlatformTypes: p.Platforms, DocumentType: p.Type, SchemaVersion: p.Schema,
		LatestVersion: p.Version, DefaultVersion: p.Version, DocumentFormat: documentFormat, Tags: []wire.Tag{},
	}
	for _, parameter := range p.Parameters {
		d.Parameters = append(d.Parameters, wire.DocumentParameter{
			Name: parameter.Name, Type: parameter.Type, Description: parameter.Description, DefaultValue: parameter.Default,
		})
	}
	return &wire.DescribeDocumentResponse{Document: d}, nil
}

func (a documentActions) list(ctx context.Context, c awsjson.Caller, r *wire.ListDocumentsRequest) (*wire.ListDocumentsResponse, error) {
	in := ssm.ListPoliciesInput{MaxResults: int(value(r.MaxResults)), NextToken: r.NextToken}
	for _, f := range r.DocumentFilterList {
		in.Filters = append(in.Filters, ssm.PolicyFilter{Key: value(f.Key), Values: []string{value(f.Value)}})
	}
	for _, f := range r.Filters {
		in.Filters = append(in.Filters, ssm.PolicyFilter{Key: value(f.Key), Values: f.Values})
	}
	out, err := a.service.ListPolicies(ctx, c.Partition, in)
	if err != nil {
		return nil, err
	}
	answer := &wire.ListDocumentsResponse{NextToken: out.NextToken}
	for _, p := range out.Policies {
		answer.DocumentIdentifiers = append(answer.DocumentIdentifiers, wire.DocumentIdentifier{
			Name: p.Name, CreatedDate: p.Created, Owner: p.Owner, PlatformTypes: p.Platforms, DocumentVersion: p.Version,
			DocumentType: p.Type, SchemaVersion: p.Schema, DocumentFormat: documentFormat, Tags: []wire.Tag{},
		})
	}
	return answer, nil
}
