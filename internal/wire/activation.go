package wire

import (
	"math"
	"time"
)

// The string shapes of activations and managed nodes.
var (
	activationID   = whole(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	nodeName       = taggable(0, 256)
	longText       = &rule{most: 256}
	iamRole        = &rule{most: 64}
	metadataKey    = &rule{least: 1, most: 128}
	metadataValue  = &rule{least: 1, most: 2048}
	managedNodeID  = managedNode()
	filterOfActive = &rule{enum: []string{"ActivationIds", "DefaultInstanceName", "IamRole"}}
)

func managedNode() *rule {
	r := whole(`(^mi-[0-9a-f]{17}$)|(^eks_c:[0-9A-Za-z][A-Za-z0-9\-_]{0,99}_\w{17}$)`)
	r.least, r.most = 20, 124
	return r
}

// metadataItems bounds a list the model does not.
const metadataItems = 100

// CreateActivationRequest asks for an activation that nodes can register with.
type CreateActivationRequest struct {
	Description          *string
	DefaultInstanceName  *string
	IamRole              *string // required
	RegistrationLimit    *int32  // 1 to 1000
	ExpirationDate       *time.Time
	Tags                 []Tag
	RegistrationMetadata []RegistrationMetadataItem
}

// Decode reads body; its error is a *DecodeError.
func (r *CreateActivationRequest) Decode(body []byte) error {
	*r = CreateActivationRequest{}
	return decode(body, table{r})
}

func (r *CreateActivationRequest) members() []member {
	return []member{
		optionalText("Description", &r.Description, longText),
		optionalText("DefaultInstanceName", &r.DefaultInstanceName, nodeName),
		requiredText("IamRole", &r.IamRole, iamRole),
		numberMember("RegistrationLimit", &r.RegistrationLimit, 1, 1000),
		farMoment("ExpirationDate", &r.ExpirationDate),
		tagsMember("Tags", &r.Tags),
		structuresMember("RegistrationMetadata", &r.RegistrationMetadata, 0, metadataItems),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *CreateActivationRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *CreateActivationRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// farMoment is a time that may be absent. One that no calendar has, such as milliseconds taken for seconds, is the end of
// time rather than none.
func farMoment(name string, v **time.Time) member {
	const end = latest - 1
	return member{
		name: name,
		decode: func(d *decoder) {
			if seconds, ok := d.float(); ok {
				at := time.UnixMilli(int64(math.Round(1000 * min(max(seconds, 0), end)))).UTC()
				*v = &at
			}
		},
		append: func(dst []byte) []byte {
			if *v == nil {
				return dst
			}
			return timeMember(dst, name, **v)
		},
	}
}

// A RegistrationMetadataItem is of no effect.
type RegistrationMetadataItem struct {
	Key   *string // required
	Value *string // required
}

func (i *RegistrationMetadataItem) members() []member {
	return []member{
		requiredText("Key", &i.Key, metadataKey),
		requiredText("Value", &i.Value, metadataValue),
	}
}

// CreateActivationResponse is the only answer that tells the code.
type CreateActivationResponse struct{ ActivationId, ActivationCode string }

// Decode reads body; its error is a *DecodeError.
func (r *CreateActivationResponse) Decode(body []byte) error {
	*r = CreateActivationResponse{}
	return decode(body, table{r})
}

func (r *CreateActivationResponse) members() []member {
	return []member{textMember("ActivationId", &r.ActivationId), textMember("ActivationCode", &r.ActivationCode)}
}

// AppendJSON appends the response to dst.
func (r *CreateActivationResponse) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// DescribeActivationsRequest asks for activations.
type DescribeActivationsRequest struct {
	Filters    []ActivationFilter
	MaxResults *int32 // 1 to 50
	NextToken  string // "" is absent
}

// Decode reads body; its error is a *DecodeError.
func (r *DescribeActivationsRequest) Decode(body []byte) error {
	*r = DescribeActivationsRequest{}
	return decode(body, table{r})
}

func (r *DescribeActivationsRequest) members() []member {
	return []member{
		structuresMember("Filters", &r.Filters, 0, listFilters),
		numberMember("MaxResults", &r.MaxResults, 1, mostResults),
		textMember("NextToken", &r.NextToken),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *DescribeActivationsRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *DescribeActivationsRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// An ActivationFilter asks for one property of several values.
type ActivationFilter struct {
	FilterKey    *string
	FilterValues []string
}

func (f *ActivationFilter) members() []member {
	return []member{
		optionalText("FilterKey", &f.FilterKey, filterOfActive),
		textsMember("FilterValues", &f.FilterValues, 0, maxRows, nil),
	}
}

// DescribeActivationsResponse is one page of activations.
type DescribeActivationsResponse struct {
	ActivationList []Activation // never absent
	NextToken      string       // absent when empty: on the last page
}

// Decode reads body; its error is a *DecodeError.
func (r *DescribeActivationsResponse) Decode(body []byte) error {
	*r = DescribeActivationsResponse{}
	return decode(body, table{r})
}

func (r *DescribeActivationsResponse) members() []member {
	return []member{presentStructures("ActivationList", &r.ActivationList), textMember("NextToken", &r.NextToken)}
}

// AppendJSON appends the response to dst.
func (r *DescribeActivationsResponse) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// An Activation is what is told of one: all but its code.
type Activation struct {
	ActivationId        string
	Description         string
	DefaultInstanceName string
	IamRole             string
	RegistrationLimit   *int32
	RegistrationsCount  *int32
	ExpirationDate      time.Time
	Expired             *bool
	CreatedDate         time.Time
	Tags                []Tag
}

func (a *Activation) members() []member {
	return []member{
		textMember("ActivationId", &a.ActivationId),
		textMember("Description", &a.Description),
		textMember("DefaultInstanceName", &a.DefaultInstanceName),
		textMember("IamRole", &a.IamRole),
		numberMember("RegistrationLimit", &a.RegistrationLimit, 1, 1000),
		numberMember("RegistrationsCount", &a.RegistrationsCount, 0, 1000),
		momentMember("ExpirationDate", &a.ExpirationDate),
		booleanMember("Expired", &a.Expired),
		momentMember("CreatedDate", &a.CreatedDate),
		tagsMember("Tags", &a.Tags),
	}
}

// DeleteActivationRequest names the activation to delete.
type DeleteActivationRequest struct {
	ActivationId *string // required
}

// Decode reads body; its error is a *DecodeError.
func (r *DeleteActivationRequest) Decode(body []byte) error {
	*r = DeleteActivationRequest{}
	return decode(body, table{r})
}

func (r *DeleteActivationRequest) members() []member {
	return []member{requiredText("ActivationId", &r.ActivationId, activationID)}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *DeleteActivationRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *DeleteActivationRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// DeregisterManagedInstanceRequest names the managed node to deregister.
type DeregisterManagedInstanceRequest struct {
	InstanceId *string // required
}

// Decode reads body; its error is a *DecodeError.
func (r *DeregisterManagedInstanceRequest) Decode(body []byte) error {
	*r = DeregisterManagedInstanceRequest{}
	return decode(body, table{r})
}

func (r *DeregisterManagedInstanceRequest) members() []member {
	return []member{requiredText("InstanceId", &r.InstanceId, managedNodeID)}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *DeregisterManagedInstanceRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *DeregisterManagedInstanceRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// UpdateManagedInstanceRoleRequest gives a managed node another role.
type UpdateManagedInstanceRoleRequest struct {
	InstanceId *string // required
	IamRole    *string // required
}

// Decode reads body; its error is a *DecodeError.
func (r *UpdateManagedInstanceRoleRequest) Decode(body []byte) error {
	*r = UpdateManagedInstanceRoleRequest{}
	return decode(body, table{r})
}

func (r *UpdateManagedInstanceRoleRequest) members() []member {
	return []member{
		requiredText("InstanceId", &r.InstanceId, managedNodeID),
		requiredText("IamRole", &r.IamRole, iamRole),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *UpdateManagedInstanceRoleRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *UpdateManagedInstanceRoleRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }
