package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"stocktake/internal/bench"
	"stocktake/internal/client"
)

// agentKeys is how many key pairs the agents of the benchmark share: making one takes a good part of a second.
const agentKeys = 8

// runAgents measures one server with simulated agents.
func (c *benchCommand) runAgents(p *process) (err error) {
	if c.Agents < 1 || c.Packages < 1 || c.For < time.Second || c.Part < time.Second {
		return &usageError{"agents and packages are numbers from 1, and --for and --part are at least 1s", ""}
	}
	if len(c.Sides) > 0 || c.Peer != "" || c.HTML != "" || c.Allocations != "" {
		return &usageError{"--agents does not go with --sides, --peer, --html and --allocations", ""}
	}
	s := &sides{command: c, process: p, nodes: c.Agents}
	defer func() { err = errors.Join(err, s.remove()) }()
	began := time.Now()
	o := bench.AgentsOptions{
		Agents: c.Agents, For: c.For, Part: c.Part, Packages: c.Packages, Seed: c.Seed, Keys: agentKeys, Region: demoRegion,
		Progress: func(what string) { fmt.Fprintf(p.stderr, "%6.0f s  %s\n", time.Since(began).Seconds(), what) },
	}
	if c.EndpointURL == "" {
		err = s.agentsHere(&o)
	} else {
		err = s.agentsElsewhere(&o)
	}
	if err != nil {
		return err
	}
	result, err := bench.RunAgents(p.ctx, o)
	if result == nil {
		return err
	}
	if err == nil {
		err = result.Check()
	}
	return errors.Join(result.Table(p.stdout), c.writeJSON(result), err)
}

// agentsHere starts a server of this binary, which can be killed and comes back at the same address.
func (s *sides) agentsHere(o *bench.AgentsOptions) error {
	if err := s.folder(); err != nil {
		return err
	}
	listen := "127.0.0.1:0"
	server, err := s.child("embedded")
	if err != nil {
		return err
	}
	server.says = []string{"api", "admin"}
	o.Kill = server.Kill
	o.Start = func(ctx context.Context) (bench.Server, error) {
		server.args = []string{"serve", "--listen", listen, "--admin-listen", "127.0.0.1:0", "--data", server.data(), "--log-level", "warn"}
		started, err := server.Start(ctx)
		listen = started.Address
		return started, err
	}
	return nil
}

// agentsElsewhere takes a server that runs already, which the agents reach over plain text.
func (s *sides) agentsElsewhere(o *bench.AgentsOptions) error {
	config, err := s.command.config(s.process.ctx)
	if err != nil {
		return err
	}
	u, err := url.Parse(config.Endpoint)
	if err != nil || u.Scheme != "http" {
		return &usageError{"the simulated agents of the benchmark reach a server over http", "give an endpoint such as http://127.0.0.1:7540"}
	}
	connected, err := client.New(config)
	if err != nil {
		return err
	}
	s.undo = append(s.undo, func() error { connected.Close(); return nil })
	o.Region = config.Region
	o.Start = func(context.Context) (bench.Server, error) {
		return bench.Server{Client: connected, Address: u.Host}, nil
	}
	return nil
}
