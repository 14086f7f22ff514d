package wire

// CreateAssociationRequest makes an association.
type CreateAssociationRequest struct {
	AssociationSettings         // Name is required
	InstanceId          *string // a single node, in the place of targets
	Tags                []Tag
}

// Decode reads body; its error is a *DecodeError.
func (r *CreateAssociationRequest) Decode(body []byte) error {
	*r = CreateAssociationRequest{}
	return decode(body, table{r})
}

func (r *CreateAssociationRequest) members() []member {
	return append(
		r.named(),
		optionalText("InstanceId", &r.InstanceId, nodeID),
		tagsMember("Tags", &r.Tags),
	)
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *CreateAssociationRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *CreateAssociationRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// tagsMember is a list of tags, absent when nil.
func tagsMember(name string, v *[]Tag) member {
	return member{
		name:   name,
		decode: func(d *decoder) { *v = list(d, maxTags, element[Tag]) },
		append: func(dst []byte) []byte { return listMember(dst, name, *v, appendTag) },
		check:  func(c *checker, path string) { structures(c, path, *v, 0, maxTags) },
	}
}

// CreateAssociationBatchRequest makes several associations, each for itself.
type CreateAssociationBatchRequest struct {
	Entries                       []CreateAssociationBatchEntry // required
	AssociationDispatchAssumeRole *string
}

// Decode reads body; its error is a *DecodeError.
func (r *CreateAssociationBatchRequest) Decode(body []byte) error {
	*r = CreateAssociationBatchRequest{}
	return decode(body, table{r})
}

func (r *CreateAssociationBatchRequest) members() []member {
	entries := structuresMember("Entries", &r.Entries, 1, maxBatch)
	return []member{
		entries.required(func() bool { return r.Entries == nil }),
		optionalText("AssociationDispatchAssumeRole", &r.AssociationDispatchAssumeRole, dispatchRole),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *CreateAssociationBatchRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *CreateAssociationBatchRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// maxBatch bounds the associations of one call; the model does not.
const maxBatch = 1000

// A CreateAssociationBatchEntry is one association of a batch.
type CreateAssociationBatchEntry struct {
	AssociationSettings         // Name is required
	InstanceId          *string // a single node, in the place of targets
}

func (e *CreateAssociationBatchEntry) members() []member {
	all := e.named()
	return append(all[:len(all)-1], optionalText("InstanceId", &e.InstanceId, nodeID)) // it names no role of its own
}

// CreateAssociationBatchResponse tells what became of each.
type CreateAssociationBatchResponse struct {
	Successful []AssociationDescription
	Failed     []FailedCreateAssociation
}

// Decode reads body; its error is a *DecodeError.
func (r *CreateAssociationBatchResponse) Decode(body []byte) error {
	*r = CreateAssociationBatchResponse{}
	return decode(body, table{r})
}

func (r *CreateAssociationBatchResponse) members() []member {
	return []member{
		presentStructures("Successful", &r.Successful),
		presentStructures("Failed", &r.Failed),
	}
}

// AppendJSON appends the response to dst.
func (r *CreateAssociationBatchResponse) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// A FailedCreateAssociation is one that was not made, and why.
type FailedCreateAssociation struct {
	Entry   *CreateAssociationBatchEntry
	Message string
	Fault   string // Client, Server or Unknown
}

func (f *FailedCreateAssociation) members() []member {
	return []member{
		structureMember("Entry", &f.Entry),
		textMember("Message", &f.Message),
		textMember("Fault", &f.Fault),
	}
}

// UpdateAssociationRequest makes a new version of an association. What it does not name, the version does not have.
type UpdateAssociationRequest struct {
	AssociationSettings
	AssociationId      *string // required
	AssociationVersion *string // the newest, when given
}

// Decode reads body; its error is a *DecodeError.
func (r *UpdateAssociationRequest) Decode(body []byte) error {
	*r = UpdateAssociationRequest{}
	return decode(body, table{r})
}

func (r *UpdateAssociationRequest) members() []member {
	return append(
		[]member{requiredText("AssociationId", &r.AssociationId, associationID)},
		append(r.AssociationSettings.members(), optionalText("AssociationVersion", &r.AssociationVersion, associationVersion))...,
	)
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *UpdateAssociationRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *UpdateAssociationRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// UpdateAssociationStatusRequest says how the association of a single node stands.
type UpdateAssociationStatusRequest struct {
	Name              *string            // required
	InstanceId        *string            // required
	AssociationStatus *AssociationStatus // required
}

// Decode reads body; its error is a *DecodeError.
func (r *UpdateAssociationStatusRequest) Decode(body []byte) error {
	*r = UpdateAssociationStatusRequest{}
	return decode(body, table{r})
}

func (r *UpdateAssociationStatusRequest) members() []member {
	status := structureMember("AssociationStatus", &r.AssociationStatus)
	return []member{
		requiredText("Name", &r.Name, documentName),
		requiredText("InstanceId", &r.InstanceId, nodeID),
		status.required(func() bool { return r.AssociationStatus == nil }),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *UpdateAssociationStatusRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *UpdateAssociationStatusRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// AssociationRequest names an association by its id, or by the document and the single node it is for: to describe it, at one of its
// versions, or to delete it.
type AssociationRequest struct {
	Name               *string
	InstanceId         *string
	AssociationId      *string
	AssociationVersion *string
}

// Decode reads body; its error is a *DecodeError.
func (r *AssociationRequest) Decode(body []byte) error {
	*r = AssociationRequest{}
	return decode(body, table{r})
}

func (r *AssociationRequest) members() []member {
	return []member{
		optionalText("Name", &r.Name, documentName),
		optionalText("InstanceId", &r.InstanceId, nodeID),
		optionalText("AssociationId", &r.AssociationId, associationID),
		optionalText("AssociationVersion", &r.AssociationVersion, associationVersion),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *AssociationRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *AssociationRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// StartAssociationsOnceRequest has associations run once more, now.
type StartAssociationsOnceRequest struct {
	AssociationIds []string // required
}

// Decode reads body; its error is a *DecodeError.
func (r *StartAssociationsOnceRequest) Decode(body []byte) error {
	*r = StartAssociationsOnceRequest{}
	return decode(body, table{r})
}

func (r *StartAssociationsOnceRequest) members() []member {
	ids := textsMember("AssociationIds", &r.AssociationIds, 1, 10, associationID)
	return []member{ids.required(func() bool { return r.AssociationIds == nil })}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *StartAssociationsOnceRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *StartAssociationsOnceRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }
