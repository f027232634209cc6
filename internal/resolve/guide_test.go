package resolve

import (
	"strings"
	"testing"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/gitgate"
	"github.com/podbottle/podbottle/internal/provider"
	"github.com/podbottle/podbottle/internal/supervise"
)

func TestGuide(t *testing.T) {
	plan := &Plan{
		Image: "bot-bottle-command:demo",
		Egress: egress.Plan{Routes: []egress.Route{
			{Host: "api.example.org", TokenRef: "SECRET_NAME", TokenEnv: "EGRESS_TOKEN_0", AuthScheme: "Bearer", PathAllowlist: []string{"/private/path/"}},
			{Host: "other.example.org", Port: 8443},
		}},
		AgentProvision: provider.Plan{GuestHome: "/home/node"},
	}
	text := string(Guide(plan))
	for _, want := range []string{"- api.example.org\n", "- other.example.org, also on port 8443\n", "No remote is declared", "Nobody can be asked"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	for _, secret := range []string{"SECRET_NAME", "EGRESS_TOKEN", "/private/path", "capability-block"} {
		if strings.Contains(text, secret) {
			t.Errorf("an unsupervised agent is told %q:\n%s", secret, text)
		}
	}

	plan.Egress.Routes, plan.Supervise = nil, &supervise.Plan{}
	plan.GitGate.Upstreams = []gitgate.Upstream{{Name: "tools", Host: "git.example.org"}}
	text = string(Guide(plan))
	for _, want := range []string{"- none\n", "- tools (git.example.org)", "egress-block", "/home/node/.bot-bottle-containerfile"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "FROM") {
		t.Errorf("a recipe that copies nothing needs no other beginning:\n%s", text)
	}
	plan.BuildContext = "/somewhere"
	if text = string(Guide(plan)); !strings.Contains(text, "FROM bot-bottle-command:demo") || strings.Contains(text, "/somewhere") {
		t.Errorf("the host's directory is named, or the image is not:\n%s", text)
	}
}
