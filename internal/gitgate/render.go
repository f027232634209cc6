package gitgate

import (
	"fmt"
	"net/netip"
	"strings"

	"gopkg.in/yaml.v3"
)

// AgentSocket is where git-gate finds the user's ssh agent, when a remote uses it.
const AgentSocket = "/run/podbottle/ssh-agent.sock"

// ConfigFile is the sidecar's configuration in its config directory.
const ConfigFile = "git-gate.yaml"

// Args is the command line of the sidecar.
func (p Plan) Args(pod netip.Addr) []string {
	return []string{"git-gate", "--slug", p.Slug, "--listen", netip.AddrPortFrom(pod, Port).String()}
}

// ConfigFiles are the files of the sidecar's config directory.
func (p Plan) ConfigFiles() (map[string][]byte, error) {
	text, err := yaml.Marshal(p)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{ConfigFile: text}, nil
}

// Gitconfig is the agent's ~/.gitconfig: who commits, and every declared remote
// rewritten to the gate. It is nil when there is neither.
func Gitconfig(p Plan) []byte {
	var text strings.Builder
	if p.User.Name != "" || p.User.Email != "" {
		text.WriteString("[user]\n")
		for key, value := range map[string]string{"name": p.User.Name, "email": p.User.Email} {
			if value != "" {
				fmt.Fprintf(&text, "\t%s = %q\n", key, value)
			}
		}
	}
	for _, u := range p.Upstreams {
		fmt.Fprintf(&text, "[url %q]\n\tinsteadOf = %q\n", "git://git-gate/"+u.Name+".git", u.URL)
	}
	return []byte(text.String())
}
