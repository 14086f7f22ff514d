package ssm

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// The values of PingStatus.
const (
	PingOnline   = "Online"
	PingLost     = "ConnectionLost"
	PingInactive = "Inactive" // known by reports alone
)

// NodeInformation is what is known of a node and of its agent.
type NodeInformation struct {
	Node   inventory.NodeID
	Status inventory.Status
	Ping   string
	// LastPing is the last heartbeat, of a node that never sent one the last report.
	LastPing time.Time
	// Captured is the last sign of life of either kind.
	Captured time.Time
	// Information is the node's AWS:InstanceInformation.
	Information inventory.Entry
	// Latest says that no newer version of its agent is known in the partition.
	Latest bool

	// Of a node that registered with an activation.
	Activation string
	Role       string
	Name       string
	Registered time.Time

	// Associations tells how the associations stand that the node is among the targets of; nil: there are none.
	Associations *AssociationsOfNode
}

// AssociationsOfNode sums up the associations of a node.
type AssociationsOfNode struct {
	// Status is that of the one that matters most, Detailed what is said of it more closely.
	Status, Detailed string
	// Counts are by status.
	Counts            map[string]int
	Last, LastSuccess time.Time
}

// attribute gives what the node's AWS:InstanceInformation says, "" for nothing.
func (n *NodeInformation) attribute(name string) string {
	v, _ := n.Information.Get(name)
	return v
}

// Source gives what a node is by AWS's word for it.
func (n *NodeInformation) Source() string {
	if n.Node.Activated() {
		return "AWS::SSM::ManagedInstance"
	}
	return "AWS::EC2::Instance"
}

// nodeQuestion asks for nodes: those of which the index finds that they meet the filters, and that then meet every
// condition, which are judged by their records.
type nodeQuestion struct {
	partition  inventory.Partition
	action     string
	asked      []byte
	filters    []inventory.Filter
	conditions []nodeCondition
	nobody     bool // no node can meet it
	limit      int
	token      string
}

// nodeCondition is what the index can't decide.
type nodeCondition struct {
	needs nodeFacts
	holds func(n *candidate) bool
}

// nodeFacts are what has to be read of a node besides its record.
type nodeFacts uint8

const (
	needsTags nodeFacts = 1 << iota
	needsManaged
	needsRuns
)

// candidate is a node being judged.
type candidate struct {
	NodeInformation
	tags []Tag
	runs []NodeRun
	read nodeFacts
}

// mostJudged bounds the nodes one call judges by their records: a page may be short, or empty, and go on.
const mostJudged = 1024

// nodesWhere gives a page of the nodes a question asks for, by id, with the facts named.
func (s *Service) nodesWhere(ctx context.Context, q nodeQuestion, facts nodeFacts) (page []NodeInformation, next string, err error) {
	from, err := s.openToken(q.partition, q.action, q.asked, q.token)
	if err != nil || q.nobody {
		return nil, "", err
	}
	idx, err := s.index(ctx)
	if err != nil {
		return nil, "", err
	}
	result, err := s.answers.nodes(ctx, idx, fleetQuestion{partition: q.partition, filters: q.filters, asked: q.asked})
	if err != nil {
		return nil, "", err
	}
	var after inventory.NodeID
	if from != nil {
		after = inventory.NodeID(from.After)
	}
	more := true
	for judged := 0; more && len(page) < q.limit && judged < mostJudged; {
		take := readMost
		if len(q.conditions) == 0 {
			take = min(take, q.limit-len(page))
		}
		var ids []inventory.NodeID
		if ids, more, err = result.Page(ctx, documents{s, q.partition}, after, take); err != nil {
			return nil, "", err
		}
		judged += len(ids)
		read, err := s.judgeNodes(ctx, q, facts, ids, q.limit-len(page), &page)
		if err != nil {
			return nil, "", err
		}
		more = more || read < len(ids)
		if read > 0 {
			after = ids[read-1]
		}
	}
	if more {
		next, err = s.sealToken(q.partition, q.action, q.asked, token{After: string(after)})
	}
	return page, next, err
}

