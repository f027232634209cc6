package manifest

import (
	"fmt"
	"slices"
)

// overlay puts a child over its parent: variables and the commit identity are
// merged, everything else is replaced whole where the child's file has the key.
func (b *Bottle) overlay(child *Bottle) *Bottle {
	out := b.merge(child)
	out.Name = child.Name
	if child.has("remotes") {
		out.Remotes = child.Remotes
	}
	if child.has("egress") {
		out.Routes = child.Routes
	}
	return out
}

// unite puts one parent of a list over the parents before it: variables, the
// commit identity and remotes are merged, routes are joined, and of everything
// else the later value counts. Two different routes for one host are an error.
func (b *Bottle) unite(later *Bottle) (*Bottle, error) {
	out := b.merge(later)
	out.Name = b.Name + "+" + later.Name
	out.Remotes = slices.Clone(b.Remotes)
	for _, r := range later.Remotes {
		if at := slices.IndexFunc(out.Remotes, func(o Remote) bool { return o.Name == r.Name }); at >= 0 {
			out.Remotes[at] = out.Remotes[at].overlay(r)
			continue
		}
		out.Remotes = append(out.Remotes, r)
	}
	out.Routes = slices.Clone(b.Routes)
	for _, r := range later.Routes {
		at := slices.IndexFunc(out.Routes, func(o Route) bool { return o.Host == r.Host })
		switch {
		case at < 0:
			out.Routes = append(out.Routes, r)
		case !out.Routes[at].equal(r):
			return nil, fmt.Errorf("%s: the route for %s differs from the one at %s; declare it in one of the bottles, or in the bottle that extends both",
				r.Position, r.Host, out.Routes[at].Position)
		}
	}
	return out, nil
}

// merge does what overlay and unite have in common; remotes and routes are b's.
func (b *Bottle) merge(top *Bottle) *Bottle {
	out := *b
	out.Chain = slices.Clone(b.Chain)
	for _, name := range top.Chain {
		if !slices.Contains(out.Chain, name) {
			out.Chain = append(out.Chain, name)
		}
	}
	out.declared = append(slices.Clone(b.declared), top.declared...)
	out.Env = slices.Clone(b.Env)
	for _, v := range top.Env {
		if at := slices.IndexFunc(out.Env, func(o EnvVar) bool { return o.Name == v.Name }); at >= 0 {
			out.Env[at] = v
			continue
		}
		out.Env = append(out.Env, v)
	}
	out.GitUser = b.GitUser.overlay(top.GitUser)
	if top.has("label") {
		out.Label = top.Label
	}
	if top.has("agent_provider") {
		out.AgentProvider = top.AgentProvider
	}
	if top.has("supervise") {
		out.Supervise = top.Supervise
	}
	return &out
}
