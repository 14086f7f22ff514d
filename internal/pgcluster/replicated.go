package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// replicas is how many clusters a Replicated has: a primary, and two standbys of which one may be lost.
const replicas = 3

// Replicated is a primary with two standbys that follow it. Its methods are for one goroutine at a time, but for URL.
type Replicated struct {
	site    *site
	members []*Cluster
	primary *Cluster
}

// StartReplicated starts a primary and its standbys. With quorum a commit is acknowledged once one standby, whichever, has
// flushed it (synchronous_standby_names = 'ANY 1 (...)'); without, standbys follow as they can. The caller ends it with
// Close.
func StartReplicated(ctx context.Context, options Options, quorum bool) (*Replicated, error) {
	site, err := open()
	if err != nil {
		return nil, err
	}
	r := &Replicated{site: site}
	for i := range replicas {
		r.members = append(r.members, site.member(fmt.Sprintf("n%d", i+1), options))
	}
	r.primary = r.members[0]
	settings := rewindable
	if quorum {
		settings += "synchronous_standby_names = 'ANY 1 (n1,n2,n3)'\n"
	}
	if err := r.start(ctx, settings); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// rewindable are the settings of a member that can come back: pg_rewind needs hints in the log, and the log since the
// histories parted. They have to be in a file, for the recovery that it runs itself after a kill reads no other.
const rewindable = "wal_log_hints = on\nwal_keep_size = 1GB\nwal_retrieve_retry_interval = 100ms\n"

func (r *Replicated) start(ctx context.Context, settings string) error {
	if err := r.primary.initialise(ctx); err != nil {
		return err
	}
	if err := r.extend(filepath.Join(r.primary.data, "postgresql.conf"), settings); err != nil {
		return err
	}
	if err := r.primary.Restart(ctx); err != nil {
		return err
	}
	for _, c := range r.members[1:] {
		if _, err := r.site.run(ctx, "pg_basebackup", "-D", c.data, "-d", r.source(c), "-X", "stream", "-c", "fast", "--no-sync"); err != nil {
			return err
		}
		if err := r.join(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// source is the primary as a standby reaches it.
func (r *Replicated) source(standby *Cluster) string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=postgres application_name=%s connect_timeout=2", r.primary.port, standby.name)
}

// join starts a cluster with the primary's files as its standby, and waits until it follows.
func (r *Replicated) join(ctx context.Context, c *Cluster) error {
	if err := r.extend(filepath.Join(c.data, "standby.signal"), ""); err != nil {
		return err
	}
	if err := r.extend(filepath.Join(c.data, "postgresql.auto.conf"), "primary_conninfo = '"+r.source(c)+"'\n"); err != nil {
		return err
	}
	if err := c.Restart(ctx); err != nil {
		return err
	}
	return r.await(ctx, r.primary, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = '"+c.name+"'", "1")
}

// extend appends to a file, or creates it, as the servers' user. Of two settings of one name the last one counts.
func (r *Replicated) extend(path, text string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	if r.site.user != nil {
		err = errors.Join(err, file.Chown(int(r.site.user.Uid), int(r.site.user.Gid)))
	}
	return errors.Join(err, file.Close())
}

// await asks until the answer is the one wanted.
func (r *Replicated) await(ctx context.Context, c *Cluster, question, want string) error {
	for {
		got, err := c.Query(ctx, question)
		if err != nil {
			return err
		}
		if got == want {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("pgcluster: %s: %q answers %q, want %q: %w", c.name, question, got, want, ctx.Err())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// URL names every member, and leads to the one that takes writes.
func (r *Replicated) URL() string {
	hosts := make([]string, len(r.members))
	for i, c := range r.members {
		hosts[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port))
	}
	return "postgres://postgres@" + strings.Join(hosts, ",") + "/postgres?sslmode=disable&target_session_attrs=read-write&connect_timeout=2"
}

// Primary is the one that takes writes, or took them until it was killed.
func (r *Replicated) Primary() *Cluster { return r.primary }

// Standbys are the members that run and are not the primary.
func (r *Replicated) Standbys() []*Cluster {
	var found []*Cluster
	for _, c := range r.members {
		if c != r.primary && c.Running() {
			found = append(found, c)
		}
	}
	return found
}

// CutOff ends replication: the standbys go on as they are, receive nothing more, and do not ask for it.
func (r *Replicated) CutOff(ctx context.Context) error {
	for _, c := range r.Standbys() {
		if err := r.follow(ctx, c, ""); err != nil {
			return err
		}
		if err := r.await(ctx, c, "SELECT count(*) FROM pg_stat_wal_receiver", "0"); err != nil {
			return err
		}
	}
	return nil
}

// follow has a running standby receive from elsewhere, or from nowhere.
func (r *Replicated) follow(ctx context.Context, c *Cluster, source string) error {
	_, err := c.Query(ctx, "ALTER SYSTEM SET primary_conninfo = '"+source+"'", "SELECT pg_reload_conf()")
	return err
}

// Promote makes a primary of the standby that received the most, after the old one was killed, and has the others follow
// it. A commit that a quorum acknowledged is on that one.
func (r *Replicated) Promote(ctx context.Context) error {
	if r.primary.Running() {
		return fmt.Errorf("pgcluster: %s still runs: kill it before another is promoted", r.primary.name)
	}
	var best *Cluster
	var most uint64
	standbys := r.Standbys()
	for _, c := range standbys {
		// What is on its way may still arrive, and would make another one the furthest.
		if err := r.await(ctx, c, "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'", "0"); err != nil {
			return err
		}
		at, err := received(ctx, c)
		if err != nil {
			return err
		}
		if best == nil || at > most {
			best, most = c, at
		}
	}
	if best == nil {
		return errors.New("pgcluster: no standby runs that could be promoted")
	}
	if promoted, err := best.Query(ctx, "SELECT pg_promote(true, 60)"); err != nil || promoted != "t" {
		return fmt.Errorf("pgcluster: promoting %s: %q, %w", best.name, promoted, err)
	}
	r.primary = best
	for _, c := range standbys {
		if c == best {
			continue
		}
		if err := r.follow(ctx, c, r.source(c)); err != nil {
			return err
		}
	}
	return nil
}

// received is how far a standby has the log.
func received(ctx context.Context, c *Cluster) (uint64, error) {
	text, err := c.Query(ctx, "SELECT coalesce(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0')")
	if err != nil {
		return 0, err
	}
	var high, low uint32
	if _, err := fmt.Sscanf(text, "%X/%X", &high, &low); err != nil {
		return 0, fmt.Errorf("pgcluster: %s received %q: %w", c.name, text, err)
	}
	return uint64(high)<<32 | uint64(low), nil
}

// Rejoin makes standbys of the members that do not run: what they have that the primary has not is undone. It waits until
// every standby follows.
func (r *Replicated) Rejoin(ctx context.Context) error {
	for _, c := range r.members {
		if c == r.primary {
			continue
		}
		if c.Running() {
			if err := r.await(ctx, c, "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'", "1"); err != nil {
				return err
			}
			continue
		}
		// PostgreSQL 15's pg_rewind judges by the last checkpoint which history a server is in, and does nothing without.
		if _, err := r.primary.Query(ctx, "CHECKPOINT"); err != nil {
			return err
		}
		c.process = nil
		if _, err := r.site.run(ctx, "pg_rewind", "-D", c.data, "--source-server", r.source(c)+" dbname=postgres", "--no-sync"); err != nil {
			return err
		}
		if err := r.join(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// Close ends every member and removes their folder.
func (r *Replicated) Close() error {
	var err error
	for _, c := range r.members {
		err = errors.Join(err, c.Close())
	}
	return errors.Join(err, r.site.close())
}
