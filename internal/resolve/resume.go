package resolve

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/provider"
	"github.com/podbottle/podbottle/internal/state"
)

// SpecOf is the specification that continues a bottle.
func SpecOf(m state.Metadata) Spec {
	spec := Spec{
		AgentName:    m.AgentName,
		CopyCwd:      m.CopyCwd,
		UserCwd:      firstOf(m.Cwd, m.UserCwd),
		Identity:     m.Identity,
		BottleNames:  m.BottleNames,
		AgentFromCwd: m.AgentFromCwd,
		Label:        m.Label,
		Runtime:      m.Runtime,
	}
	// The version may follow the engine's name.
	engine, _, _ := strings.Cut(m.Firewall, " ")
	spec.Firewall = pipelock.Engine(engine)
	return spec
}

// SaveLaunch keeps the plan of a launch beside its digest in the metadata, so
// that a resume can show what has changed since.
func SaveLaunch(root string, plan *Plan) error {
	tree, err := state.Of(root, plan.Slug)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(plan, "", "  ")
	if err != nil {
		return fmt.Errorf("plan of %s: %w", plan.Slug, err)
	}
	data = append(data, '\n')
	if err := state.WriteFile(tree.Plan(), data); err != nil {
		return err
	}
	m, err := state.ReadMetadata(root, plan.Slug)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	m.PlanDigest = "sha256:" + hex.EncodeToString(sum[:])
	return state.CommitMetadata(root, m)
}

// Launched is what the provider needed at the last launch. Of a bottle that was
// never launched it has the agent's usual home and nothing else.
func Launched(root, slug string) (provider.Plan, error) {
	plan, err := LastPlan(root, slug)
	return plan.AgentProvision, err
}

// LastPlan is the plan of the last launch. Of a bottle that was never launched it
// has the agent's usual home and nothing else.
func LastPlan(root, slug string) (Plan, error) {
	plan := Plan{AgentProvision: provider.Plan{GuestHome: defaultHome}}
	tree, err := state.Of(root, slug)
	if err != nil {
		return plan, err
	}
	data, err := os.ReadFile(tree.Plan())
	if errors.Is(err, os.ErrNotExist) {
		return plan, nil
	}
	if err != nil {
		return plan, fmt.Errorf("plan of the last launch: %w", err)
	}
	if err := json.Unmarshal(data, &plan); err != nil {
		return plan, fmt.Errorf("%s: %w", tree.Plan(), err)
	}
	return plan, nil
}

// Change is one value of the plan that differs from the last launch's.
type Change struct {
	Path string `json:"path"` // such as egress.routes[api.example.org].port
	Old  string `json:"old"`  // as JSON; empty when there was none
	New  string `json:"new"`
}

// Changes compares a plan with the one that the bottle was last launched with. A
// bottle that was never launched has none.
func Changes(root string, plan *Plan) ([]Change, error) {
	tree, err := state.Of(root, plan.Slug)
	if err != nil {
		return nil, err
	}
	old, err := os.ReadFile(tree.Plan())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("plan of the last launch: %w", err)
	}
	current, err := json.Marshal(plan)
	if err != nil {
		return nil, fmt.Errorf("plan of %s: %w", plan.Slug, err)
	}
	changes, err := Diff(old, current)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tree.Plan(), err)
	}
	return changes, nil
}

// Diff compares two plans in their JSON form, value by value, in the order of
// their paths. What differs by nature between two launches is left out.
func Diff(old, current []byte) ([]Change, error) {
	var before, after any
	for data, into := range map[*[]byte]*any{&old: &before, &current: &after} {
		dec := json.NewDecoder(bytes.NewReader(*data))
		dec.UseNumber()
		if err := dec.Decode(into); err != nil {
			return nil, fmt.Errorf("not a plan: %w", err)
		}
	}
	values := map[string][2]string{}
	flatten(values, 0, "", before)
	flatten(values, 1, "", after)
	var changes []Change
	for path, v := range values {
		if v[0] != v[1] && !perLaunch(path) {
			changes = append(changes, Change{Path: path, Old: v[0], New: v[1]})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return changes, nil
}

// perLaunch reports values that say nothing about the manifest.
func perLaunch(path string) bool {
	return strings.HasPrefix(path, "spec.") || path == "stage_dir" || path == "container_name" || path == "container_name_pinned" ||
		strings.HasPrefix(path, "workspace.") || strings.HasPrefix(path, "warnings")
}

// itemKey tells the items of a list apart: by what names them, so that a new
// route does not make all that follow it look changed, or by their position.
func itemKey(i int, item any) string {
	if fields, ok := item.(map[string]any); ok {
		for _, key := range []string{"host", "path"} {
			if name, ok := fields[key].(string); ok {
				return name
			}
		}
		if name, ok := fields["name"].(string); ok && fields["url"] != nil {
			return name
		}
	}
	return strconv.Itoa(i)
}

// flatten puts the leaves of a JSON value into values, at the given side.
func flatten(values map[string][2]string, side int, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			flatten(values, side, strings.TrimPrefix(path+"."+key, "."), value)
		}
	case []any:
		for i, value := range v {
			flatten(values, side, path+"["+itemKey(i, value)+"]", value)
		}
	case nil:
		// No value is no value, whether or not the key is written.
	default:
		text, err := json.Marshal(v)
		if err != nil {
			panic(err) // it was decoded from JSON
		}
		pair := values[path]
		pair[side] = string(text)
		values[path] = pair
	}
}
