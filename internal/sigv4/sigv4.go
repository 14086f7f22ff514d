// Package sigv4 signs and verifies requests by AWS Signature Version 4, in its header form.
//
// A client calls [Sign]. A server makes one [Verifier] and, for each request, calls [Verifier.Headers] before it reads the
// body and [Claim.Verify] once it knows the hash of the bytes it received. Nothing of a request may be trusted before
// Verify has returned nil.
//
// Managed nodes sign the calls by which they get credentials with a key pair of their own, over the very same string:
// [SignPSS] signs so, and [Verifier.Claim] with [Claim.VerifyPSS] verifies it. [ByKeyPair] tells the kinds of signature
// apart.
//
// Promises: the signature covers the method, the host, every x-amz-* header and every byte of the body; secrets, tokens
// and signatures are compared in constant time; no error and no log of this package holds a secret or a signature; every
// refusal of a request is an [*Error] with the code and text an AWS client expects.
//
// It refuses what the awsJson protocol never sends: signatures in the query string, paths other than "/", query strings,
// unsigned and streaming payloads. It knows no accounts and no policies: keys come from a lookup function.
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

const (
	// Algorithm names the signing method, the first word of an Authorization header.
	Algorithm = "AWS4-HMAC-SHA256"

	terminator    = "aws4_request"
	timeLayout    = "20060102T150405Z"
	dateHeader    = "X-Amz-Date"
	tokenHeader   = "X-Amz-Security-Token"
	contentHeader = "X-Amz-Content-Sha256"
)

// Code is the error name an AWS client compares; every one is answered with HTTP status 400.
type Code string

// The refusals of this package.
const (
	CodeMissingToken     Code = "MissingAuthenticationTokenException" // not signed at all
	CodeIncomplete       Code = "IncompleteSignatureException"        // a part is missing or cannot be read
	CodeInvalidSignature Code = "InvalidSignatureException"           // wrong scope, time, headers or signature
	CodeUnrecognized     Code = "UnrecognizedClientException"         // unknown key, or a token that is not the key's
	CodeExpiredToken     Code = "ExpiredTokenException"               // the key's session is over
)

// Error is a refused request. Message is meant for the caller and holds no secret.
type Error struct {
	Code    Code
	Message string
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

const (
	messageMismatch = "The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	messageKeyPair = "The request signature does not match the public key registered for the node. " +
		"Check the node's clock and that its private key is the one it registered with."
	messageUnrecognized = "The security token included in the request is invalid."
	messageExpired      = "The security token included in the request is expired"
	messageMissing      = "Missing Authentication Token"
)

func incomplete(format string, args ...any) *Error {
	return &Error{CodeIncomplete, fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) *Error {
	return &Error{CodeInvalidSignature, fmt.Sprintf(format, args...)}
}

// quote cuts what a message repeats of a request to a length that is safe to answer and to log.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "..."
	}
	return "'" + s + "'"
}

func hexOf(hash [sha256.Size]byte) string { return hex.EncodeToString(hash[:]) }

func hmacSHA256(key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(nil)
}

// deriveKey gives the key that signs for one day, region and service.
func deriveKey(secret, date, region, service string) []byte {
	k := []byte("AWS4" + secret)
	for _, part := range [...]string{date, region, service, terminator} {
		k = hmacSHA256(k, []byte(part))
	}
	return k
}
