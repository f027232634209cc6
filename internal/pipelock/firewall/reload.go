package firewall

import (
	"bytes"
	"encoding/json"
	"os"

	"github.com/google/renameio/v2"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/pipelock"
)

// reloader keeps a firewall's configuration equal to a file that is replaced by rename.
type reloader struct {
	firewall *Firewall
	file     string
	status   string // where the outcome is written for the host

	last []byte // the file as it was read last
}

// load puts the file in force and says so. A bad file leaves the old configuration.
func (r *reloader) load() {
	data, err := os.ReadFile(r.file)
	if err == nil && r.last != nil && bytes.Equal(data, r.last) {
		return
	}
	var config pipelock.Config
	if err == nil {
		config, err = pipelock.ParseConfig(data)
	}
	status, log := pipelock.Status{SHA256: egress.Fingerprint(data)}, r.firewall.settings.Log
	if err == nil {
		r.firewall.SetConfig(config)
		log.Info("configuration", "slug", r.firewall.settings.Slug, "hosts", len(config.APIAllowlist), "sha256", status.SHA256)
	} else {
		status.Error = err.Error()
		log.Error("configuration refused", "slug", r.firewall.settings.Slug, "error", err)
	}
	r.last = data
	text, _ := json.Marshal(status) // strings
	if err := renameio.WriteFile(r.status, append(text, '\n'), 0o644); err != nil {
		log.Error("configuration status", "error", err)
	}
}

// readConfig reads the configuration of a start.
func readConfig(file string) (pipelock.Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return pipelock.Config{}, err
	}
	return pipelock.ParseConfig(data)
}
