package gitgate

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// Refusal is a push that the gate refused by its rules, as it is kept for the
// operator: <ID>.json in RefusedDir. It holds no secret.
type Refusal struct {
	ID         string    `json:"id"`
	First      time.Time `json:"first"`
	Last       time.Time `json:"last"`
	Attempts   int       `json:"attempts"`
	Repository string    `json:"repository"`
	Remote     string    `json:"remote"` // host:port and path
	Updates    []Update  `json:"updates"`
	Findings   []Finding `json:"findings"` // at most MaxKept, each with its Excerpt
	// FindingCount is how many there are; more than listed when the list is cut.
	FindingCount int      `json:"finding_count"`
	Commits      []Commit `json:"commits,omitempty"` // the new ones, latest first, at most MaxKept
	CommitCount  int      `json:"commit_count"`
	// AllowedBy and AllowedAt are set once the gate saw an Allowance, LandedAt once
	// the push went through, which uses the allowance up.
	AllowedBy string    `json:"allowed_by,omitempty"`
	AllowedAt time.Time `json:"allowed_at,omitzero"`
	LandedAt  time.Time `json:"landed_at,omitzero"`
}

// Commit is a new commit of a refused push.
type Commit struct {
	Name    string `json:"name"` // object name
	Author  string `json:"author"`
	Subject string `json:"subject"`
}

// Bounds of a Refusal: of its lists, and of each name in them, in bytes of JSON. With all
// of them full the file is smaller than maxRefusalFile.
const (
	MaxKept        = 200
	maxKeptName    = 4 << 10
	maxRefusalFile = 4 << 20
)

// RefusalID names a push by what it would do: the same push gets the same ID, and
// one that differs in any object, or starts from another state of the ref, another.
func RefusalID(repository string, updates []Update) string {
	lines := make([]string, 0, len(updates))
	for _, u := range updates {
		lines = append(lines, u.Ref+" "+u.Old+" "+u.New)
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(repository + "\n" + strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:8])
}

// ValidRefusalID reports whether s has the form of an ID: 16 hexadecimal digits.
func ValidRefusalID(s string) bool { return len(s) == 16 && strings.Trim(s, "0123456789abcdef") == "" }

// ReadRefusal reads one refused push from the sidecar's state directory. The error
// is fs.ErrNotExist when there is none.
func ReadRefusal(stateDir, id string) (Refusal, error) {
	if !ValidRefusalID(id) {
		return Refusal{}, fmt.Errorf("%q is not the ID of a refused push: it has 16 hexadecimal digits", id)
	}
	// The container writes there: a link that leads out of the directory is not followed.
	root, err := os.OpenRoot(stateDir)
	if err != nil {
		return Refusal{}, err
	}
	defer root.Close()
	file, err := root.Open(filepath.Join(RefusedDir, id+".json"))
	if err != nil {
		return Refusal{}, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxRefusalFile))
	if err != nil {
		return Refusal{}, err
	}
	var r Refusal
	if err := json.Unmarshal(text, &r); err != nil {
		return Refusal{}, fmt.Errorf("refused push %s: %w", id, err)
	}
	if r.ID != id {
		return Refusal{}, fmt.Errorf("refused push %s: the file is another's", id)
	}
	return r, nil
}

// Refusals lists the refused pushes, the latest first.
func Refusals(stateDir string) ([]Refusal, error) {
	entries, err := os.ReadDir(filepath.Join(stateDir, RefusedDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Refusal
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || !ValidRefusalID(id) {
			continue
		}
		r, err := ReadRefusal(stateDir, id)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was replaced meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Refusal) int { return b.Last.Compare(a.Last) })
	return all, nil
}

// Write keeps the refusal in the state directory, within its bounds.
func (r Refusal) Write(stateDir string) error {
	r.Updates, r.Findings = limitUpdates(r.Updates, MaxKept, maxKeptName), limitFindings(r.Findings, MaxKept, maxKeptName)
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	dir := filepath.Join(stateDir, RefusedDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// The operator reads it as another uid; the directory above is closed to others.
	return renameio.WriteFile(filepath.Join(dir, r.ID+".json"), text, 0o644)
}

// Allowance lets one refused push through once. It lies in the sidecar's
// configuration directory, where only the host can write.
type Allowance struct {
	ID string    `json:"id"`
	By string    `json:"by"` // the operator's user name
	At time.Time `json:"at"`
}

const allowancePrefix = "allow-"

// AllowanceID returns the ID that a file name of the configuration directory stands for.
func AllowanceID(name string) (id string, ok bool) {
	rest, prefixed := strings.CutPrefix(name, allowancePrefix)
	id, suffixed := strings.CutSuffix(rest, ".json")
	if !prefixed || !suffixed || !ValidRefusalID(id) {
		return "", false
	}
	return id, true
}

// Write puts the allowance into the configuration directory of a live sidecar.
func (a Allowance) Write(configDir string) error {
	if !ValidRefusalID(a.ID) {
		return fmt.Errorf("%q is not the ID of a refused push", a.ID)
	}
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(configDir, allowancePrefix+a.ID+".json"), text, 0o444)
}

// ReadAllowance reads the allowance for a refused push; fs.ErrNotExist when there is none.
func ReadAllowance(configDir, id string) (Allowance, error) {
	text, err := os.ReadFile(filepath.Join(configDir, allowancePrefix+id+".json"))
	if err != nil {
		return Allowance{}, err
	}
	var a Allowance
	if err := json.Unmarshal(text, &a); err != nil {
		return Allowance{}, fmt.Errorf("allowance %s: %w", id, err)
	}
	if a.ID != id {
		return Allowance{}, fmt.Errorf("allowance %s: the file is for another push", id)
	}
	return a, nil
}
