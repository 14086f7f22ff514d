package wire

import (
	"maps"
	"slices"
	"strconv"
	"time"
)

// The string shapes of associations.
var (
	associationID      = whole(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`)
	associationName    = whole(`^[a-zA-Z0-9_\-.]{3,128}$`)
	associationVersion = whole(`([$]LATEST)|([1-9][0-9]*)`)
	scheduleExpression = &rule{least: 1, most: 256}
	mostErrors         = whole7(`^([1-9][0-9]*|[0]|[1-9][0-9]%|[0-9]%|100%)$`)
	mostConcurrent     = whole7(`^([1-9][0-9]*|[1-9][0-9]%|[1-9]%|100%)$`)
	severity           = &rule{enum: []string{"CRITICAL", "HIGH", "MEDIUM", "LOW", "UNSPECIFIED"}}
	syncCompliance     = &rule{enum: []string{"AUTO", "MANUAL"}}
	automationTarget   = &rule{least: 1, most: 50}
	dispatchRole       = &rule{least: 1, most: 512, pattern: dispatchRolePattern, match: whole(dispatchRolePattern).match}
	bucketRegion       = &rule{least: 3, most: 20}
	bucketName         = &rule{least: 3, most: 63}
	bucketPrefix       = &rule{most: 500}
	targetKey          = &rule{least: 1, most: 163, pattern: targetKeyPattern, match: whole(targetKeyPattern).match}
	statusName         = &rule{enum: []string{"Pending", "Success", "Failed"}}
	statusMessage      = &rule{least: 1, most: 1024}
	statusAdditional   = &rule{most: 1024}
)

const (
	dispatchRolePattern = `arn:aws(-[^:]+)?:iam::[0-9]{12}:role/.+`
	targetKeyPattern    = `^[\p{L}\p{Z}\p{N}_.:/=\-@]*$|resource-groups:ResourceTypeFilters|resource-groups:Name`

	maxTargets      = 5
	maxTargetValues = 50
	maxCalendars    = 1000 // the model has no bound
)

// whole7 is a pattern of at most seven characters.
func whole7(pattern string) *rule {
	r := whole(pattern)
	r.least, r.most = 1, 7
	return r
}

// A Target says which nodes an association is for.
type Target struct {
	Key    *string // InstanceIds, tag:<key>, ...
	Values []string
}

func (t *Target) members() []member {
	return []member{
		optionalText("Key", &t.Key, targetKey),
		textsMember("Values", &t.Values, 0, maxTargetValues, nil),
	}
}

// An OutputLocation is where nodes put the output of runs.
type OutputLocation struct{ S3Location *S3Location }

func (o *OutputLocation) members() []member {
	return []member{structureMember("S3Location", &o.S3Location)}
}

// An S3Location is a place in a bucket.
type S3Location struct{ OutputS3Region, OutputS3BucketName, OutputS3KeyPrefix *string }

func (l *S3Location) members() []member {
	return []member{
		optionalText("OutputS3Region", &l.OutputS3Region, bucketRegion),
		optionalText("OutputS3BucketName", &l.OutputS3BucketName, bucketName),
		optionalText("OutputS3KeyPrefix", &l.OutputS3KeyPrefix, bucketPrefix),
	}
}

// AssociationSettings are the members that requests and answers about an association share: what it is to do, where and
// when. Every one may be absent.
type AssociationSettings struct {
	Name                          *string // of the document
	DocumentVersion               *string
	Parameters                    []Parameter
	Targets                       []Target
	ScheduleExpression            *string
	OutputLocation                *OutputLocation
	AssociationName               *string
	AutomationTargetParameterName *string
	MaxErrors, MaxConcurrency     *string
	ComplianceSeverity            *string
	SyncCompliance                *string
	ApplyOnlyAtCronInterval       *bool
	CalendarNames                 []string
	TargetLocations               Raw
	ScheduleOffset                *int32 // days, 1 to 6
	Duration                      *int32 // hours, 1 to 24
	TargetMaps                    Raw
	AlarmConfiguration            Raw
	AssociationDispatchAssumeRole *string
}

func (s *AssociationSettings) members() []member {
	return []member{
		optionalText("Name", &s.Name, documentName),
		optionalText("DocumentVersion", &s.DocumentVersion, documentVersion),
		parametersMember("Parameters", &s.Parameters),
		structuresMember("Targets", &s.Targets, 0, maxTargets),
		optionalText("ScheduleExpression", &s.ScheduleExpression, scheduleExpression),
		structureMember("OutputLocation", &s.OutputLocation),
		optionalText("AssociationName", &s.AssociationName, associationName),
		optionalText("AutomationTargetParameterName", &s.AutomationTargetParameterName, automationTarget),
		optionalText("MaxErrors", &s.MaxErrors, mostErrors),
		optionalText("MaxConcurrency", &s.MaxConcurrency, mostConcurrent),
		optionalText("ComplianceSeverity", &s.ComplianceSeverity, severity),
		optionalText("SyncCompliance", &s.SyncCompliance, syncCompliance),
		booleanMember("ApplyOnlyAtCronInterval", &s.ApplyOnlyAtCronInterval),
		textsMember("CalendarNames", &s.CalendarNames, 0, maxCalendars, nil),
		rawMember("TargetLocations", &s.TargetLocations),
		numberMember("ScheduleOffset", &s.ScheduleOffset, 1, 6),
		numberMember("Duration", &s.Duration, 1, 24),
		rawMember("TargetMaps", &s.TargetMaps),
		rawMember("AlarmConfiguration", &s.AlarmConfiguration),
		optionalText("AssociationDispatchAssumeRole", &s.AssociationDispatchAssumeRole, dispatchRole),
	}
}

// named gives the members with the document's name required.
func (s *AssociationSettings) named() []member {
	all := s.members()
	all[0] = requiredText("Name", &s.Name, documentName)
	return all
}

// An AssociationDescription is all there is to say of an association at one version. Times go to the millisecond.
type AssociationDescription struct {
	AssociationSettings
	AssociationId               string
	AssociationVersion          string
	InstanceId                  string // of one made for a single node
	Date                        time.Time
	LastUpdateAssociationDate   time.Time
	Status                      *AssociationStatus
	Overview                    *AssociationOverview
	LastExecutionDate           time.Time
	LastSuccessfulExecutionDate time.Time
}

func (a *AssociationDescription) members() []member {
	return append(
		a.AssociationSettings.members(),
		textMember("InstanceId", &a.InstanceId),
		textMember("AssociationVersion", &a.AssociationVersion),
		momentMember("Date", &a.Date),
		momentMember("LastUpdateAssociationDate", &a.LastUpdateAssociationDate),
		structureMember("Status", &a.Status),
		structureMember("Overview", &a.Overview),
		textMember("AssociationId", &a.AssociationId),
		momentMember("LastExecutionDate", &a.LastExecutionDate),
		momentMember("LastSuccessfulExecutionDate", &a.LastSuccessfulExecutionDate),
	)
}

// AssociationDescriptionResponse answers the actions that give one association.
type AssociationDescriptionResponse struct{ AssociationDescription *AssociationDescription }

// Decode reads body; its error is a *DecodeError.
func (r *AssociationDescriptionResponse) Decode(body []byte) error {
	*r = AssociationDescriptionResponse{}
	return decode(body, table{r})
}

func (r *AssociationDescriptionResponse) members() []member {
	return []member{structureMember("AssociationDescription", &r.AssociationDescription)}
}

// AppendJSON appends the response to dst.
func (r *AssociationDescriptionResponse) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// An AssociationStatus is what was last said of an association made for a single node.
type AssociationStatus struct {
	Date           *time.Time // required
	Name           *string    // required
	Message        *string    // required
	AdditionalInfo *string
}

func (s *AssociationStatus) members() []member {
	return []member{
		requiredMoment("Date", &s.Date),
		requiredText("Name", &s.Name, statusName),
		requiredText("Message", &s.Message, statusMessage),
		optionalText("AdditionalInfo", &s.AdditionalInfo, statusAdditional),
	}
}

// An AssociationOverview sums up the nodes of an association.
type AssociationOverview struct {
	Status                           string
	DetailedStatus                   string
	AssociationStatusAggregatedCount []Count
}

func (o *AssociationOverview) members() []member {
	return []member{
		textMember("Status", &o.Status),
		textMember("DetailedStatus", &o.DetailedStatus),
		countsMember("AssociationStatusAggregatedCount", &o.AssociationStatusAggregatedCount),
	}
}

// A Count is one entry of a map from names to numbers.
type Count struct {
	Name string
	N    int32
}

// countsMember is a map from names to numbers, absent when nil.
func countsMember(name string, v *[]Count) member {
	return member{
		name: name,
		decode: func(d *decoder) {
			if !d.expect('{') {
				return
			}
			all := []Count{}
			for key := range d.members {
				if n, ok := d.integer(); ok {
					all = append(all, Count{Name: key, N: n})
				}
			}
			*v = all
		},
		append: func(dst []byte) []byte {
			if *v == nil {
				return dst
			}
			dst = append(nameMember(dst, name), '{')
			for _, count := range *v {
				dst = append(appendString(dst, count.Name), ':')
				dst = append(strconv.AppendInt(dst, int64(count.N), 10), ',')
			}
			return append(closeObject(dst), ',')
		},
	}
}

// NewTarget makes a target.
func NewTarget(key string, values []string) Target { return Target{Key: &key, Values: values} }

// NewOutputLocation makes a place in a bucket; what is empty is absent.
func NewOutputLocation(region, bucket, prefix string) *OutputLocation {
	given := func(text string) *string {
		if text == "" {
			return nil
		}
		return &text
	}
	return &OutputLocation{S3Location: &S3Location{OutputS3Region: given(region), OutputS3BucketName: given(bucket), OutputS3KeyPrefix: given(prefix)}}
}

// NewParameters gives parameters by name; nil for none.
func NewParameters(all map[string][]string) []Parameter {
	var out []Parameter
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, Parameter{Name: name, Values: all[name]})
	}
	return out
}
