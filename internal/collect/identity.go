package collect

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"stocktake/internal/inventory"
)

// Origin says where a node id came from.
type Origin string

// The origins, in the order they are asked.
const (
	Given     Origin = "given"
	Metadata  Origin = "instance metadata"
	MachineID Origin = "machine id"
)

const (
	metadataDefault = "http://169.254.169.254"
	// metadataTimeout bounds the whole exchange: off EC2 nothing may answer at all.
	metadataTimeout  = time.Second
	metadataMaxReply = 4 << 10
	// machineKey keeps ids made here from being told from, or linked to, another application's use of the machine id
	// (machine-id(5) asks for a keyed hash). Changing it would rename every node.
	machineKey = "stocktake node id v1"
	nodeDigits = 17
)

// Identify gives the machine's node id: the given one, else the one of the EC2 instance-metadata service, else one made
// of a keyed hash of /etc/machine-id, the same at every run.
func (m *Machine) Identify(ctx context.Context, given string) (inventory.NodeID, Origin, error) {
	if given != "" {
		id := inventory.NodeID(given)
		if !id.Valid() {
			return "", "", fmt.Errorf("the instance id %q is not i- and 8 or 17 characters, nor mi- and 17", given)
		}
		return id, Given, nil
	}
	if id, err := m.metadata(ctx); err == nil {
		return id, Metadata, nil
	}
	if err := ctx.Err(); err != nil {
		return "", "", err
	}
	id, err := m.hashedID()
	return id, MachineID, err
}

// hashedID makes an id of the machine id, which machine-id(5) gives as 32 hexadecimal digits.
func (m *Machine) hashedID() (inventory.NodeID, error) {
	const advice = "name this node with --instance-id"
	text, err := m.readText("/etc/machine-id")
	if err != nil {
		return "", fmt.Errorf("no machine id to make a node id of: %s: %w", advice, err)
	}
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 16 || strings.Trim(text, "0") == "" {
		return "", errors.New("/etc/machine-id holds no machine id (32 hexadecimal digits): " + advice)
	}
	mac := hmac.New(sha256.New, []byte(machineKey))
	mac.Write(raw)
	return inventory.NodeID("i-" + hex.EncodeToString(mac.Sum(nil))[:nodeDigits]), nil
}

// metadata asks the instance-metadata service (version 2: a token, then the id). Any failure means that there is none.
func (m *Machine) metadata(ctx context.Context) (inventory.NodeID, error) {
	if strings.EqualFold(m.Getenv("AWS_EC2_METADATA_DISABLED"), "true") {
		return "", errors.New("instance metadata is disabled")
	}
	base := strings.TrimRight(m.Getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"), "/")
	if base == "" {
		base = metadataDefault
	}
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	// The service is on the link: no proxy may stand between, and no redirect may lead away.
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	token, err := ask(ctx, client, http.MethodPut, base+"/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	if err != nil {
		return "", err
	}
	text, err := ask(ctx, client, http.MethodGet, base+"/latest/meta-data/instance-id", "X-aws-ec2-metadata-token", token)
	if err != nil {
		return "", err
	}
	id := inventory.NodeID(text)
	if !id.Valid() {
		return "", errors.New("the instance metadata holds no node id")
	}
	return id, nil
}

func ask(ctx context.Context, client *http.Client, method, url, header, value string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return "", err
	}
	req.Header.Set(header, value)
	reply, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = reply.Body.Close() }()
	if reply.StatusCode != http.StatusOK {
		return "", fmt.Errorf("instance metadata answered %s", reply.Status)
	}
	text, err := io.ReadAll(io.LimitReader(reply.Body, metadataMaxReply))
	return strings.TrimSpace(string(text)), err
}
