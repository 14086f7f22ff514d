package bench

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// remember takes down the server's memory of now.
func (r *run) remember(ctx context.Context, when string) error {
	if r.server.PID == 0 {
		return nil
	}
	m := Memory{When: when}
	m.Peak, m.Resident = memoryOf(r.server.PID)
	if r.server.Metrics != "" {
		values, err := scrape(ctx, r.server.Metrics)
		if err != nil {
			return fmt.Errorf("metrics of the server: %w", err)
		}
		m.Heap, m.HeapGoal = int64(values["go_memstats_heap_alloc_bytes"]), int64(values["go_memstats_next_gc_bytes"])
		m.Index, m.Entries = int64(values["stocktake_index_bytes"]), int64(values["stocktake_entries"])
		m.Fsyncs, m.Batches = int64(values["stocktake_store_fsyncs_total"]), int64(values["stocktake_store_batches_total"])
		m.CommitsAll = int64(values["stocktake_store_commits_total"])
	}
	r.result.Memory = append(r.result.Memory, m)
	return nil
}

// scrape reads metrics in the text form of Prometheus; those with labels under their name and labels as written.
func scrape(ctx context.Context, url string) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, answer.Status)
	}
	values := map[string]float64{}
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || name == "#" {
			continue
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			values[name] = v
		}
	}
	return values, lines.Err()
}
