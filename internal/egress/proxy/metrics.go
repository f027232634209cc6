package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/podbottle/podbottle/internal/egress"
)

// metrics are what Prometheus may scrape on the pod's loopback. Hosts are no
// labels: the agent chooses them.
type metrics struct {
	registry   *prometheus.Registry
	requests   *prometheus.CounterVec
	bytes      *prometheus.CounterVec
	inflight   prometheus.Gauge
	generation prometheus.Gauge
	reloads    *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry:   prometheus.NewRegistry(),
		requests:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "podbottle_egress_requests_total", Help: "Requests and refused tunnels by verdict and reason."}, []string{"verdict", "reason"}),
		bytes:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "podbottle_egress_body_bytes_total", Help: "Bytes of bodies by direction: sent by the agent, received by it."}, []string{"direction"}),
		inflight:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "podbottle_egress_inflight_requests", Help: "Requests that are not over."}),
		generation: prometheus.NewGauge(prometheus.GaugeOpts{Name: "podbottle_egress_routes_generation", Help: "Number of the route table in force."}),
		reloads:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "podbottle_egress_route_loads_total", Help: "Attempts to load a route table by outcome."}, []string{"outcome"}),
	}
	m.registry.MustRegister(m.requests, m.bytes, m.inflight, m.generation, m.reloads)
	return m
}

func (m *metrics) count(r egress.Record) {
	m.requests.WithLabelValues(r.Verdict, r.Reason).Inc()
	m.bytes.WithLabelValues("sent").Add(float64(r.Sent))
	m.bytes.WithLabelValues("received").Add(float64(r.Received))
}

// serve answers scrapes on l until ctx ends.
func (m *metrics) serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}),
		ReadHeaderTimeout: headerTimeout,
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
