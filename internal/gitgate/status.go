package gitgate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/podbottle/podbottle/internal/audit"
)

// Status is what an operator asks of one bottle's git.
type Status struct {
	Repositories []RepositoryStatus `json:"repositories"` // as declared, then those of earlier sessions
	Refusals     []Refusal          `json:"refusals"`     // the latest first
}

// RepositoryStatus is the last that happened to one repository.
type RepositoryStatus struct {
	Name      string  `json:"name"`
	Remote    string  `json:"remote,omitempty"` // host:port and path; empty when it is not declared now
	LastFetch *Record `json:"last_fetch,omitempty"`
	LastPush  *Record `json:"last_push,omitempty"`
	// Refused is how many refused pushes wait for nobody: neither allowed nor landed.
	Refused int `json:"refused"`
}

// ReadStatus reads the sidecar's state directory. configDir is that of the live
// sidecar; without one, only what happened is known. A broken audit chain is an error.
func ReadStatus(stateDir, configDir string) (Status, error) {
	var s Status
	text, err := os.ReadFile(filepath.Join(configDir, ConfigFile))
	switch {
	case err == nil:
		config, err := ParseConfig(text)
		if err != nil {
			return s, err
		}
		for _, r := range config.Repositories {
			s.Repositories = append(s.Repositories, RepositoryStatus{Name: r.Name, Remote: r.Address() + r.Path})
		}
	case !errors.Is(err, fs.ErrNotExist):
		return s, err
	}
	if err := s.readAudit(stateDir); err != nil {
		return s, err
	}
	if s.Refusals, err = Refusals(stateDir); err != nil {
		return s, err
	}
	for _, r := range s.Refusals {
		if r.AllowedBy == "" && r.LandedAt.IsZero() {
			s.repository(r.Repository).Refused++
		}
	}
	return s, nil
}

func (s *Status) readAudit(stateDir string) error {
	// The container writes there: a link that leads out of the directory is not followed.
	root, err := os.OpenRoot(stateDir)
	if err != nil {
		return err
	}
	defer root.Close()
	file, err := root.Open(AuditFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	for line, err := range audit.Lines(file) {
		if err != nil {
			return fmt.Errorf("%s: %w", file.Name(), err)
		}
		var rec Record
		if err := json.Unmarshal(line, &rec); err != nil {
			return fmt.Errorf("%s: %w", file.Name(), err)
		}
		if rec.Repository == "" {
			continue
		}
		switch rec.Event {
		case EventFetch:
			s.repository(rec.Repository).LastFetch = &rec
		case EventPush:
			s.repository(rec.Repository).LastPush = &rec
		case EventAllow:
		}
	}
	return nil
}

// repository finds one by its name, or adds it.
func (s *Status) repository(name string) *RepositoryStatus {
	i := slices.IndexFunc(s.Repositories, func(r RepositoryStatus) bool { return r.Name == name })
	if i < 0 {
		i = len(s.Repositories)
		s.Repositories = append(s.Repositories, RepositoryStatus{Name: name})
	}
	return &s.Repositories[i]
}

// State is what became of a refused push: refused, allowed or landed.
func (r Refusal) State() string {
	switch {
	case !r.LandedAt.IsZero():
		return "landed"
	case r.AllowedBy != "":
		return "allowed"
	}
	return "refused"
}

// Text is the refused push for a person, line by line and without a newline at the
// ends. The lines hold what the agent wrote: print them through the package visible.
func (r Refusal) Text() []string {
	lines := []string{
		"refused push " + r.ID,
		fmt.Sprintf("repository   %s (%s)", r.Repository, r.Remote),
		fmt.Sprintf("tried        %d times, last %s", r.Attempts, r.Last.Format(time.RFC3339)),
		"state        " + r.State(),
	}
	if r.AllowedBy != "" {
		lines = append(lines, fmt.Sprintf("allowed      by %s at %s", r.AllowedBy, r.AllowedAt.Format(time.RFC3339)))
	}
	for _, u := range r.Updates {
		lines = append(lines, "update       "+u.describe())
	}
	lines = append(lines, "", fmt.Sprintf("findings (%d):", r.FindingCount))
	for _, f := range r.Findings {
		lines = append(lines, "  "+f.String())
		if f.Excerpt != "" {
			lines = append(lines, "      "+f.Excerpt)
		}
	}
	lines = append(lines, "", fmt.Sprintf("new commits (%d):", r.CommitCount))
	for _, c := range r.Commits {
		lines = append(lines, strings.Join([]string{"  " + short(c.Name), c.Author, c.Subject}, "  "))
	}
	return lines
}

func (u Update) describe() string {
	switch {
	case u.Deletes():
		return u.Ref + " is deleted (was " + short(u.Old) + ")"
	case u.Creates():
		return u.Ref + " is new at " + short(u.New)
	}
	return u.Ref + " from " + short(u.Old) + " to " + short(u.New)
}
