package wire

import "time"

// ExplainNodeResponse is all that the service knows of how a node is doing, and what that means. Times that are not known
// are absent, and so are texts that are empty.
type ExplainNodeResponse struct {
	NodeId            string
	Status            string
	PingStatus        string
	StatusTime        time.Time // since when it has the status
	EnrolledTime      time.Time
	LastHeartbeatTime time.Time
	Information       Entry // AWS:InstanceInformation
	Types             []ExplainedType
	LastRefusal       *ExplainedRefusal
	Registration      *ExplainedRegistration
	Associations      []ExplainedAssociation
	IgnoredItems      []IgnoredItem
	Verdict           string
	NextSteps         []string
}

// Decode reads body; its error is a *DecodeError.
func (r *ExplainNodeResponse) Decode(body []byte) error {
	*r = ExplainNodeResponse{}
	return decode(body, table{r})
}

func (r *ExplainNodeResponse) members() []member {
	return []member{
		textMember("NodeId", &r.NodeId),
		textMember("Status", &r.Status),
		textMember("PingStatus", &r.PingStatus),
		momentMember("StatusTime", &r.StatusTime),
		momentMember("EnrolledTime", &r.EnrolledTime),
		momentMember("LastHeartbeatTime", &r.LastHeartbeatTime),
		{
			name:   "Information",
			decode: func(d *decoder) { r.Information = d.entry() },
			append: func(dst []byte) []byte {
				if r.Information == nil {
					return dst
				}
				return append(r.Information.AppendJSON(nameMember(dst, "Information")), ',')
			},
		},
		presentStructures("Types", &r.Types),
		structureMember("LastRefusal", &r.LastRefusal),
		structureMember("Registration", &r.Registration),
		presentStructures("Associations", &r.Associations),
		structuresMember("IgnoredItems", &r.IgnoredItems, 0, maxRows),
		textMember("Verdict", &r.Verdict),
		textsMember("NextSteps", &r.NextSteps, 0, maxRows, nil),
	}
}

// AppendJSON appends the response to dst.
func (r *ExplainNodeResponse) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// An ExplainedType is what a node last reported of one type.
type ExplainedType struct {
	TypeName      string
	SubType       string
	SchemaVersion string
	ArrivalTime   time.Time
	CaptureTime   string
	EntryCount    int32
	HasHash       bool // the next report may say by its hash that nothing changed
}

func (t *ExplainedType) members() []member {
	return []member{
		textMember("TypeName", &t.TypeName),
		textMember("SubType", &t.SubType),
		textMember("SchemaVersion", &t.SchemaVersion),
		momentMember("ArrivalTime", &t.ArrivalTime),
		textMember("CaptureTime", &t.CaptureTime),
		plainNumber("EntryCount", &t.EntryCount),
		plainBoolean("HasHash", &t.HasHash),
	}
}

// plainNumber is a number that is never absent.
func plainNumber(name string, v *int32) member {
	return member{
		name:   name,
		decode: func(d *decoder) { *v, _ = d.integer() },
		append: func(dst []byte) []byte { return integerMember(dst, name, *v) },
	}
}

// plainBoolean is true or false, and never absent.
func plainBoolean(name string, v *bool) member {
	return member{
		name:   name,
		decode: func(d *decoder) { *v, _ = d.boolean() },
		append: func(dst []byte) []byte {
			p := v
			return booleanMember(name, &p).append(dst)
		},
	}
}

// An ExplainedRefusal is the last time a node was refused.
type ExplainedRefusal struct {
	Action string
	Code   string
	Text   string
	Time   time.Time
}

func (r *ExplainedRefusal) members() []member {
	return []member{
		textMember("Action", &r.Action),
		textMember("Code", &r.Code),
		textMember("Text", &r.Text),
		momentMember("Time", &r.Time),
	}
}

// An ExplainedRegistration is how a node became a managed one.
type ExplainedRegistration struct {
	ActivationId     string
	IamRole          string
	Name             string
	RegistrationTime time.Time
	KeyTime          time.Time // when its key pair became known
}

func (r *ExplainedRegistration) members() []member {
	return []member{
		textMember("ActivationId", &r.ActivationId),
		textMember("IamRole", &r.IamRole),
		textMember("Name", &r.Name),
		momentMember("RegistrationTime", &r.RegistrationTime),
		momentMember("KeyTime", &r.KeyTime),
	}
}

// An ExplainedAssociation is how an association is doing on a node.
type ExplainedAssociation struct {
	AssociationId   string
	AssociationName string
	DocumentName    string
	DetailedStatus  string
	ErrorCode       string
	LastRunTime     time.Time
	LastSuccessTime time.Time
	NextRunTime     time.Time
	Summary         string
}

func (a *ExplainedAssociation) members() []member {
	return []member{
		textMember("AssociationId", &a.AssociationId),
		textMember("AssociationName", &a.AssociationName),
		textMember("DocumentName", &a.DocumentName),
		textMember("DetailedStatus", &a.DetailedStatus),
		textMember("ErrorCode", &a.ErrorCode),
		momentMember("LastRunTime", &a.LastRunTime),
		momentMember("LastSuccessTime", &a.LastSuccessTime),
		momentMember("NextRunTime", &a.NextRunTime),
		textMember("Summary", &a.Summary),
	}
}

// An IgnoredItem is one that a node sent and that was not stored, because its schema version is disabled.
type IgnoredItem struct {
	TypeName        string
	SchemaVersion   string
	DisabledVersion string    // with all below it
	Time            time.Time // when it first came on its day
}

func (i *IgnoredItem) members() []member {
	return []member{
		textMember("TypeName", &i.TypeName),
		textMember("SchemaVersion", &i.SchemaVersion),
		textMember("DisabledVersion", &i.DisabledVersion),
		momentMember("Time", &i.Time),
	}
}
