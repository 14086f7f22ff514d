package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"stocktake/internal/inventory"
	"stocktake/internal/pgtest"
	"stocktake/internal/store"
	"stocktake/internal/store/memory"
	"stocktake/internal/store/storetest"
	"stocktake/internal/store/storetest/stores"
)

var (
	histories        = flag.Int("histories", 1, "histories of each kind of TestHistory")
	historyLength    = flag.Int("operations", 600, "operations of each history")
	historySeed      = flag.Uint64("seed", 0, "seed of the first history; 0: of the clock")
	historyDisturbed = flag.Int("disturbances", 3, "kills and cuts in each history")
)

// eachHistory records and checks so many histories, each with a seed of its own.
func eachHistory(t *testing.T, make func(n int, seed uint64) *history) {
	t.Helper()
	seed := *historySeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano() / 1e6)
	}
	operations, open := 0, 0
	began := time.Now()
	for n := range *histories {
		h := make(n, seed+uint64(n))
		all, without := h.check()
		operations, open = operations+all, open+without
		if t.Failed() {
			return
		}
		if done := n + 1; done == *histories || done%10 == 0 {
			t.Logf("%d histories from seed %d on: %d operations, %d puts without an answer, in %v; all are linearizable",
				done, seed, operations, open, time.Since(began).Round(time.Second))
		}
	}
}

// TestHistoryOfStores has clients of a store of each kind, with a handle each where it can have several.
func TestHistoryOfStores(t *testing.T) {
	t.Parallel()
	for _, m := range stores.All(4) {
		t.Run(m.Name, func(t *testing.T) {
			s := m.Open(t)
			handles := []store.Store{s}
			if m.Handle != nil {
				handles = append(handles, m.Handle(t, s))
			}
			eachHistory(t, func(n int, seed uint64) *history {
				h := &history{t: t, name: m.Name, seed: seed, want: *historyLength}
				for c := range historyClients {
					h.clients = append(h.clients, stored{storetest.NewWriter(handles[c%len(handles)]), fmt.Sprintf("history-%d", n)})
				}
				return h
			})
		})
	}
}

// TestHistoryOfKilledService kills the service under its clients.
func TestHistoryOfKilledService(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var now atomic.Pointer[service]
	now.Store(startRaced(t, dir, "--extensions"))
	eachHistory(t, func(n int, seed uint64) *history {
		region := fmt.Sprintf("history-%d", n)
		acquaint(t, now.Load(), region)
		return &history{
			t: t, name: "embedded", seed: seed, want: *historyLength, clients: connect(t, historyClients, region, now.Load),
			disturb: nowAndThen(seed, func(*rand.Rand) {
				now.Load().kill()
				now.Store(startRaced(t, dir, "--extensions"))
			}),
		}
	})
}

// acquaint has a region know the types of the registers: questions about unknown ones are refused.
func acquaint(t *testing.T, s *service, region string) {
	t.Helper()
	for _, kind := range []string{keptType, counterType} {
		put(t, s.client(region), "i-0000000000000seed", kind, "1.0", map[string]string{"Value": "seed"})
	}
}

// nowAndThen disturbs at moments spread over a history.
func nowAndThen(seed uint64, disturb func(random *rand.Rand)) func(ctx context.Context, done int) {
	random := rand.New(rand.NewPCG(seed, 1<<32))
	each := *historyLength / (*historyDisturbed + 1)
	next := each/2 + random.IntN(each)
	return func(_ context.Context, done int) {
		if done >= next {
			next += each/2 + random.IntN(each)
			disturb(random)
		}
	}
}

