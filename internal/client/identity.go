package client

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"stocktake/internal/durable"
)

// Identity is who a managed node is: what it keeps on disk, for its owner's eyes alone.
type Identity struct {
	Endpoint    string // the service it registered with, a URL
	Region      string
	Node        string // the id the service gave it; "": the registration was begun and is not known to be finished
	Fingerprint string // of the machine; a UUID made once
	CABundle    string // a file of certificates to trust in the place of the system's; may be empty

	Key *rsa.PrivateKey
	// Next is a pair that the service was asked to take in the place of Key and may have taken; nil: none.
	Next *rsa.PrivateKey
}

// keyBits is the only size that the protocol has.
const keyBits = 2048

// NewKey makes a key pair of a managed node. It takes a good part of a second.
func NewKey() (*rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, fmt.Errorf("make a key pair: %w", err)
	}
	return key, nil
}

// NewFingerprint makes a random fingerprint, a UUID.
func NewFingerprint() string { return newToken() }

// String keeps the keys out of logs.
func (i Identity) String() string { return fmt.Sprintf("managed node %s in %s", i.Node, i.Region) }

// GoString keeps the keys out of %#v.
func (i Identity) GoString() string { return i.String() }

// stored is the form of an identity on disk: keys as PKCS #8 in PEM.
type stored struct {
	Endpoint, Region, Node, Fingerprint string
	CABundle                            string `json:",omitempty"`
	Key                                 string
	Next                                string `json:",omitempty"`
}

// identityLimit bounds what is read of an identity, in bytes.
const identityLimit = 64 << 10

// LoadIdentity reads an identity. The error is of fs.ErrNotExist where there is none.
func LoadIdentity(path string) (Identity, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Identity{}, fmt.Errorf("the node's identity: %w", err)
	}
	if info.Size() > identityLimit {
		return Identity{}, damaged(path, errors.New("it is too large"))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Identity{}, fmt.Errorf("the node's identity: %w", err)
	}
	var s stored
	if err := json.Unmarshal(text, &s); err != nil {
		return Identity{}, damaged(path, err)
	}
	i := Identity{Endpoint: s.Endpoint, Region: s.Region, Node: s.Node, Fingerprint: s.Fingerprint, CABundle: s.CABundle}
	if i.Key, err = parseKey(s.Key); err != nil {
		return Identity{}, damaged(path, err)
	}
	if s.Next != "" {
		if i.Next, err = parseKey(s.Next); err != nil {
			return Identity{}, damaged(path, err)
		}
	}
	if i.Region == "" || i.Endpoint == "" || i.Fingerprint == "" {
		return Identity{}, damaged(path, errors.New("a part of it is missing"))
	}
	return i, nil
}

func damaged(path string, err error) error {
	return fmt.Errorf("the node's identity %s is damaged: restore it from a copy, or register the node again: %w", path, err)
}

func parseKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("it holds no key in PEM form")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("its key: %w", err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("its key is no RSA key")
	}
	return key, nil
}

func printKey(key *rsa.PrivateKey) (string, error) {
	if key == nil {
		return "", nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), err
}

// Save puts the identity in the place of what is at path, whole or not at all, readable by its owner alone, in a folder
// that it makes where there is none.
func (i Identity) Save(path string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("keep the node's identity: %w", err)
		}
	}()
	s := stored{Endpoint: i.Endpoint, Region: i.Region, Node: i.Node, Fingerprint: i.Fingerprint, CABundle: i.CABundle}
	if s.Key, err = printKey(i.Key); err != nil {
		return err
	}
	if s.Next, err = printKey(i.Next); err != nil {
		return err
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.MakeFolder(filepath.Dir(path)); err != nil {
		return err
	}
	return durable.ReplaceBytes(path, 0o600, append(text, '\n'))
}

// publicKey is the form in which the protocol carries a public key: base64 of PKIX, ASN.1 DER.
func publicKey(key *rsa.PrivateKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return "", fmt.Errorf("encode the public key: %w", err)
	}
	return base64.StdEncoding.EncodeToString(der), nil
}
