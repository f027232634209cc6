package proxy

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/egress"
)

// recorder writes decisions to the log and to the audit file.
type recorder struct {
	slug   string
	log    *slog.Logger
	audit  *audit.Writer
	broken atomic.Bool
}

// write records one decision. When the audit file cannot be written, nothing more
// is let out until it can.
func (r *recorder) write(record egress.Record) {
	record.Time, record.Slug = time.Now().UTC(), r.slug
	seq, err := r.audit.Append(record)
	if err != nil && !r.broken.Load() {
		r.log.Error("audit", "error", err)
	}
	r.broken.Store(err != nil)
	r.log.LogAttrs(context.Background(), slog.LevelInfo, record.Event, slog.Int("seq", seq),
		slog.String("verdict", record.Verdict), slog.String("reason", record.Reason), slog.String("slug", record.Slug),
		slog.String("method", record.Method), slog.String("host", record.Host), slog.Int("port", record.Port),
		slog.String("path", record.Path), slog.String("route", record.Route), slog.Int("status", record.Status),
		slog.Int64("sent", record.Sent), slog.Int64("received", record.Received),
		slog.Float64("duration_ms", record.DurationMS), slog.Int("generation", record.Generation), slog.String("detail", record.Detail))
}