// TestHistoryOfSeveralServers kills two servers of one database under their clients, and cuts their connections to it: all
// at once, or in the middle of a question or an answer.
func TestHistoryOfSeveralServers(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	migrate(t, url)
	var proxies []*pgtest.Proxy
	var urls []string
	for range 2 {
		proxy, err := pgtest.StartProxy(url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(proxy.Close)
		proxies, urls = append(proxies, proxy), append(urls, proxy.URL())
	}
	s := startServers(t, raced(t), "", urls, "--extensions")
	eachHistory(t, func(n int, seed uint64) *history {
		region := fmt.Sprintf("history-%d", n)
		acquaint(t, s.server(0), region)
		return &history{
			t: t, name: "servers", seed: seed, want: *historyLength,
			clients: connect(t, historyClients, region, func() *service { return s.server(0) }, func() *service { return s.server(1) }),
			disturb: nowAndThen(seed, func(random *rand.Rand) { s.disturb(t, proxies, random) }),
		}
	})
}

// disturb does one thing that a server or its network may do, and undoes it.
func (s *servers) disturb(t *testing.T, proxies []*pgtest.Proxy, random *rand.Rand) {
	i := random.IntN(len(proxies))
	proxy, err := proxies[i], error(nil)
	switch random.IntN(4) {
	case 0:
		s.server(i).kill()
		s.restart(t, i)
		return
	case 1:
		proxy.Cut()
	case 2:
		err = proxy.CutAfter(random.Int64N(20_000))
	default:
		err = proxy.CutAnswers(random.Int64N(20_000))
	}
	if err == nil {
		pause(t, random, 400*time.Millisecond)
		err = proxy.Restore()
	}
	if err != nil {
		t.Error(err)
	}
}

// forgetful is a store that now and then acknowledges a commit it does not make.
type forgetful struct {
	store.Store
	commits atomic.Int64
}

func (f *forgetful) Commit(ctx context.Context, c store.Commit) (store.Committed, error) {
	if f.commits.Add(1)%50 == 0 {
		return store.Committed{}, nil
	}
	return f.Store.Commit(ctx, c)
}

// late is a store that gives the record as it was when it was read before, every other time.
type late struct {
	store.Store
	mu     sync.Mutex
	reads  int
	before map[inventory.NodeKey]inventory.Node
}

func (l *late) Node(ctx context.Context, key inventory.NodeKey) (inventory.Node, error) {
	now, err := l.Store.Node(ctx, key)
	l.mu.Lock()
	defer l.mu.Unlock()
	then, known := l.before[key]
	if l.before[key] = now; known && err == nil && l.reads%2 == 0 {
		now = then
	}
	l.reads++
	return now, err
}

// TestCheckFindsBrokenStores shows that the check can fail.
func TestCheckFindsBrokenStores(t *testing.T) {
	for name, broken := range map[string]func(store.Store) store.Store{
		"loses a write": func(s store.Store) store.Store { return &forgetful{Store: s} },
		"answers the past": func(s store.Store) store.Store {
			return &late{Store: s, before: map[inventory.NodeKey]inventory.Node{}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := memory.New(1)
			if err != nil {
				t.Fatal(err)
			}
			h := &history{t: t, name: name, seed: 1, want: 2000}
			whole := broken(s)
			for range historyClients {
				h.clients = append(h.clients, stored{storetest.NewWriter(whole), "history-0"})
			}
			if verdict := linearizable(h.record()); verdict != porcupine.Illegal {
				t.Errorf("the history is %s", verdict)
			}
		})
	}
}

// TestModelOfRegisters holds the model to histories whose answer is known.
func TestModelOfRegisters(t *testing.T) {
	at := register{"i-00000000000000001", keptType}
	const never = 1<<63 - 1
	put := func(value string, call, end int64) operation {
		return operation{Register: at, Op: opPut, Value: value, Open: end == never, Call: call, Return: end}
	}
	get := func(value string, call, end int64) operation {
		return operation{Client: 1, Register: at, Op: opGet, Value: value, Call: call, Return: end}
	}
	same := func(value string, taken bool, call, end int64) operation {
		return operation{Client: 2, Register: at, Op: opSame, Value: value, Taken: taken, Call: call, Return: end}
	}
	for name, c := range map[string]struct {
		all  []operation
		want porcupine.CheckResult
	}{
		"read after put":                        {[]operation{put("a", 0, 1), get("a", 2, 3)}, porcupine.Ok},
		"lost put":                              {[]operation{put("a", 0, 1), get("", 2, 3)}, porcupine.Illegal},
		"older after newer":                     {[]operation{put("a", 0, 1), put("b", 2, 3), get("b", 4, 5), get("a", 6, 7)}, porcupine.Illegal},
		"beside a put, either":                  {[]operation{put("a", 0, 1), put("b", 2, 9), get("a", 3, 4), get("b", 5, 6)}, porcupine.Ok},
		"beside a put, and back":                {[]operation{put("a", 0, 1), put("b", 2, 9), get("b", 3, 4), get("a", 5, 6)}, porcupine.Illegal},
		"a value nobody put":                    {[]operation{put("a", 0, 1), get("c", 2, 3)}, porcupine.Illegal},
		"unanswered put seen late":              {[]operation{put("a", 0, 1), put("b", 2, never), get("a", 50, 51), get("b", 60, 61)}, porcupine.Ok},
		"unanswered put undone":                 {[]operation{put("a", 0, 1), put("b", 2, never), get("b", 50, 51), get("a", 60, 61)}, porcupine.Illegal},
		"unchanged, taken":                      {[]operation{put("a", 0, 1), same("a", true, 2, 3)}, porcupine.Ok},
		"unchanged, taken over another's value": {[]operation{put("a", 0, 1), put("b", 2, 3), same("a", true, 4, 5)}, porcupine.Illegal},
		"unchanged, refused though it is":       {[]operation{put("a", 0, 1), same("a", false, 2, 3)}, porcupine.Illegal},
	} {
		if got := linearizable(c.all); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
