package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// held is what a process holds open: goroutines and file descriptors.
func (s *service) held() (goroutines, files int, err error) {
	_, text, err := s.get("/metrics")
	if err != nil {
		return 0, 0, err
	}
	for name, value := range map[string]*int{"go_goroutines": &goroutines, "process_open_fds": &files} {
		_, rest, _ := strings.Cut(text, "\n"+name+" ")
		number, _, _ := strings.Cut(rest, "\n")
		if *value, err = strconv.Atoi(number); err != nil {
			return 0, 0, err
		}
	}
	return goroutines, files, nil
}

// TestRequestsLeaveNothingOpen sends reports, questions and nonsense, on connections that stay and on those that are cut, and
// holds what the process has open afterwards to what it had before.
func TestRequestsLeaveNothingOpen(t *testing.T) {
	t.Parallel()
	s := startRaced(t, t.TempDir(), anyRate...)
	requests := [][]byte{
		s.signed(t, "PutInventory", floodRegion, contendedItem(1, 1)),
		s.signed(t, "GetInventory", floodRegion, []byte(`{"Filters":[{"Key":"Custom:Contended.Put","Values":["1/1"]}]}`)),
		s.signed(t, "GetInventorySchema", floodRegion, []byte(`{}`)),
		s.signed(t, "PutInventory", floodRegion, []byte(`{"InstanceId":`)),
		[]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"),
	}
	send := func(n int) {
		var sending sync.WaitGroup
		for range 8 {
			sending.Go(func() {
				a := &asker{address: s.address()}
				defer a.close()
				for i := range n / 8 {
					if status, _, err := a.ask(requests[i%len(requests)]); err != nil || status >= http.StatusInternalServerError {
						t.Errorf("request %d: %d %v", i, status, err)
						return
					}
					if i%50 == 0 {
						a.close()
					}
				}
			})
		}
		sending.Wait()
	}
	send(400) // what is opened once and kept
	if err := s.awaitConnections(0); err != nil {
		t.Fatal(err)
	}
	goroutines, files, err := s.held()
	if err != nil {
		t.Fatal(err)
	}
	all := scaled(100_000, 1500)
	send(all)
	eventually(t, "all is closed again", patience, func() error {
		left, open, err := s.held()
		if err != nil {
			return err
		}
		// The store's files come and go with its compactions.
		if left > goroutines || open > files+8 {
			return errors.New(fmt.Sprint(left, " goroutines and ", open, " files, of ", goroutines, " and ", files, " before"))
		}
		t.Logf("after %d requests %d goroutines and %d files, before %d and %d", all, left, open, goroutines, files)
		return nil
	})
}
