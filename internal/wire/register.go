package wire

import "time"

// The shapes below are of the stock agent's own actions, which are in no public model: the constraints are this service's.

// keyText is what may be a public key, a fingerprint, an id or a code: only that no text is without end.
var keyText = &rule{most: 4096}

// RegisterManagedInstanceRequest is what a machine registers with: an activation and its code, or, for an EC2 instance
// that has an access key already, its own id as the fingerprint. Empty texts are absent.
type RegisterManagedInstanceRequest struct {
	ActivationCode *string
	ActivationId   *string
	PublicKey      *string // base64 of its DER form
	PublicKeyType  *string // Rsa
	Fingerprint    *string
}

// Decode reads body; its error is a *DecodeError.
func (r *RegisterManagedInstanceRequest) Decode(body []byte) error {
	*r = RegisterManagedInstanceRequest{}
	return decode(body, table{r})
}

func (r *RegisterManagedInstanceRequest) members() []member {
	return []member{
		optionalText("ActivationCode", &r.ActivationCode, longText),
		optionalText("ActivationId", &r.ActivationId, longText),
		optionalText("PublicKey", &r.PublicKey, keyText),
		optionalText("PublicKeyType", &r.PublicKeyType, longText),
		optionalText("Fingerprint", &r.Fingerprint, longText),
	}
}

// Validate holds the request to its constraints; its error is a *ValidationError.
func (r *RegisterManagedInstanceRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *RegisterManagedInstanceRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// RegisterManagedInstanceResponse gives the node's id.
type RegisterManagedInstanceResponse struct{ InstanceId string }

// Decode reads body; its error is a *DecodeError.
func (r *RegisterManagedInstanceResponse) Decode(body []byte) error {
	*r = RegisterManagedInstanceResponse{}
	return decode(body, table{r})
}

func (r *RegisterManagedInstanceResponse) members() []member {
	return []member{presentMember("InstanceId", &r.InstanceId)}
}

// AppendJSON appends the response to dst.
func (r *RegisterManagedInstanceResponse) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// RequestManagedInstanceRoleTokenRequest asks for credentials.
type RequestManagedInstanceRoleTokenRequest struct {
	Fingerprint *string // of the machine, as it registered
}

// Decode reads body; its error is a *DecodeError.
func (r *RequestManagedInstanceRoleTokenRequest) Decode(body []byte) error {
	*r = RequestManagedInstanceRoleTokenRequest{}
	return decode(body, table{r})
}

func (r *RequestManagedInstanceRoleTokenRequest) members() []member {
	return []member{optionalText("Fingerprint", &r.Fingerprint, longText)}
}

// Validate holds the request to its constraints; its error is a *ValidationError.
func (r *RequestManagedInstanceRoleTokenRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *RequestManagedInstanceRoleTokenRequest) AppendJSON(dst []byte) []byte {
	return table{r}.append(dst)
}

// RequestManagedInstanceRoleTokenResponse is the credentials. No member is ever absent: the stock agent fails where one
// is.
type RequestManagedInstanceRoleTokenResponse struct {
	AccessKeyId         string
	SecretAccessKey     string
	SessionToken        string
	TokenExpirationDate time.Time // never zero
	UpdateKeyPair       bool      // asks the node to make a new key pair
}

// String keeps the secret out of logs.
func (r RequestManagedInstanceRoleTokenResponse) String() string {
	return "role token " + r.AccessKeyId
}

// GoString keeps the secret out of %#v.
func (r RequestManagedInstanceRoleTokenResponse) GoString() string { return r.String() }

// Decode reads body; its error is a *DecodeError.
func (r *RequestManagedInstanceRoleTokenResponse) Decode(body []byte) error {
	*r = RequestManagedInstanceRoleTokenResponse{}
	return decode(body, table{r})
}

func (r *RequestManagedInstanceRoleTokenResponse) members() []member {
	update := &r.UpdateKeyPair
	rotation := booleanMember("UpdateKeyPair", &update)
	rotation.decode = func(d *decoder) { r.UpdateKeyPair, _ = d.boolean() }
	return []member{
		presentMember("AccessKeyId", &r.AccessKeyId),
		presentMember("SecretAccessKey", &r.SecretAccessKey),
		presentMember("SessionToken", &r.SessionToken),
		momentMember("TokenExpirationDate", &r.TokenExpirationDate),
		rotation,
	}
}

// AppendJSON appends the response to dst.
func (r *RequestManagedInstanceRoleTokenResponse) AppendJSON(dst []byte) []byte {
	return table{r}.append(dst)
}

// UpdateManagedInstancePublicKeyRequest has the node sign with another key pair from here on.
type UpdateManagedInstancePublicKeyRequest struct {
	NewPublicKey     *string // required; base64 of its DER form
	NewPublicKeyType *string // required; Rsa
}

// Decode reads body; its error is a *DecodeError.
func (r *UpdateManagedInstancePublicKeyRequest) Decode(body []byte) error {
	*r = UpdateManagedInstancePublicKeyRequest{}
	return decode(body, table{r})
}

func (r *UpdateManagedInstancePublicKeyRequest) members() []member {
	return []member{
		requiredText("NewPublicKey", &r.NewPublicKey, keyText),
		requiredText("NewPublicKeyType", &r.NewPublicKeyType, longText),
	}
}

// Validate holds the request to its constraints; its error is a *ValidationError.
func (r *UpdateManagedInstancePublicKeyRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *UpdateManagedInstancePublicKeyRequest) AppendJSON(dst []byte) []byte {
	return table{r}.append(dst)
}
