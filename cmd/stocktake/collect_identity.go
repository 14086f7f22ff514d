package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"stocktake/internal/client"
	"stocktake/internal/collect"
	"stocktake/internal/inventory"
)

// identityFile is the file of the state folder that holds a registered node's identity.
const identityFile = "identity.json"

// activationCode is the environment variable of an activation's code.
const activationCode = "STOCKTAKE_ACTIVATION_CODE"

// reporter is who reports, and to whom.
type reporter struct {
	machine  *collect.Machine
	options  collect.Options
	origin   collect.Origin
	endpoint string
	// service names what the state is of: a registered node has one service, by whatever endpoint it is reached.
	service string
	client  *client.Client // nil: to nobody
}

func (r *reporter) remote() collect.Remote { return collect.Remote{Caller: r.client} }

func (r *reporter) close() {
	if r.client != nil {
		r.client.Close()
	}
}

// registered is the origin of a managed node's id.
const registered = collect.Origin("registration")

func (c *collectCommand) identityPath() string { return filepath.Join(c.StateDir, identityFile) }

// identity gives the identity that this command reports by: none where the machine is not registered, or where AWS keys
// were asked for.
func (c *collectCommand) identity() (*client.Identity, error) {
	i, err := client.LoadIdentity(c.identityPath())
	switch {
	case c.Profile != "" || errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w\nhint: run it as the user who registered this machine, or give another --state-dir", err)
	case err != nil:
		return nil, err
	case i.Node == "" || c.InstanceID != "" && c.InstanceID != i.Node:
		return nil, nil
	}
	return &i, nil
}

// reporter finds out as what and to whom this machine reports.
func (c *collectCommand) reporter(p *process) (*reporter, error) {
	r := &reporter{machine: collect.Local()}
	i, err := c.identity()
	if err != nil {
		return nil, err
	}
	if i == nil {
		err = c.byKeys(p, r)
	} else {
		err = c.byIdentity(p, r, *i)
	}
	if err != nil {
		return nil, err
	}
	r.options.AgentVersion, r.options.Files, r.options.CustomDir = agentVersion(version()), c.Files, c.CustomDir
	return r, nil
}

// byKeys reports as whatever node the machine is, with AWS keys.
func (c *collectCommand) byKeys(p *process, r *reporter) (err error) {
	if r.options.Node, r.origin, err = r.machine.Identify(p.ctx, c.InstanceID); err != nil {
		return err
	}
	config, err := c.config(p.ctx)
	if c.Print || err == nil && config.Endpoint == "" {
		return nil
	}
	if err != nil {
		return err
	}
	r.endpoint, r.service = config.Endpoint, config.Endpoint
	r.client, err = client.New(config)
	return err
}

// byIdentity reports as the managed node that the machine was registered as.
func (c *collectCommand) byIdentity(p *process, r *reporter, i client.Identity) error {
	r.options.Node, r.options.Managed, r.origin = inventory.NodeID(i.Node), true, registered
	if c.Print {
		return nil
	}
	config := client.Config{Endpoint: c.EndpointURL, Region: c.Region}
	var err error
	if config.Certificate, err = client.LoadCertificate(c.ClientCert, c.ClientKey); err != nil {
		return err
	}
	bundle := i.CABundle
	if c.CABundle != "" {
		bundle = c.CABundle
	}
	if bundle != "" {
		if config.Roots, err = client.LoadRoots(bundle); err != nil {
			return err
		}
	}
	if r.endpoint, r.service = i.Endpoint, i.Endpoint; c.EndpointURL != "" {
		r.endpoint = c.EndpointURL
	}
	log := slog.New(slog.NewTextHandler(p.stderr, nil))
	node, err := client.OpenNode(config, i, func(i client.Identity) error { return i.Save(c.identityPath()) }, log)
	if err == nil {
		r.client = node.Client()
	}
	return err
}