// judgeNodes adds those of some nodes that meet the conditions to the page, at most room, and gives how many it looked at.
func (s *Service) judgeNodes(ctx context.Context, q nodeQuestion, facts nodeFacts, ids []inventory.NodeID, room int, page *[]NodeInformation) (read int, err error) {
	types := []inventory.TypeName{inventory.TypeInstanceInformation}
	if slices.ContainsFunc(q.conditions, func(c nodeCondition) bool { return c.needs&needsTags != 0 }) {
		types = append(types, inventory.TypeTag)
	}
	scans, err := s.store.Read(ctx, nodeKeys(q.partition, ids), types)
	if err != nil {
		return 0, err
	}
	newest, err := s.newestAgents(ctx, q.partition)
	if err != nil {
		return 0, err
	}
	for read < len(ids) && room > 0 {
		id := ids[read]
		read++
		if len(scans) == 0 || scans[0].Node.Key.Node != id {
			continue // it is gone
		}
		scan := scans[0]
		scans = scans[1:]
		c, err := s.candidate(ctx, scan, newest)
		if err != nil {
			return 0, err
		}
		met, err := s.meets(ctx, scan, c, q.conditions)
		if err != nil {
			return 0, err
		}
		if !met {
			continue
		}
		if err := s.learnFacts(ctx, scan, c, facts); err != nil {
			return 0, err
		}
		*page = append(*page, c.NodeInformation)
		room--
	}
	return read, nil
}

// candidate gives what a node's record says.
func (s *Service) candidate(ctx context.Context, scan store.NodeScan, newest map[string]string) (*candidate, error) {
	n := scan.Node
	c := &candidate{NodeInformation: NodeInformation{Node: n.Key.Node, Status: n.Status}}
	content, err := s.contentOf(ctx, scan, inventory.TypeInstanceInformation, nil)
	if err != nil {
		return nil, err
	}
	if len(content.Entries) > 0 {
		c.Information = content.Entries[0]
	}
	for _, state := range n.Items {
		if state.Type != inventory.TypeTag && state.Arrival.After(c.Captured) {
			c.Captured = state.Arrival
		}
	}
	c.LastPing = c.Captured
	heard := s.heardOf(n)
	if heard {
		c.LastPing = s.lastHeartbeat(n.Key)
	}
	if c.LastPing.After(c.Captured) {
		c.Captured = c.LastPing
	}
	switch {
	case !heard && n.Status != inventory.ConnectionLost:
		c.Ping = PingInactive
	case n.Status == inventory.Active:
		c.Ping = PingOnline
	default:
		c.Ping = PingLost
	}
	version := c.attribute("AgentVersion")
	best, known := newest[inventory.Fold(c.attribute("AgentType"))]
	c.Latest = known && version != "" && inventory.CompareNatural(inventory.Fold(version), best) >= 0
	return c, nil
}

// meets judges a candidate by conditions, those first that need nothing more to be read.
func (s *Service) meets(ctx context.Context, scan store.NodeScan, c *candidate, conditions []nodeCondition) (bool, error) {
	for _, costly := range [...]bool{false, true} {
		for _, condition := range conditions {
			if costly != (condition.needs != 0) {
				continue
			}
			if err := s.learnFacts(ctx, scan, c, condition.needs); err != nil {
				return false, err
			}
			if !condition.holds(c) {
				return false, nil
			}
		}
	}
	return true, nil
}

// learnFacts reads the facts about a candidate that were not read before.
func (s *Service) learnFacts(ctx context.Context, scan store.NodeScan, c *candidate, facts nodeFacts) error {
	facts &^= c.read
	c.read |= facts
	if facts&needsTags != 0 {
		content, err := s.contentOf(ctx, scan, inventory.TypeTag, nil)
		if err != nil {
			return err
		}
		for _, e := range content.Entries {
			key, _ := e.Get("Key")
			value, _ := e.Get("Value")
			c.tags = append(c.tags, Tag{Key: key, Value: value})
		}
	}
	if facts&needsRuns != 0 {
		if err := s.learnRuns(ctx, scan, c); err != nil {
			return err
		}
	}
	if facts&needsManaged != 0 && c.Node.Activated() {
		m, _, err := s.managedNode(ctx, scan.Node.Key)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		c.Activation, c.Role, c.Name, c.Registered = m.ActivationID, m.Role, m.Name, m.Registered
	}
	return nil
}

// learnRuns reads how a candidate's associations stand.
func (s *Service) learnRuns(ctx context.Context, scan store.NodeScan, c *candidate) (err error) {
	c.runs, err = s.runsOf(ctx, scan.Node.Key)
	if errors.Is(err, store.ErrNotFound) {
		return nil // it is gone
	}
	if err == nil && len(c.runs) > 0 {
		c.Associations = sumUpRuns(c.runs)
	}
	return err
}

