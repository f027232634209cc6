package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/reload"
)

// reloader keeps a proxy's routes equal to a file that is replaced by rename.
type reloader struct {
	proxy  *Proxy
	dir    string
	status string // where the outcome of the last load is written for the host

	last       []byte
	generation int
}

// load reads the file and puts it in force. An unchanged file is no change; a bad
// one leaves the old routes.
func (r *reloader) load() error {
	data, err := os.ReadFile(filepath.Join(r.dir, egress.RoutesFile))
	if err == nil && r.generation > 0 && bytes.Equal(data, r.last) {
		return nil
	}
	if err == nil {
		err = r.apply(data)
	}
	r.report(err)
	return err
}

func (r *reloader) apply(data []byte) error {
	routes, err := egress.ParseRoutes(data)
	if err != nil {
		return err
	}
	if err := r.proxy.SetRoutes(routes, r.generation+1); err != nil {
		return err
	}
	r.generation++
	r.last = data
	return nil
}

func (r *reloader) report(err error) {
	record := egress.Record{Event: egress.EventRoutes, Verdict: egress.VerdictAllow, Reason: string(ReasonAllowed), Generation: r.generation}
	outcome := "loaded"
	status := egress.RoutesStatus{Generation: r.generation, SHA256: egress.Fingerprint(r.last), Time: time.Now().UTC()}
	if err != nil {
		status.Error = err.Error()
		record.Verdict, record.Reason, record.Detail = egress.VerdictDeny, string(ReasonBadRoutes), status.Error
		outcome = "refused"
	}
	r.proxy.recorder.write(record)
	r.proxy.metrics.reloads.WithLabelValues(outcome).Inc()
	data, _ := json.Marshal(status) // strings, numbers and a time
	if err := renameio.WriteFile(r.status, append(data, '\n'), 0o644); err != nil {
		r.proxy.config.Log.Error("routes status", "error", err)
	}
}

// watch calls load after every change of the directory until ctx ends. What is wrong
// with a table is reported there.
func (r *reloader) watch(ctx context.Context) error {
	return reload.Watch(ctx, r.dir, r.proxy.config.Log, func() { _ = r.load() })
}
