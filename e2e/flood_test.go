package e2e

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	floodRegion = "flood-1"
	goodAsked   = `{"Filters":[{"Key":"AWS:Application.Name","Values":["openssl"]}]}`
	goodReport  = `{"InstanceId":"i-0123456789abcdef0","Items":[{"TypeName":"AWS:Application","SchemaVersion":"1.1","CaptureTime":"2026-01-02T03:04:05Z","ContentHash":"h","Content":[{"Name":"openssl","Version":"3"}]}]}`
)

// goodClients ask questions and report on a fixed schedule until they are stopped, and give what became of it.
func (s *service) goodClients(t *testing.T) (stop func() *outcome) {
	t.Helper()
	requests := [][]byte{s.signed(t, "PutInventory", floodRegion, []byte(goodReport)), s.signed(t, "GetInventory", floodRegion, []byte(goodAsked))}
	ctx, cancel := context.WithCancel(context.Background())
	all := &outcome{}
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			a := &asker{address: s.address()}
			defer a.close()
			for i := 0; ctx.Err() == nil; i++ {
				began := time.Now()
				status, body, err := a.ask(requests[i%2])
				all.note(status, body, err, time.Since(began))
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	return func() *outcome {
		cancel()
		asking.Wait()
		return all
	}
}

// served holds good clients to how they are to be served whatever others do.
func served(t *testing.T, o *outcome) {
	t.Helper()
	t.Logf("good clients: %v", o)
	bad := len(o.refused) + o.failed
	if bad*1000 > o.asked() || o.asked() == 0 {
		t.Errorf("%d of %d requests of good clients were not answered: %s", bad, o.asked(), o.fault)
	}
	if p99 := percentile(o.took, 99); *floods && p99 > 250*time.Millisecond {
		t.Errorf("good clients wait %v at the 99th percentile", p99)
	}
}

// bounded holds the memory of a service to what the floods may take.
func (s *service) bounded(t *testing.T, mib int) {
	t.Helper()
	at := s.peak(t)
	t.Logf("the service had %d MiB at most", at)
	if at > mib && !raceEnabled {
		t.Errorf("%d MiB, more than %d", at, mib)
	}
}

// TestSlowPeersAreCut opens connections that begin a request and never come to its end, and others whose body comes a byte
// a second, both more than anybody needs, while good clients ask.
func TestSlowPeersAreCut(t *testing.T) {
	halves, slow := scaled(10_000, 150), scaled(5_000, 100)
	s := start(t, t.TempDir(), anyRate...)
	stop := s.goodClients(t)
	s.resetPeak(t)
	head := s.signed(t, "GetInventory", floodRegion, []byte(goodAsked))
	head = head[:strings.Index(string(head), "\r\n\r\n")+4]
	var peers sync.WaitGroup
	var cut atomic.Int64
	var longest atomic.Int64
	for i := range halves + slow {
		text, drip := []byte("POST / HTTP/1.1\r\nHost: h\r\nX-Half: "), false
		if i >= halves {
			text, drip = head, true
		}
		peers.Go(func() {
			took, err := slowPeer(s.address(), text, drip)
			if err != nil {
				t.Error(err)
				return
			}
			cut.Add(1)
			for was := longest.Load(); took.Nanoseconds() > was && !longest.CompareAndSwap(was, took.Nanoseconds()); was = longest.Load() {
			}
		})
		if i%10 == 9 {
			time.Sleep(2 * time.Millisecond) // 5,000 connections a second
		}
	}
	peers.Wait()
	t.Logf("%d half-open and %d slow ones: %d cut, the last after %v", halves, slow, cut.Load(), time.Duration(longest.Load()))
	served(t, stop())
	s.bounded(t, 512)
	if last := time.Duration(longest.Load()); *floods && last > 10*time.Second {
		t.Errorf("a slow one was cut after %v", last)
	}
}

// slowPeer sends a text, then a byte each second where it drips, until it is cut; it gives how long that took.
func slowPeer(address string, text []byte, drip bool) (time.Duration, error) {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	began := time.Now()
	if _, err := c.Write(text); err != nil {
		return 0, err
	}
	buffer := make([]byte, 1024)
	for time.Since(began) < patience {
		wait := patience
		if drip {
			wait = time.Second
		}
		if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return 0, err
		}
		_, err := c.Read(buffer)
		var late net.Error
		switch {
		case err == nil: // the answer, after which it ends
		case errors.As(err, &late) && late.Timeout() && drip:
			if _, err := c.Write([]byte(" ")); err != nil {
				return time.Since(began), nil
			}
		default:
			return time.Since(began), nil
		}
	}
	return 0, errors.New("a slow peer was never cut")
}

// TestConnectionFloodIsSurvived opens and drops connections as quickly as it can, up to 10,000 a second, while good clients ask.
func TestConnectionFloodIsSurvived(t *testing.T) {
	lasts := scaled(time.Minute, 2*time.Second)
	s := start(t, t.TempDir(), anyRate...)
	stop := s.goodClients(t)
	s.resetPeak(t)
	began := time.Now()
	var opened, failed atomic.Int64
	var flooding sync.WaitGroup
	const floodsters = 8
	for range floodsters {
		flooding.Go(func() {
			for n := 0; time.Since(began) < lasts; n++ {
				time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second * floodsters / 10_000)))
				c, err := net.Dial("tcp", s.address())
				if err != nil {
					failed.Add(1)
					continue
				}
				opened.Add(1)
				_, _ = io.WriteString(c, "POST / HTTP/1.1\r\n") // it may be closed already
				if tcp, ok := c.(*net.TCPConn); ok {
					_ = tcp.SetLinger(0) // frees the port at once
				}
				_ = c.Close()
			}
		})
	}
	flooding.Wait()
	t.Logf("%.0f connections a second for %v, %d refused", float64(opened.Load())/lasts.Seconds(), lasts, failed.Load())
	served(t, stop())
	s.bounded(t, 512)
	if err := s.awaitConnections(8); err != nil {
		t.Error(err)
	}
}

// awaitConnections waits until a service has no more connections than that.
func (s *service) awaitConnections(most int) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		_, text, err := s.get("/metrics")
		if err != nil {
			return err
		}
		_, rest, _ := strings.Cut(text, "\nstocktake_connections ")
		number, _, _ := strings.Cut(rest, "\n")
		open, err := strconv.ParseFloat(number, 64)
		if err == nil && int(open) <= most {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("after the flood " + number + " connections are left open")
		}
	}
}
