package httpd

import (
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics is a registry of its own: what requests do, what the process uses, and whatever other rooms let be read.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	refused  prometheus.Histogram
}

// NewMetrics makes the registry, with the metrics of requests, of the Go runtime and of the process in it.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stocktake_requests_total", Help: "Requests answered, by action and by error code (OK for none).",
		}, []string{"action", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "stocktake_request_duration_seconds", Help: "Time from the headers of a request to the end of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"action"}),
		refused: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "stocktake_throttled_duration_seconds", Help: "Time from the headers of a request to the end of its answer, where that is ThrottlingException, or Throttling to a form.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}),
	}
	// What a collection leaves is what the process needs: the rest of the heap is room to work in.
	live := collectors.WithGoCollectorRuntimeMetrics(collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile("^/gc/heap/live:bytes$")})
	m.registry.MustRegister(m.requests, m.duration, m.refused, collectors.NewGoCollector(live),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// ObserveRequest counts one request. action and code become labels, so both must come from a fixed set.
func (m *Metrics) ObserveRequest(action, code string, took time.Duration) {
	m.requests.WithLabelValues(action, code).Inc()
	m.duration.WithLabelValues(action).Observe(took.Seconds())
	if code == throttled || code == throttledForm {
		m.refused.Observe(took.Seconds())
	}
}

// Gauge adds a value that goes up and down. read is called at each scrape, by several goroutines at once, and should be
// quick. labels, which may be nil, tell apart values of one name. It fails when name and labels are malformed or taken.
func (m *Metrics) Gauge(name, help string, labels map[string]string, read func() float64) error {
	return m.register(name, prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, read))
}

// Counter is Gauge for a value that only goes up.
func (m *Metrics) Counter(name, help string, labels map[string]string, read func() float64) error {
	return m.register(name, prometheus.NewCounterFunc(
		prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, read))
}

func (m *Metrics) register(name string, c prometheus.Collector) error {
	if err := m.registry.Register(c); err != nil {
		return fmt.Errorf("metric %s: %w", name, err)
	}
	return nil
}

func (m *Metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}
