package wire

import (
	"regexp"
	"slices"
)

// ManagedInstance is the ResourceType of a node.
const ManagedInstance = "ManagedInstance"

// maxTags is how many tags or keys of tags one call names at most.
const maxTags = 1000

// The string shapes of tags.
var (
	resourceType = &rule{enum: []string{
		"Document", ManagedInstance, "MaintenanceWindow", "Parameter", "PatchBaseline", "OpsItem", "OpsMetadata", "Automation", "Association",
	}}
	tagKey   = taggable(1, 128)
	tagValue = taggable(0, 256)
)

func taggable(least, most int) *rule {
	const pattern = `^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$`
	return &rule{least: least, most: most, pattern: pattern, match: regexp.MustCompile(pattern).MatchString}
}

// A Tag is a label of a resource.
type Tag struct {
	Key, Value string // required

	absentKey, absentValue bool
}

func (t *Tag) decode(d *decoder) {
	t.absentKey, t.absentValue = true, true
	for name := range d.members {
		switch name {
		case "Key":
			t.absentKey = !d.text(&t.Key)
		case "Value":
			t.absentValue = !d.text(&t.Value)
		default:
			d.skip()
		}
	}
}

func (t *Tag) validate(c *checker) {
	c.str("key", t.Key, t.absentKey, tagKey)
	c.str("value", t.Value, t.absentValue, tagValue)
}

func (t *Tag) print(p *printer) {
	p.write("Tag(")
	p.member("key=", !t.absentKey, printed(t.Key))
	p.member(", value=", !t.absentValue, printed(t.Value))
	p.write(")")
}

func appendTag(dst []byte, t *Tag) []byte {
	dst = append(dst, '{')
	if !t.absentKey {
		dst = stringMember(dst, "Key", t.Key)
	}
	if !t.absentValue {
		dst = stringMember(dst, "Value", t.Value)
	}
	return closeObject(dst)
}

// Resource names what is tagged.
type Resource struct {
	ResourceType string // required
	ResourceId   string // required

	absentType, absentID bool
}

func absentResource() Resource { return Resource{absentType: true, absentID: true} }

// decodeMember reads one of its members and reports whether the name is one.
func (r *Resource) decodeMember(d *decoder, name string) bool {
	switch name {
	case "ResourceType":
		r.absentType = !d.text(&r.ResourceType)
	case "ResourceId":
		r.absentID = !d.text(&r.ResourceId)
	default:
		return false
	}
	return true
}

func (r *Resource) validate(c *checker) {
	c.str("resourceType", r.ResourceType, r.absentType, resourceType)
	if r.absentID {
		c.required("resourceId")
	}
}

func (r *Resource) appendMembers(dst []byte) []byte {
	if !r.absentType {
		dst = stringMember(dst, "ResourceType", r.ResourceType)
	}
	if !r.absentID {
		dst = stringMember(dst, "ResourceId", r.ResourceId)
	}
	return dst
}

// AddTagsToResourceRequest adds tags to a resource, over those with the same keys.
type AddTagsToResourceRequest struct {
	Resource
	Tags []Tag // required
}

// Decode reads body; its error is a *DecodeError.
func (r *AddTagsToResourceRequest) Decode(body []byte) error {
	*r = AddTagsToResourceRequest{Resource: absentResource()}
	return decode(body, r)
}

func (r *AddTagsToResourceRequest) decode(d *decoder) {
	for name := range d.members {
		switch {
		case r.decodeMember(d, name):
		case name == "Tags":
			r.Tags = list(d, maxTags, element[Tag])
		default:
			d.skip()
		}
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *AddTagsToResourceRequest) Validate() error { return validate(r) }

func (r *AddTagsToResourceRequest) validate(c *checker) {
	r.Resource.validate(c)
	if r.Tags == nil {
		c.required("tags")
		return
	}
	structures(c, "tags", r.Tags, 0, maxTags)
}

// AppendJSON appends the request to dst.
func (r *AddTagsToResourceRequest) AppendJSON(dst []byte) []byte {
	dst = r.appendMembers(append(dst, '{'))
	return closeObject(listMember(dst, "Tags", r.Tags, appendTag))
}

// RemoveTagsFromResourceRequest removes tags of a resource by their keys.
type RemoveTagsFromResourceRequest struct {
	Resource
	TagKeys []string // required
}

// Decode reads body; its error is a *DecodeError.
func (r *RemoveTagsFromResourceRequest) Decode(body []byte) error {
	*r = RemoveTagsFromResourceRequest{Resource: absentResource()}
	return decode(body, r)
}

func (r *RemoveTagsFromResourceRequest) decode(d *decoder) {
	for name := range d.members {
		switch {
		case r.decodeMember(d, name):
		case name == "TagKeys":
			r.TagKeys = list(d, maxRows, value)
		default:
			d.skip()
		}
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *RemoveTagsFromResourceRequest) Validate() error { return validate(r) }

func (r *RemoveTagsFromResourceRequest) validate(c *checker) {
	r.Resource.validate(c)
	if r.TagKeys == nil {
		c.required("tagKeys")
		return
	}
	if slices.ContainsFunc(r.TagKeys, func(key string) bool { return !tagKey.holds(key) }) {
		mark := c.enter("tagKeys")
		c.violation(values(r.TagKeys), "Member must satisfy constraint: "+tagKey.list())
		c.leave(mark)
	}
}

// AppendJSON appends the request to dst.
func (r *RemoveTagsFromResourceRequest) AppendJSON(dst []byte) []byte {
	dst = r.appendMembers(append(dst, '{'))
	return closeObject(listMember(dst, "TagKeys", r.TagKeys, appendValue))
}

// ListTagsForResourceRequest asks for the tags of a resource.
type ListTagsForResourceRequest struct{ Resource }

// Decode reads body; its error is a *DecodeError.
func (r *ListTagsForResourceRequest) Decode(body []byte) error {
	*r = ListTagsForResourceRequest{Resource: absentResource()}
	return decode(body, r)
}

func (r *ListTagsForResourceRequest) decode(d *decoder) {
	for name := range d.members {
		if !r.decodeMember(d, name) {
			d.skip()
		}
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *ListTagsForResourceRequest) Validate() error { return validate(r) }

// AppendJSON appends the request to dst.
func (r *ListTagsForResourceRequest) AppendJSON(dst []byte) []byte {
	return closeObject(r.appendMembers(append(dst, '{')))
}

// ListTagsForResourceResponse lists them by key.
type ListTagsForResourceResponse struct{ TagList []Tag } // never absent

// Decode reads body; its error is a *DecodeError.
func (r *ListTagsForResourceResponse) Decode(body []byte) error {
	*r = ListTagsForResourceResponse{}
	return decode(body, r)
}

func (r *ListTagsForResourceResponse) decode(d *decoder) {
	for name := range d.members {
		if name == "TagList" {
			r.TagList = list(d, maxRows, element[Tag])
		} else {
			d.skip()
		}
	}
}

// AppendJSON appends the response to dst.
func (r *ListTagsForResourceResponse) AppendJSON(dst []byte) []byte {
	return closeObject(requiredList(append(dst, '{'), "TagList", r.TagList, appendTag))
}