// register makes the machine a managed node. The key pair is kept before the call: a call that is repeated with it, after
// an answer that was lost, gives the same node.
func (c *collectCommand) register(p *process) error {
	code, err := c.code(p)
	if err != nil {
		return err
	}
	config, err := c.config(p.ctx)
	if err != nil {
		return err
	}
	before, err := client.LoadIdentity(c.identityPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !c.Force {
		return err
	}
	if before.Node != "" && !c.Force {
		return fmt.Errorf("this machine is registered already, as %s (%s)\nhint: stocktake collect reports as that node; "+
			"--register --force makes it another one, and leaves the old one behind for stocktake node terminate", before.Node, c.identityPath())
	}
	i := client.Identity{Endpoint: config.Endpoint, Region: config.Region, CABundle: c.bundle(p), Fingerprint: before.Fingerprint, Key: before.Key}
	if i.Key == nil || before.Node != "" {
		i.Fingerprint = client.NewFingerprint()
		if i.Key, err = client.NewKey(); err != nil {
			return err
		}
	}
	// A node that is left behind stays what this machine is until there is another.
	if before.Node == "" {
		if err := i.Save(c.identityPath()); err != nil {
			return err
		}
	}
	if i.Node, err = client.Register(p.ctx, config, i, c.ActivationID, code); err != nil {
		return withHint(err)
	}
	if err := i.Save(c.identityPath()); err != nil {
		return fmt.Errorf("registered as %s, but: %w", i.Node, err)
	}
	fmt.Fprintf(p.stdout, "registered as %s in %s (%s)\n", i.Node, i.Region, c.identityPath())
	return nil
}

// bundle gives the file of trusted certificates for later runs, which may begin in another folder.
func (c *collectCommand) bundle(p *process) string {
	file := c.CABundle
	if file == "" {
		file = p.env["AWS_CA_BUNDLE"]
	}
	if file == "" {
		return ""
	}
	if whole, err := filepath.Abs(file); err == nil {
		return whole
	}
	return file
}

// code gives the activation's code: of the flag, of the file, or of the environment.
func (c *collectCommand) code(p *process) (string, error) {
	switch {
	case c.ActivationCode != "" && c.ActivationCodeFile != "":
		return "", &usageError{"--activation-code and --activation-code-file do not go together", ""}
	case c.ActivationCode != "":
		return c.ActivationCode, nil
	case c.ActivationCodeFile != "":
		text, err := os.ReadFile(c.ActivationCodeFile)
		if err != nil {
			return "", fmt.Errorf("the activation's code: %w", err)
		}
		if text = bytes.TrimSpace(text); len(text) == 0 {
			return "", fmt.Errorf("the activation's code: %s is empty", c.ActivationCodeFile)
		}
		return string(text), nil
	}
	if code := strings.TrimSpace(p.env[activationCode]); code != "" {
		return code, nil
	}
	return "", &usageError{"--register needs the activation's code", "set " + activationCode + ", or give --activation-code-file"}
}

// withHint adds the next step to an error that has one.
func withHint(err error) error {
	if hint := hintFor(err); hint != "" {
		return fmt.Errorf("%w\nhint: %s", err, hint)
	}
	return err
}

// hintFor gives the next step after an answer that trying again does not change, "" where there is none.
func hintFor(err error) string {
	const again = "register it again: stocktake collect --register --force --activation-id ID"
	var role *client.RoleError
	var answered *client.Error
	if errors.As(err, &role) && role.Refused {
		return "was the node deregistered or terminated, or its key pair replaced? Then " + again + "; and look at the clock"
	}
	if !errors.As(err, &answered) {
		return ""
	}
	switch answered.Code {
	case "InvalidInstanceId":
		return "the service does not take this node: was it deregistered or terminated? Then " + again +
			"; a node that has AWS keys: stocktake node register ID"
	case "InvalidActivation", "InvalidActivationId", "ActivationExpired", "RegistrationLimitExceeded":
		return "ask for another activation: aws ssm create-activation --iam-role NAME --registration-limit N"
	}
	return ""
}
