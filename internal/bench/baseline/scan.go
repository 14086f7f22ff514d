package baseline

import (
	"bytes"
	"encoding/json"
	"errors"
)

// report is a PutInventory request as far as it is looked at.
type report struct {
	node       string
	items      []item
	hasContent bool
}

// item is one document of a report. Content is its JSON as it came, nil where the item is only a hash.
type item struct {
	typeName, schemaVersion, captured, hash string
	content                                 []byte
}

var errMalformed = errors.New("the body is not the JSON of a report")

// scanReport finds the parts of a report. Content is skipped over, for PostgreSQL reads it anyway.
func scanReport(body []byte) (report, error) {
	s := &scanner{text: body}
	var r report
	s.object(func(name string) {
		switch name {
		case "InstanceId":
			r.node = s.string()
		case "Items":
			s.list(func() {
				it := s.item()
				r.items = append(r.items, it)
				r.hasContent = r.hasContent || it.content != nil
			})
		default:
			s.skip()
		}
	})
	if s.failed || r.node == "" || len(r.items) == 0 {
		return report{}, errMalformed
	}
	return r, nil
}

func (s *scanner) item() item {
	var it item
	s.object(func(name string) {
		switch name {
		case "TypeName":
			it.typeName = s.string()
		case "SchemaVersion":
			it.schemaVersion = s.string()
		case "CaptureTime":
			it.captured = s.string()
		case "ContentHash":
			it.hash = s.string()
		case "Content":
			it.content = s.skip()
		default:
			s.skip()
		}
	})
	return it
}

// scanner reads JSON from front to back, and checks no more of it than it needs.
type scanner struct {
	text   []byte
	at     int
	failed bool
}

// next gives the next byte that is no space, or 0.
func (s *scanner) next() byte {
	for s.at < len(s.text) {
		if c := s.text[s.at]; c > ' ' {
			return c
		}
		s.at++
	}
	return 0
}

func (s *scanner) take(c byte) bool {
	if s.failed || s.next() != c {
		return false
	}
	s.at++
	return true
}

func (s *scanner) must(c byte) {
	s.failed = s.failed || !s.take(c)
}

// object calls member for each name of an object; member reads the value.
func (s *scanner) object(member func(name string)) {
	s.must('{')
	for first := true; !s.failed && !s.take('}'); first = false {
		if !first {
			s.must(',')
		}
		name := s.string()
		s.must(':')
		if !s.failed {
			member(name)
		}
	}
}

func (s *scanner) list(element func()) {
	s.must('[')
	for first := true; !s.failed && !s.take(']'); first = false {
		if !first {
			s.must(',')
		}
		if !s.failed {
			element()
		}
	}
}

func (s *scanner) string() string {
	raw := s.quoted()
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(bytes.Trim(raw, `"`))
	}
	var text string
	s.failed = s.failed || json.Unmarshal(raw, &text) != nil
	return text
}

// quoted reads over a string and gives it with its quotes.
func (s *scanner) quoted() []byte {
	if s.next() == '"' {
		start := s.at
		for at := s.at + 1; at < len(s.text); at++ {
			step := bytes.IndexByte(s.text[at:], '"')
			if step < 0 {
				break
			}
			at += step
			slashes := 0
			for s.text[at-1-slashes] == '\\' {
				slashes++
			}
			if slashes%2 == 0 {
				s.at = at + 1
				return s.text[start:s.at]
			}
		}
	}
	s.failed = true
	return nil
}

// skip reads over one value of any kind and gives its text.
func (s *scanner) skip() []byte {
	s.next()
	start, depth := s.at, 0
	for !s.failed {
		switch c := s.next(); c {
		case 0:
			s.failed = true
		case '"':
			s.quoted()
		case '{', '[':
			depth++
			s.at++
		case '}', ']':
			depth--
			s.at++
		case ',', ':':
			s.at++
			continue // a value follows
		default: // a number or a word
			for s.at < len(s.text) && !bytes.ContainsRune([]byte(",:]} \n\r\t"), rune(s.text[s.at])) {
				s.at++
			}
		}
		if depth <= 0 && !s.failed {
			s.failed = depth < 0
			return s.text[start:s.at]
		}
	}
	return nil
}
