package ssm

import (
	"encoding/base64"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/seal"
)

func tokenService(t testing.TB) *Service {
	t.Helper()
	box, err := seal.New([32]byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	return &Service{seal: box}
}

var tokenPartition = inventory.Partition{Account: "111122223333", Region: "eu-west-1"}

func TestTokenOpensOnlyForItsQuestion(t *testing.T) {
	s := tokenService(t)
	asked := []byte("question")
	sealed, err := s.sealToken(tokenPartition, "GetInventory", asked, token{After: "i-00000001", Offset: 7, Basis: []byte{9}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.openToken(tokenPartition, "GetInventory", asked, sealed)
	if err != nil || got.After != "i-00000001" || got.Offset != 7 || string(got.Basis) != "\x09" {
		t.Fatalf("opened %+v, %v", got, err)
	}
	otherAccount, otherRegion := tokenPartition, tokenPartition
	otherAccount.Account, otherRegion.Region = "444455556666", "eu-west-2"
	for name, open := range map[string]func() (*token, error){
		"account":  func() (*token, error) { return s.openToken(otherAccount, "GetInventory", asked, sealed) },
		"region":   func() (*token, error) { return s.openToken(otherRegion, "GetInventory", asked, sealed) },
		"action":   func() (*token, error) { return s.openToken(tokenPartition, "ListNodes", asked, sealed) },
		"question": func() (*token, error) { return s.openToken(tokenPartition, "GetInventory", []byte("other"), sealed) },
	} {
		if _, err := open(); inventory.CodeOf(err) != inventory.InvalidNextToken {
			t.Errorf("another %s: got %v, want InvalidNextToken", name, err)
		}
	}
}

func TestAlteredTokenIsRefused(t *testing.T) {
	s := tokenService(t)
	sealed, err := s.sealToken(tokenPartition, "GetInventory", nil, token{After: "i-00000001"})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(raw) {
		raw[bit/8] ^= 1 << (bit % 8)
		if _, err := s.openToken(tokenPartition, "GetInventory", nil, base64.RawURLEncoding.EncodeToString(raw)); inventory.CodeOf(err) != inventory.InvalidNextToken {
			t.Fatalf("bit %d turned: got %v, want InvalidNextToken", bit, err)
		}
		raw[bit/8] ^= 1 << (bit % 8)
	}
}

// FuzzToken holds that nothing but what was sealed opens: neither what a caller makes up, nor a good token in which a
// piece was put.
func FuzzToken(f *testing.F) {
	s := tokenService(f)
	f.Add("", uint16(0), uint16(0))
	f.Add("x", uint16(3), uint16(0))
	f.Add("\n", uint16(200), uint16(0))
	f.Add("=", uint16(65535), uint16(1))
	f.Fuzz(func(t *testing.T, piece string, at, cut uint16) {
		// Sealed here: the target runs in several processes.
		sealed, err := s.sealToken(tokenPartition, "GetInventory", []byte("q"), token{After: "i-00000001"})
		if err != nil {
			t.Fatal(err)
		}
		from := int(at) % (len(sealed) + 1)
		to := min(from+int(cut), len(sealed))
		for _, sent := range []string{piece, sealed[:from] + piece + sealed[to:]} {
			got, err := s.openToken(tokenPartition, "GetInventory", []byte("q"), sent)
			switch {
			case sent == "" && (got != nil || err != nil):
				t.Fatalf("no token: got %+v, %v; want the first page", got, err)
			case sent != "" && sent != sealed && inventory.CodeOf(err) != inventory.InvalidNextToken:
				t.Fatalf("token %q: got %+v, %v; want InvalidNextToken", sent, got, err)
			}
		}
	})
}

func TestTokenEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tokenService(t)
		sealed, err := s.sealToken(tokenPartition, "GetInventory", nil, token{After: "i-00000001"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(tokenLife)
		if _, err := s.openToken(tokenPartition, "GetInventory", nil, sealed); err != nil {
			t.Errorf("%v old: %v", tokenLife, err)
		}
		time.Sleep(time.Second)
		if _, err := s.openToken(tokenPartition, "GetInventory", nil, sealed); inventory.CodeOf(err) != inventory.InvalidNextToken || !strings.Contains(err.Error(), "expired") {
			t.Errorf("older than %v: %v", tokenLife, err)
		}
	})
}
