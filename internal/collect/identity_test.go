package collect

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"stocktake/internal/inventory"
)

const testMachineID = "0123456789abcdef0123456789abcdef"

func TestIdentifyGiven(t *testing.T) {
	t.Parallel()
	r := newRecorded(t)
	id, origin, err := r.Identify(t.Context(), "mi-0123456789abcdef0")
	if err != nil || id != "mi-0123456789abcdef0" || origin != Given {
		t.Errorf("%s, %s, %v", id, origin, err)
	}
	if _, _, err := r.Identify(t.Context(), "web1"); err == nil {
		t.Error("web1 passed for a node id")
	}
}

func TestIdentifyMachineID(t *testing.T) {
	t.Parallel()
	r := newRecorded(t)
	r.env["AWS_EC2_METADATA_DISABLED"] = "true"
	r.write(t, "/etc/machine-id", testMachineID+"\n")
	id, origin, err := r.Identify(t.Context(), "")
	if err != nil || !id.Valid() || len(id) != 19 || origin != MachineID {
		t.Fatalf("%s, %s, %v", id, origin, err)
	}
	// Written down: another value would rename every node that has one.
	if want := inventory.NodeID("i-d1a391aa7c41e8114"); id != want {
		t.Errorf("id %s, want %s", id, want)
	}
	if strings.Contains(testMachineID, string(id[2:8])) {
		t.Errorf("%s shows the raw machine id", id)
	}
}

func TestIdentifyWithoutMachineID(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "uninitialized\n", "00000000000000000000000000000000\n", "0123\n"} {
		r := newRecorded(t)
		r.env["AWS_EC2_METADATA_DISABLED"] = "true"
		if text != "" {
			r.write(t, "/etc/machine-id", text)
		}
		if id, _, err := r.Identify(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "--instance-id") {
			t.Errorf("machine id %q: %s, %v", text, id, err)
		}
	}
}

func metadataService(t *testing.T, r *recorded, id string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /latest/api/token", func(w http.ResponseWriter, q *http.Request) {
		if q.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = w.Write([]byte("the-token"))
	})
	mux.HandleFunc("GET /latest/meta-data/instance-id", func(w http.ResponseWriter, q *http.Request) {
		if q.Header.Get("X-aws-ec2-metadata-token") != "the-token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(id))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	r.env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = server.URL + "/"
}

func TestIdentifyMetadata(t *testing.T) {
	t.Parallel()
	r := newRecorded(t)
	r.write(t, "/etc/machine-id", testMachineID)
	metadataService(t, r, "i-0a1b2c3d4e5f60718")
	id, origin, err := r.Identify(t.Context(), "")
	if err != nil || id != "i-0a1b2c3d4e5f60718" || origin != Metadata {
		t.Errorf("%s, %s, %v", id, origin, err)
	}
	metadataService(t, r, "instance 7")
	if _, origin, err = r.Identify(t.Context(), ""); err != nil || origin != MachineID {
		t.Errorf("a service that gives no node id: %s, %v", origin, err)
	}
	metadataService(t, r, "i-0a1b2c3d4e5f60718")
	r.env["AWS_EC2_METADATA_DISABLED"] = "TRUE"
	if _, origin, err = r.Identify(t.Context(), ""); err != nil || origin != MachineID {
		t.Errorf("a disabled service: %s, %v", origin, err)
	}
}

// A service that never answers costs its second and no more.
func TestIdentifySilentMetadata(t *testing.T) {
	t.Parallel()
	r := newRecorded(t)
	r.write(t, "/etc/machine-id", testMachineID)
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(release) })
	r.env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = server.URL
	done := make(chan Origin, 1)
	go func() {
		_, origin, _ := r.Identify(t.Context(), "")
		done <- origin
	}()
	select {
	case origin := <-done:
		if origin != MachineID {
			t.Errorf("origin %s", origin)
		}
	case <-time.After(30 * time.Second):
		t.Error("still waiting for the metadata service")
	}
}
