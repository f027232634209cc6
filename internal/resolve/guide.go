package resolve

import (
	"fmt"
	"path"
	"strings"
)

// Files in the agent's home that tell it about its bottle.
const (
	// GuideFile says what the bottle allows.
	GuideFile = ".bot-bottle-guide.md"
	// ContainerfileFile is the recipe of the agent's image, which capability-block changes.
	ContainerfileFile = ".bot-bottle-containerfile"
)

// Guide is what the agent is told about its bottle, in Markdown: the names of the
// hosts that it reaches, how git works, and how to ask for more. It holds no
// credential, nor the name of one.
func Guide(p *Plan) []byte {
	var text strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }
	say("# Your bottle")
	say("")
	say("You run in a container without a route to the internet. This page is written anew at every start; changing it changes nothing.")
	say("")
	say("## Network")
	say("")
	say("HTTP and HTTPS go through the proxy that HTTP_PROXY and HTTPS_PROXY name. There is no DNS and no other way out. It lets requests to these hosts through, some of them only for some paths:")
	say("")
	for _, r := range p.Egress.Routes {
		if r.Port != 0 {
			say("- %s, also on port %d", r.Host, r.Port)
			continue
		}
		say("- %s", r.Host)
	}
	if len(p.Egress.Routes) == 0 {
		say("- none")
	}
	say("")
	say("Every other request is refused with status 403 and the reason in its body. Credentials are added on the way out: you neither have nor need them.")
	say("")
	say("## Git")
	say("")
	if len(p.GitGate.Upstreams) == 0 {
		say("No remote is declared. Commit locally; there is nothing to push to.")
	} else {
		say("Use these remotes under their usual URLs; git is set up so that they lead to a gate, which scans every push for secrets before any of it leaves:")
		say("")
		for _, u := range p.GitGate.Upstreams {
			say("- %s (%s)", u.Name, u.Host)
		}
		say("")
		say("A refused push names the rule, the file and the line. Take the secret out of the commits; do not hide it.")
	}
	say("")
	say("## Asking for more")
	say("")
	p.guideAsking(say)
	return []byte(text.String())
}

// guideAsking says how to ask for more, if there is anybody to ask.
func (p *Plan) guideAsking(say func(format string, args ...any)) {
	if p.Supervise == nil {
		say("Nobody can be asked. Go on without what is refused, and say in your result what was missing.")
		return
	}
	home := p.AgentProvision.GuestHome
	say("The MCP server supervise asks a human, who sees exactly what you ask for and may take long. Ask for as little as the task needs, with a plain reason.")
	say("")
	say("- egress-block: a host, a path or a method is not allowed")
	say("- pipelock-block: the firewall refused a request, or the host is needed on another port than 443 and 80")
	say("- capability-block: the image lacks something. Give the whole Containerfile: %s with as little changed as possible. Its build sees no files, so COPY takes only from other images and from here-documents; there is no ADD. Write USER root before what needs it. "+
		"When it is approved this bottle stops, and goes on in the new image with your home as it was", path.Join(home, ContainerfileFile))
	if p.BuildContext != "" {
		say("  (yours copies from a directory that only the human has: write FROM %s in the place of what is there, and your lines below it)", p.Image)
	}
	say("- list-egress-routes: what is let through now")
	say("- proposal-status: how a request stands, when a call ended without an answer")
}
