package quadlet

import (
	"crypto/rand"
	"path"
	"slices"
	"strings"

	"github.com/podbottle/podbottle/internal/blueprint"
	"github.com/podbottle/podbottle/internal/secret"
)

// Secret is a value of the host that a bottle needs again after a reboot. Podman
// keeps it, and mounts it into the one container.
type Secret struct {
	Name    string // Podman's
	Service blueprint.Service
	Target  string // path in the container
	Value   secret.Value
}

// Secrets are the values of a bottle that do not come from the manifest: tokens,
// keys and forwarded variables. The certificate authorities are not among them,
// since they are minted at each start, nor are values that are empty.
func Secrets(b *blueprint.Bottle) []Secret {
	var list []Secret
	for _, f := range b.Files {
		target := secretTarget(f)
		if target == "" {
			continue
		}
		service, rest, _ := strings.Cut(f.Path, "/")
		rest = strings.TrimPrefix(rest, "secrets/")
		list = append(list, Secret{
			Name:    "bot-bottle-" + b.Slug + "-" + service + "-" + strings.ReplaceAll(rest, "/", "-"),
			Service: blueprint.Service(service),
			Target:  target,
			Value:   f.Content,
		})
	}
	return list
}

// agentEnv is the file with the agent's forwarded variables.
const agentEnv = "agent/handover/env"

// secretTarget is where a container finds a file that is one of its secrets;
// empty for any other file.
func secretTarget(f blueprint.File) string {
	if f.Content.Empty() || mintedName(f.Content) != "" {
		return ""
	}
	if f.Path == agentEnv {
		return path.Join(blueprint.HandoverDir, "env")
	}
	parts := strings.SplitN(f.Path, "/", 3)
	if len(parts) == 3 && parts[1] == "secrets" {
		return path.Join(blueprint.SecretsDir, parts[2])
	}
	return ""
}

// minted are the stand-ins for what each start mints.
var minted = []string{"egress.crt", "egress.key", "firewall.crt", "firewall.key"}

// mintedPrefix begins a stand-in. It is random, so that nobody can write a file that
// passes for one: a prompt that did would have a key written into the agent's home.
var mintedPrefix = "minted at each start " + rand.Text() + ": "

// Authorities are stand-ins for the bottle's certificate authorities. A
// blueprint that is made with them has no key in it, and a Snapshot of it says
// where the real ones go.
func Authorities() (egress, firewall blueprint.KeyPair) {
	pair := func(name string) blueprint.KeyPair {
		return blueprint.KeyPair{Cert: []byte(mintedPrefix + name + ".crt"), Key: secret.New(mintedPrefix + name + ".key")}
	}
	return pair("egress"), pair("firewall")
}

// mintedName is the name of the stand-in that a file holds; empty for any other content.
func mintedName(content secret.Value) string {
	name, ok := strings.CutPrefix(content.Reveal(), mintedPrefix)
	if !ok || !slices.Contains(minted, name) {
		return ""
	}
	return name
}
