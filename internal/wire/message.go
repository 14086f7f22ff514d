package wire

// The shapes below are of the service that delivers messages to agents (targets
// `EC2WindowsMessageDeliveryService.<Action>`), as the stock agent sends and reads them.

// The string shapes of messages. No model bounds them.
var (
	messageID        = &rule{least: 1, most: 1024}
	messageRequestID = &rule{most: 1024}
)

// GetMessagesRequest asks for messages to a node, and is held until there are some.
type GetMessagesRequest struct {
	Destination                *string // required; the node
	MessagesRequestId          *string
	VisibilityTimeoutInSeconds *int32
}

// Decode reads body; its error is a *DecodeError.
func (r *GetMessagesRequest) Decode(body []byte) error {
	*r = GetMessagesRequest{}
	return decode(body, table{r})
}

func (r *GetMessagesRequest) members() []member {
	return []member{
		requiredText("Destination", &r.Destination, nodeID),
		optionalText("MessagesRequestId", &r.MessagesRequestId, messageRequestID),
		numberMember("VisibilityTimeoutInSeconds", &r.VisibilityTimeoutInSeconds, 0, 43_200),
	}
}

// Validate holds the request to its constraints; its error is a *ValidationError.
func (r *GetMessagesRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *GetMessagesRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// GetMessagesResponse is what there is for a node. Its three members are never absent.
type GetMessagesResponse struct {
	Destination       string
	MessagesRequestId string
	Messages          []Message
}

// Decode reads body; its error is a *DecodeError.
func (r *GetMessagesResponse) Decode(body []byte) error {
	*r = GetMessagesResponse{}
	return decode(body, table{r})
}

func (r *GetMessagesResponse) members() []member {
	return []member{
		presentMember("Destination", &r.Destination),
		presentMember("MessagesRequestId", &r.MessagesRequestId),
		presentStructures("Messages", &r.Messages),
	}
}

// AppendJSON appends the response to dst.
func (r *GetMessagesResponse) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// A Message is one message to a node.
type Message struct {
	MessageId     string
	CreatedDate   string
	Destination   string
	Topic         string
	Payload       string
	PayloadDigest string
}

func (m *Message) members() []member {
	return []member{
		presentMember("MessageId", &m.MessageId),
		presentMember("CreatedDate", &m.CreatedDate),
		presentMember("Destination", &m.Destination),
		presentMember("Topic", &m.Topic),
		presentMember("Payload", &m.Payload),
		presentMember("PayloadDigest", &m.PayloadDigest),
	}
}

// MessageRequest is what an agent says about one message: that it has it, what came of it, that it failed, that it can go.
// A message's id ends in the id of its node.
type MessageRequest struct {
	MessageId   *string // required
	Payload     string  // of SendReply
	ReplyId     string  // of SendReply
	FailureType string  // of FailMessage
}

// Decode reads body; its error is a *DecodeError.
func (r *MessageRequest) Decode(body []byte) error {
	*r = MessageRequest{}
	return decode(body, table{r})
}

func (r *MessageRequest) members() []member {
	return []member{
		requiredText("MessageId", &r.MessageId, messageID),
		textMember("Payload", &r.Payload),
		textMember("ReplyId", &r.ReplyId),
		textMember("FailureType", &r.FailureType),
	}
}

// Validate holds the request to its constraints; its error is a *ValidationError.
func (r *MessageRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *MessageRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }
