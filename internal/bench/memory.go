package bench

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// remember takes down the memory of all products as it is now.
func (b *bench) remember(ctx context.Context, when string) error {
	for _, r := range b.runs {
		if !r.is(Product) || r.server.PID == 0 {
			continue
		}
		values, err := r.metrics(ctx)
		if err != nil {
			return err
		}
		m := Memory{Side: r.side.Name, When: when}
		m.Peak, m.Resident = memoryOf(r.server.PID)
		m.Live = int64(values["go_gc_heap_live_bytes"])
		m.Index, m.Entries = int64(values["stocktake_index_bytes"]), int64(values["stocktake_entries"])
		b.result.Memory = append(b.result.Memory, m)
	}
	return nil
}

// allocations gives how many objects a product has allocated on its heap so far; 0 where that is not known.
func (r *run) allocations() (float64, error) {
	if !r.is(Product) {
		return 0, nil
	}
	values, err := r.metrics(context.Background())
	return values["go_memstats_mallocs_total"], err
}

// metrics gives the server's metrics; none where it has no address for them.
func (r *run) metrics(ctx context.Context) (map[string]float64, error) {
	if r.server.Metrics == "" {
		return nil, nil
	}
	values, err := scrape(ctx, r.server.Metrics)
	if err != nil {
		err = fmt.Errorf("metrics of %s: %w", r.side.Name, err)
	}
	return values, err
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
