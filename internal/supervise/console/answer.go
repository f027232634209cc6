package console

import (
	"fmt"
	"sync"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/podbottle/podbottle/internal/secret"
	"github.com/podbottle/podbottle/internal/supervise"
	"github.com/podbottle/podbottle/internal/visible"
)

// grant is an approval under way.
type grant struct {
	scope    supervise.Scope
	tokenRef string
	token    secret.Value
	routes   supervise.Grant        // or
	rebuild  supervise.RebuildGrant // for an image
}

// prepared is a grant that is worked out, to be shown.
type prepared struct {
	grant grant
	err   error
}

// prepare works out what the approval grants, which is what will be granted.
func (m Model) prepare() tea.Cmd {
	s, g, now := m.subject, m.pending, m.outside.Now()
	return func() tea.Msg {
		if s.image() {
			file := s.file
			if file == nil {
				file = []byte(s.entry.Proposal.Capability.Containerfile)
			}
			g.rebuild = supervise.RebuildGrant{Current: s.view.Current, File: file, By: m.outside.By}
			return prepared{grant: g}
		}
		var err error
		g.routes, err = s.bottle.Grant(*s.view.Ask, g.scope, s.period, g.tokenRef, now)
		g.routes.Token, g.routes.Modified, g.routes.By = g.token, s.ask != nil, m.outside.By
		return prepared{g, err}
	}
}

// takePrepared asks the last question. It comes on the screen on which no key means
// anything, so that nothing that was typed before can be the answer.
func (m Model) takePrepared(p prepared) Model {
	if m.screen != working {
		return m // it was not asked for
	}
	if p.err != nil {
		m.screen = detail
		return m.say("It cannot be approved: "+p.err.Error(), true)
	}
	m.pending, m.screen, m.status = p.grant, confirm, ""
	m.layOut()
	m.text.GotoTop()
	return m
}

func (m Model) keyInConfirm(key tea.KeyMsg) (Model, tea.Cmd) {
	switch key.String() {
	case "y":
		m.screen, m.status = working, ""
		return m, m.give()
	case "up", "down", "pgup", "pgdown", "home", "end", "j", "k":
		return m.scroll(key), nil
	}
	m.screen = detail
	m.layOut()
	return m.say("Nothing is approved.", false), nil
}

// answered is the outcome of an answer.
type answered struct {
	said string
	err  error
}

// give answers with the grant that was shown.
func (m Model) give() tea.Cmd {
	s, g := m.subject, m.pending
	return m.answers.run(func() answered {
		var r supervise.Response
		var err error
		if s.image() {
			r, err = s.bottle.ApproveRebuild(m.ctx, s.entry.Proposal, g.rebuild)
		} else {
			r, err = s.bottle.Approve(m.ctx, s.entry.Proposal, g.routes)
		}
		return answered{"Approved. " + r.Granted, err}
	})
}

func (m Model) reject(reason string) tea.Cmd {
	s := m.subject
	return m.answers.run(func() answered {
		_, err := s.bottle.Reject(m.ctx, s.entry.Proposal, reason, m.outside.By)
		return answered{"Rejected " + s.entry.Proposal.ShortID() + ".", err}
	})
}

// answers are those that are given beside the interface: it may be left before it has
// shown what came of one.
type answers struct {
	mu     sync.Mutex // held while one is given
	unseen *answered
}

// run gives an answer.
func (a *answers) run(give func() answered) tea.Cmd {
	return func() tea.Msg {
		a.mu.Lock()
		defer a.mu.Unlock()
		outcome := give()
		a.unseen = &outcome
		return outcome
	}
}

// take waits for the answer that is under way, and returns the outcome that nobody has
// been shown; nil for none.
func (a *answers) take() *answered {
	a.mu.Lock()
	defer a.mu.Unlock()
	outcome := a.unseen
	a.unseen = nil
	return outcome
}

// Leave waits for an answer that is under way when the interface is left, and says
// what came of it, safe to print. Call it when New's context has ended: the answer then takes back
// what it has done, unless it is given already.
func (m Model) Leave() (said string, err error) {
	outcome := m.answers.take()
	switch {
	case outcome == nil:
		return "", nil
	case outcome.err != nil:
		return "", outcome.err
	}
	return visible.String(outcome.said), nil
}

func (m Model) takeAnswer(a answered) Model {
	m.answers.take()
	m.screen = list
	if a.err != nil {
		m.screen = detail
		m.look() // what it would change may be another by now
		return m.say(a.err.Error(), true)
	}
	return m.say(a.said, false)
}

// question is a text that is asked for.
type question int

const (
	reason question = iota
	period
	variable
)

// ask asks for a text.
func (m Model) ask(q question) Model {
	m.asking, m.screen, m.status = q, prompt, ""
	m.input.Reset()
	m.input.CharLimit = 2000
	m.input.Focus()
	return m
}

func (m Model) keyInPrompt(key tea.KeyMsg) (Model, tea.Cmd) {
	switch key.Type {
	case tea.KeyEsc:
		m.screen = detail
		return m, nil
	case tea.KeyEnter:
		return m.answerPrompt(m.input.Value())
	}
	var cmd tea.Cmd
	m.input, cmd = m.input.Update(key)
	return m, cmd
}

func (m Model) answerPrompt(text string) (Model, tea.Cmd) {
	switch m.asking {
	case reason:
		if text == "" {
			return m.say("Give the agent a reason, so that it does not ask the same again.", true), nil
		}
		m.screen = working
		return m, m.reject(text)
	case period:
		var d time.Duration
		if text != "" {
			var err error
			if d, err = time.ParseDuration(text); err != nil || d <= 0 {
				return m.say(fmt.Sprintf("%q is no period; write one such as 30m or 2h", text), true), nil
			}
		}
		m.subject.period, m.screen, m.status = d, detail, ""
		m.look()
		return m, nil
	}
	value, ok := m.outside.Lookup(text)
	switch {
	case text == "":
		return m.say("Name the variable that holds the credential.", true), nil
	case !ok || value == "":
		return m.say("The variable "+text+" is not set here. Leave, set it, and come back.", true), nil
	}
	m.pending.tokenRef, m.pending.token = text, secret.New(value)
	m.screen = working
	return m, m.prepare()
}
