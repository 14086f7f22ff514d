package query

import (
	"bytes"
	"encoding/xml"
)

// AppendAnswer appends the body of an answer, which has status 200. Result is of the call's action; nil for one that
// answers nothing.
func (c *Call) AppendAnswer(dst []byte, requestID string, r Result) ([]byte, error) {
	dst = append(dst, "<"+c.Action+`Response xmlns="`+c.Service.namespace+`">`...)
	if r != nil {
		var body bytes.Buffer
		name := xml.StartElement{Name: xml.Name{Local: c.Action + "Result"}}
		if err := xml.NewEncoder(&body).EncodeElement(r, name); err != nil {
			return nil, err
		}
		dst = append(dst, body.Bytes()...)
	}
	dst = appendElement(append(dst, "<ResponseMetadata>"...), "RequestId", requestID)
	return append(dst, "</ResponseMetadata></"+c.Action+"Response>\n"...), nil
}

// AppendError appends the body of an error, which has the status of its code.
func (c *Call) AppendError(dst []byte, requestID string, e *Error) []byte {
	at := "Sender"
	if e.Code.Status() >= 500 {
		at = "Receiver"
	}
	dst = append(dst, `<ErrorResponse xmlns="`+c.Service.namespace+`"><Error>`...)
	dst = appendElement(dst, "Type", at)
	dst = appendElement(dst, "Code", string(e.Code))
	dst = appendElement(dst, "Message", e.Message)
	dst = appendElement(append(dst, "</Error>"...), "RequestId", requestID)
	return append(dst, "</ErrorResponse>\n"...)
}

// appendElement appends an element with a text; characters that XML cannot have become U+FFFD.
func appendElement(dst []byte, name, text string) []byte {
	var escaped bytes.Buffer
	// A buffer takes everything.
	_ = xml.EscapeText(&escaped, []byte(text))
	dst = append(dst, "<"+name+">"...)
	dst = append(dst, escaped.Bytes()...)
	return append(dst, "</"+name+">"...)
}
