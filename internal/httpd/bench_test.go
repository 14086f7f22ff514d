package httpd

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkRequest is what every request costs beside its action: its id, its line in a log file, and its metrics.
func BenchmarkRequest(b *testing.B) {
	file, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	q := Requests{Log: slog.New(slog.NewJSONHandler(file, nil)), Metrics: NewMetrics(), Actions: map[string]string{"AmazonSSM.PutInventory": "PutInventory"}}
	h := q.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		Annotate(r.Context(), slog.String("account", "000000000000"), slog.String("region", "us-east-1"), slog.String("access_key", "AKIA"))
	}))
	r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
	r.Header.Set("X-Amz-Target", "AmazonSSM.PutInventory")
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}
