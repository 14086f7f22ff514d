package simulate

import (
	"unicode/utf8"

	"stocktake/internal/inventory"
)

// AppendPutInventory appends the report as the JSON body of a PutInventory call and gives the longer slice. Content is
// absent from items that are only a hash.
func (r Report) AppendPutInventory(dst []byte) []byte {
	dst = append(dst, `{"InstanceId":`...)
	dst = appendString(dst, string(r.Node))
	dst = append(dst, `,"Items":[`...)
	for i := range r.Items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendItem(dst, &r.Items[i])
	}
	return append(dst, `]}`...)
}

func appendItem(dst []byte, item *inventory.Item) []byte {
	dst = append(dst, `{"TypeName":`...)
	dst = appendString(dst, string(item.Type))
	dst = append(dst, `,"SchemaVersion":`...)
	dst = appendString(dst, item.SchemaVersion)
	dst = append(dst, `,"CaptureTime":`...)
	dst = appendString(dst, item.CaptureTime)
	dst = append(dst, `,"ContentHash":`...)
	dst = appendString(dst, item.ContentHash)
	if !item.HasContent {
		return append(dst, '}')
	}
	dst = append(dst, `,"Content":[`...)
	for i, entry := range item.Content {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		for j, a := range entry {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(dst, a.Name)
			dst = append(dst, ':')
			dst = appendString(dst, a.Value)
		}
		dst = append(dst, '}')
	}
	return append(dst, `]}`...)
}

// appendString appends a JSON string. Bytes that are no UTF-8 become the replacement character, as in encoding/json.
func appendString(dst []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if c >= utf8.RuneSelf && (r != utf8.RuneError || size > 1) {
			i += size
			continue
		}
		dst = append(dst, s[from:i]...)
		if c >= utf8.RuneSelf {
			dst = append(dst, "\ufffd"...)
		} else {
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
		}
		i += size
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}