// sumUpRuns gives the status that matters most of some associations: what failed before what goes on before what went well.
func sumUpRuns(runs []NodeRun) *AssociationsOfNode {
	order := []string{"Failed", "TimedOut", "InProgress", "Pending", "Success", "Skipped"}
	sum := &AssociationsOfNode{Counts: map[string]int{}}
	first := len(order)
	for _, r := range runs {
		sum.Counts[r.Status]++
		if at := slices.Index(order, r.Status); at >= 0 && at < first {
			first = at
			sum.Status, sum.Detailed = r.Status, r.DetailedStatus
		}
		sum.Last, sum.LastSuccess = later(sum.Last, r.Last), later(sum.LastSuccess, r.LastSuccess)
	}
	return sum
}

// newestFor is how long what is known of the newest agents is good for: it takes a look at all nodes.
const newestFor = 10 * time.Second

// newestCache remembers the newest agents of each partition.
type newestCache struct {
	mu    sync.Mutex
	known map[inventory.Partition]newestAgents
}

type newestAgents struct {
	at       time.Time
	versions map[string]string // by the agent's kind, both folded
}

func (c *newestCache) get(p inventory.Partition) (map[string]string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.known[p]
	return n.versions, ok && time.Since(n.at) < newestFor
}

func (c *newestCache) put(p inventory.Partition, versions map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for other, n := range c.known {
		if time.Since(n.at) >= newestFor {
			delete(c.known, other)
		}
	}
	if c.known == nil {
		c.known = map[inventory.Partition]newestAgents{}
	}
	c.known[inventory.Partition{Account: p.Account, Region: strings.Clone(p.Region)}] = newestAgents{time.Now(), versions}
}

// newestAgents gives the newest version known of each kind of agent in a partition, both folded, as of some seconds ago.
func (s *Service) newestAgents(ctx context.Context, p inventory.Partition) (map[string]string, error) {
	if newest, ok := s.newest.get(p); ok {
		return newest, nil
	}
	idx, err := s.index(ctx)
	if err != nil {
		return nil, err
	}
	counts, err := idx.Aggregate(ctx, p, []inventory.Aggregator{{
		Type: inventory.TypeInstanceInformation, Attribute: "AgentType",
		Nested: []inventory.Aggregator{{Type: inventory.TypeInstanceInformation, Attribute: "AgentVersion"}},
	}}, nil, documents{s, p}, index.Bounds{Work: s.cfg.Limits.AggregateWork})
	if err != nil {
		return nil, err
	}
	newest := map[string]string{}
	for _, row := range counts[0].Rows.Page(0, counts[0].Rows.Len()) {
		kind, version := row.Path[0].Value, row.Path[1].Value
		if inventory.CompareNatural(version, newest[kind]) > 0 {
			newest[strings.Clone(kind)] = strings.Clone(version)
		}
	}
	s.newest.put(p, newest)
	return newest, nil
}

// DescribeNodesInput asks for managed nodes. Filters are those of one style alone.
type DescribeNodesInput struct {
	Filters    []NodeFilter
	MaxResults int // 0: 10
	NextToken  string
}

// NodeFilter is a condition on nodes as a caller wrote it. Values are alternatives.
type NodeFilter struct {
	Key      string
	Operator string // "" is Equal
	Values   []string
}

// usualNodes is the page of DescribeInstanceInformation (seen of the live service), mostProperties that of
// DescribeInstanceProperties.
const (
	usualNodes     = 10
	mostProperties = 1000
)

// DescribeNodes gives the nodes that are there: neither stopped nor terminated.
func (s *Service) DescribeNodes(ctx context.Context, p inventory.Partition, in DescribeNodesInput) ([]NodeInformation, string, error) {
	q, err := newNodeQuestion(p, "DescribeInstanceInformation", in, inventory.InvalidInstanceInformationFilterValue)
	if err != nil {
		return nil, "", err
	}
	q.limit = cmp.Or(in.MaxResults, usualNodes)
	q.filters = append(q.filters, statusFilter(inventory.Equal, inventory.Active, inventory.ConnectionLost))
	return s.nodesWhere(ctx, q, needsManaged|needsRuns)
}

// DescribeNodeProperties gives the nodes that are not terminated.
func (s *Service) DescribeNodeProperties(ctx context.Context, p inventory.Partition, in DescribeNodesInput) ([]NodeInformation, string, error) {
	q, err := newNodeQuestion(p, "DescribeInstanceProperties", in, inventory.InvalidInstancePropertyFilterValue)
	if err != nil {
		return nil, "", err
	}
	q.limit = pageSize(in.MaxResults, mostProperties)
	q.filters = append(q.filters, statusFilter(inventory.NotEqual, inventory.Terminated))
	return s.nodesWhere(ctx, q, needsManaged|needsRuns)
}
