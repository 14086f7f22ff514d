// Package wire holds the JSON shapes of the API: the request and the response of every action, what the API model
// demands of each member, the strict decoding of a body, and the names of the errors. It decides nothing about
// inventory; it only says whether bytes are a request of the documented form.
//
// Begin with a request shape: a server calls its Decode with the body and then Validate; a client fills the shape in
// and calls AppendJSON, and Decode of the response shape on the answer.
//
// # What Decode accepts
//
// Member names are matched exactly. A member that is null counts as absent, and so does a map value that is null; a
// list element that is null is refused. Unknown members are read over, but they must be well-formed. Refused are: keys
// given twice in one object (of any object, known or not, after unescaping), bytes that are no valid UTF-8, surrogates
// without their partner, control characters in strings, anything after the closing brace, nesting deeper than 64, and
// an object of more than 10,000 members. An integer takes any JSON number: its fraction is cut off, and a number beyond 32
// bits is a type error. The first fault met in reading order is the one reported.
//
// A refusal is a *DecodeError, to be answered as SerializationException. Malformed JSON has no text, type errors have
// the texts the live service's front end was observed to use, and the refusals that are our own decision have texts of
// our own in the same manner.
//
// A list longer than the model allows is read to its end but kept only to one element past the limit, and a map
// likewise: enough for Validate to refuse it, and no small body can grow into a large value.
//
// # Memory
//
// The body is converted to a string once and every string of the shape is a part of it. Keeping one such string keeps
// the whole body; clone what is kept for long.
//
// # What Validate says
//
// Validate reports every violation of a request in one *ValidationError, in the order of the model's members. Printed
// values are cut at 512 bytes and end in "..." then; after 32 violations the text ends in "; ..." while its count
// stays true. Lengths count characters (code points). Patterns are matched against the whole value, a trailing line end
// included, except UUID, which the model leaves unanchored.
package wire
