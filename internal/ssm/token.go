package ssm

import (
	"crypto/sha256"
	"encoding/json"
	"time"

	"stocktake/internal/inventory"
)

// tokenLife is how long a page token is good for.
const tokenLife = 24 * time.Hour

// token is what a NextToken holds, sealed. It binds the page that follows to who asked, for what, and in which question;
// MaxResults is no part of the question, so a caller may change it between pages.
type token struct {
	Account  string `json:"a"`
	Region   string `json:"r"`
	Action   string `json:"o"`
	Question []byte `json:"q"`
	Issued   int64  `json:"t"`
	// After is the last id or key of the page before, Offset the number of rows before, Basis what must not have changed
	// since; which of them are used depends on the action.
	After  string `json:"f,omitempty"`
	Offset int    `json:"n,omitempty"`
	Basis  []byte `json:"b,omitempty"`
}

// question digests what a token is bound to. The value must hold all that the caller asked but MaxResults and NextToken.
func question(asked any) ([]byte, error) {
	text, err := json.Marshal(asked)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	return sum[:16], nil
}

// sealToken makes the NextToken.
func (s *Service) sealToken(p inventory.Partition, action string, question []byte, t token) (string, error) {
	t.Account, t.Region, t.Action, t.Question = p.Account, p.Region, action, question
	t.Issued = time.Now().Unix()
	plain, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	return s.seal.Token(plain), nil
}

// openToken undoes sealToken. The empty token is the first page: nil. One that is foreign, altered, of another account,
// region, action or question, or too old is InvalidNextToken.
func (s *Service) openToken(p inventory.Partition, action string, question []byte, sealed string) (*token, error) {
	if sealed == "" {
		return nil, nil
	}
	bad := inventory.Errorf(inventory.InvalidNextToken, "The specified token isn't valid. Repeat the request without NextToken to begin again.")
	plain, err := s.seal.OpenToken(sealed)
	if err != nil {
		return nil, bad
	}
	var t token
	if err := json.Unmarshal(plain, &t); err != nil {
		return nil, bad
	}
	if t.Account != p.Account || t.Region != p.Region || t.Action != action {
		return nil, bad
	}
	if string(t.Question) != string(question) {
		return nil, inventory.Errorf(inventory.InvalidNextToken, "The specified token belongs to a request with other parameters. Repeat them unchanged (MaxResults may differ), or begin again without NextToken.")
	}
	if age := time.Since(time.Unix(t.Issued, 0)); age > tokenLife || age < -tokenLife {
		return nil, inventory.Errorf(inventory.InvalidNextToken, "The specified token has expired: tokens are good for %d hours. Repeat the request without NextToken.", int(tokenLife.Hours()))
	}
	return &t, nil
}
