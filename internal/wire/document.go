package wire

import "time"

// The string shapes of documents.
var (
	documentName        = whole(`^[a-zA-Z0-9_\-.:/]{3,128}$`)
	documentVersion     = whole(`([$]LATEST|[$]DEFAULT|^[1-9][0-9]*$)`)
	documentVersionName = whole(`^[a-zA-Z0-9_\-.]{1,128}$`)
	documentFormat      = &rule{enum: []string{"YAML", "JSON", "TEXT"}}
	documentFilterKey   = &rule{enum: []string{"Name", "Owner", "PlatformTypes", "DocumentType"}}
	documentKey         = &rule{least: 1, most: 128}
	documentFilterValue = &rule{least: 1, most: 256}
)

const (
	maxDocumentFilters = 6
	maxDocumentValues  = 1000 // the model has no bound
)

// GetDocumentRequest asks for the text of a document.
type GetDocumentRequest struct {
	Name            *string // required
	VersionName     *string
	DocumentVersion *string
	DocumentFormat  *string
}

// Decode reads body; its error is a *DecodeError.
func (r *GetDocumentRequest) Decode(body []byte) error {
	*r = GetDocumentRequest{}
	return decode(body, table{r})
}

func (r *GetDocumentRequest) members() []member {
	return []member{
		requiredText("Name", &r.Name, documentName),
		optionalText("VersionName", &r.VersionName, documentVersionName),
		optionalText("DocumentVersion", &r.DocumentVersion, documentVersion),
		optionalText("DocumentFormat", &r.DocumentFormat, documentFormat),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *GetDocumentRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *GetDocumentRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// GetDocumentResponse is the text of a document.
type GetDocumentResponse struct {
	Name            string
	CreatedDate     time.Time
	DocumentVersion string
	Status          string
	Content         string
	DocumentType    string
	DocumentFormat  string
}

// Decode reads body; its error is a *DecodeError.
func (r *GetDocumentResponse) Decode(body []byte) error {
	*r = GetDocumentResponse{}
	return decode(body, table{r})
}

func (r *GetDocumentResponse) members() []member {
	return []member{
		textMember("Name", &r.Name),
		momentMember("CreatedDate", &r.CreatedDate),
		textMember("DocumentVersion", &r.DocumentVersion),
		textMember("Status", &r.Status),
		textMember("Content", &r.Content),
		textMember("DocumentType", &r.DocumentType),
		textMember("DocumentFormat", &r.DocumentFormat),
	}
}

// AppendJSON appends the response to dst.
func (r *GetDocumentResponse) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// DescribeDocumentRequest asks about a document.
type DescribeDocumentRequest struct {
	Name            *string // required
	DocumentVersion *string
	VersionName     *string
}

// Decode reads body; its error is a *DecodeError.
func (r *DescribeDocumentRequest) Decode(body []byte) error {
	*r = DescribeDocumentRequest{}
	return decode(body, table{r})
}

func (r *DescribeDocumentRequest) members() []member {
	return []member{
		requiredText("Name", &r.Name, documentName),
		optionalText("DocumentVersion", &r.DocumentVersion, documentVersion),
		optionalText("VersionName", &r.VersionName, documentVersionName),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *DescribeDocumentRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *DescribeDocumentRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// DescribeDocumentResponse tells about a document.
type DescribeDocumentResponse struct {
	Document *DocumentDescription
}

// Decode reads body; its error is a *DecodeError.
func (r *DescribeDocumentResponse) Decode(body []byte) error {
	*r = DescribeDocumentResponse{}
	return decode(body, table{r})
}

func (r *DescribeDocumentResponse) members() []member {
	return []member{
		structureMember("Document", &r.Document),
	}
}

// AppendJSON appends the response to dst.
func (r *DescribeDocumentResponse) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// A DocumentDescription is all there is to say of a document but its text.
type DocumentDescription struct {
	Hash            string
	HashType        string
	Name            string
	Owner           string
	CreatedDate     time.Time
	Status          string
	DocumentVersion string
	Description     string
	Parameters      []DocumentParameter
	PlatformTypes   []string
	DocumentType    string
	SchemaVersion   string
	LatestVersion   string
	DefaultVersion  string
	DocumentFormat  string
	Tags            []Tag
}

func (d *DocumentDescription) members() []member {
	return []member{
		textMember("Hash", &d.Hash),
		textMember("HashType", &d.HashType),
		textMember("Name", &d.Name),
		textMember("Owner", &d.Owner),
		momentMember("CreatedDate", &d.CreatedDate),
		textMember("Status", &d.Status),
		textMember("DocumentVersion", &d.DocumentVersion),
		textMember("Description", &d.Description),
		presentStructures("Parameters", &d.Parameters),
		textsMember("PlatformTypes", &d.PlatformTypes, 0, maxDocumentValues, nil),
		textMember("DocumentType", &d.DocumentType),
		textMember("SchemaVersion", &d.SchemaVersion),
		textMember("LatestVersion", &d.LatestVersion),
		textMember("DefaultVersion", &d.DefaultVersion),
		textMember("DocumentFormat", &d.DocumentFormat),
		tagsMember("Tags", &d.Tags),
	}
}

// A DocumentParameter is one parameter of a document. Its default may be the empty text.
type DocumentParameter struct {
	Name         string
	Type         string
	Description  string
	DefaultValue string
}

func (p *DocumentParameter) members() []member {
	return []member{
		textMember("Name", &p.Name),
		textMember("Type", &p.Type),
		textMember("Description", &p.Description),
		presentMember("DefaultValue", &p.DefaultValue),
	}
}

// ListDocumentsRequest asks which documents there are, by filters of the older kind or of the newer.
type ListDocumentsRequest struct {
	DocumentFilterList []DocumentFilter
	Filters            []DocumentKeyValuesFilter
	MaxResults         *int32 // 1 to 50
	NextToken          string // "" is absent
}

// Decode reads body; its error is a *DecodeError.
func (r *ListDocumentsRequest) Decode(body []byte) error {
	*r = ListDocumentsRequest{}
	return decode(body, table{r})
}

func (r *ListDocumentsRequest) members() []member {
	return []member{
		structuresMember("DocumentFilterList", &r.DocumentFilterList, 1, listFilters),
		structuresMember("Filters", &r.Filters, 0, maxDocumentFilters),
		numberMember("MaxResults", &r.MaxResults, 1, mostResults),
		textMember("NextToken", &r.NextToken),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *ListDocumentsRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *ListDocumentsRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// A DocumentFilter asks for one property. Its members are written in lower case.
type DocumentFilter struct {
	Key   *string // required
	Value *string // required
}

func (f *DocumentFilter) members() []member {
	return []member{
		requiredText("key", &f.Key, documentFilterKey),
		requiredText("value", &f.Value, filterText),
	}
}

// A DocumentKeyValuesFilter asks for one of several values of a property.
type DocumentKeyValuesFilter struct {
	Key    *string
	Values []string
}

func (f *DocumentKeyValuesFilter) members() []member {
	return []member{
		optionalText("Key", &f.Key, documentKey),
		textsMember("Values", &f.Values, 0, maxDocumentValues, documentFilterValue),
	}
}

// ListDocumentsResponse is one page of them.
type ListDocumentsResponse struct {
	DocumentIdentifiers []DocumentIdentifier // never absent
	NextToken           string               // absent when empty: on the last page
}

// Decode reads body; its error is a *DecodeError.
func (r *ListDocumentsResponse) Decode(body []byte) error {
	*r = ListDocumentsResponse{}
	return decode(body, table{r})
}

func (r *ListDocumentsResponse) members() []member {
	return []member{
		presentStructures("DocumentIdentifiers", &r.DocumentIdentifiers),
		textMember("NextToken", &r.NextToken),
	}
}

// AppendJSON appends the response to dst.
func (r *ListDocumentsResponse) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// A DocumentIdentifier is one line of a listing.
type DocumentIdentifier struct {
	Name            string
	CreatedDate     time.Time
	Owner           string
	PlatformTypes   []string
	DocumentVersion string
	DocumentType    string
	SchemaVersion   string
	DocumentFormat  string
	Tags            []Tag
}

func (i *DocumentIdentifier) members() []member {
	return []member{
		textMember("Name", &i.Name),
		momentMember("CreatedDate", &i.CreatedDate),
		textMember("Owner", &i.Owner),
		textsMember("PlatformTypes", &i.PlatformTypes, 0, maxDocumentValues, nil),
		textMember("DocumentVersion", &i.DocumentVersion),
		textMember("DocumentType", &i.DocumentType),
		textMember("SchemaVersion", &i.SchemaVersion),
		textMember("DocumentFormat", &i.DocumentFormat),
		tagsMember("Tags", &i.Tags),
	}
}
