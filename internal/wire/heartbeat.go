package wire

// platformType is what an agent may say its node runs.
var platformType = &rule{enum: []string{"Windows", "Linux", "MacOS"}}

// UpdateInstanceInformationRequest is an agent's heartbeat. A ping has the agent's name and version and the platform's
// type beside the id; the full form has AgentStatus and all that the agent knows of its node. Empty texts are absent.
type UpdateInstanceInformationRequest struct {
	InstanceId           string // required
	AgentName            string
	AgentStatus          string // Active, or what the agent stops with
	AgentVersion         string
	AvailabilityZone     string
	AvailabilityZoneId   string
	ComputerName         string
	IPAddress            string
	PlatformName         string
	PlatformType         string // Windows, Linux or MacOS
	PlatformVersion      string
	SSMConnectionChannel string

	absent bool
}

// texts gives the members that are texts of the agent's own, by their names, in the order they are written.
func (r *UpdateInstanceInformationRequest) texts() []namedText {
	return []namedText{
		{"AgentName", "agentName", &r.AgentName},
		{"AgentStatus", "agentStatus", &r.AgentStatus},
		{"AgentVersion", "agentVersion", &r.AgentVersion},
		{"AvailabilityZone", "availabilityZone", &r.AvailabilityZone},
		{"AvailabilityZoneId", "availabilityZoneId", &r.AvailabilityZoneId},
		{"ComputerName", "computerName", &r.ComputerName},
		{"IPAddress", "iPAddress", &r.IPAddress},
		{"PlatformName", "platformName", &r.PlatformName},
		{"PlatformVersion", "platformVersion", &r.PlatformVersion},
		{"SSMConnectionChannel", "sSMConnectionChannel", &r.SSMConnectionChannel},
	}
}

// namedText is a member that is a text: its name in JSON, in violations, and where it lies.
type namedText struct {
	name, path string
	text       *string
}

// Decode reads body; its error is a *DecodeError.
func (r *UpdateInstanceInformationRequest) Decode(body []byte) error {
	*r = UpdateInstanceInformationRequest{}
	return decode(body, r)
}

func (r *UpdateInstanceInformationRequest) decode(d *decoder) {
	r.absent = true
	texts := r.texts()
members:
	for name := range d.members {
		switch name {
		case "InstanceId":
			r.absent = !d.text(&r.InstanceId)
			continue
		case "PlatformType":
			d.text(&r.PlatformType)
			continue
		}
		for _, t := range texts {
			if t.name == name {
				d.text(t.text)
				continue members
			}
		}
		d.skip()
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *UpdateInstanceInformationRequest) Validate() error { return validate(r) }

func (r *UpdateInstanceInformationRequest) validate(c *checker) {
	c.str("instanceId", r.InstanceId, r.absent, nodeID)
	for _, t := range r.texts() {
		c.optional(t.path, t.text, attributeValue)
	}
	if r.PlatformType != "" {
		c.optional("platformType", &r.PlatformType, platformType)
	}
}

// AppendJSON appends the request to dst.
func (r *UpdateInstanceInformationRequest) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	if !r.absent {
		dst = stringMember(dst, "InstanceId", r.InstanceId)
	}
	for _, t := range r.texts() {
		dst = optionalMember(dst, t.name, *t.text)
	}
	dst = optionalMember(dst, "PlatformType", r.PlatformType)
	return closeObject(dst)
}
