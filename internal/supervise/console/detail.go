package console

import (
	"errors"
	"os"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/podbottle/podbottle/internal/supervise"
	"github.com/podbottle/podbottle/internal/visible"
)

// look works out anew what the subject is about, and shows it.
func (m *Model) look() {
	s := &m.subject
	now := m.outside.Now()
	var until time.Time
	if s.period > 0 {
		until = now.Add(s.period)
	}
	if s.ask != nil || s.file != nil {
		s.view = s.bottle.ViewModified(s.entry.Proposal, s.ask, s.file, now, until)
	} else {
		s.view = s.bottle.View(s.entry, now, until)
	}
	m.layOut()
}

func (s subject) image() bool { return s.entry.Proposal.Tool == supervise.ToolCapability }

func (m Model) keyInDetail(key tea.KeyMsg) (Model, tea.Cmd) {
	switch key.String() {
	case "q", "esc", "left":
		m.screen, m.status = list, ""
		return m, nil
	case "r":
		return m.ask(reason), nil
	case "e":
		return m, m.edit()
	case "f":
		if m.subject.image() {
			return m.say("A new image has no end.", true), nil
		}
		return m.ask(period), nil
	case "o":
		return m.approve(supervise.ScopeOnce)
	case "b":
		return m.approve(supervise.ScopeBottle)
	case "m":
		return m.approve(supervise.ScopeManifest)
	}
	return m.scroll(key), nil
}

// scroll moves through the text.
func (m Model) scroll(key tea.KeyMsg) Model {
	switch key.String() {
	case "home", "g":
		m.text.GotoTop()
	case "end", "G":
		m.text.GotoBottom()
	default:
		m.text, _ = m.text.Update(key)
	}
	return m
}

// approve begins an approval. Where a new credential goes along, the operator names
// the variable that holds it first: the name that the agent gave is never taken.
func (m Model) approve(scope supervise.Scope) (Model, tea.Cmd) {
	s := m.subject
	switch {
	case s.view.Problem != "":
		return m.say("It cannot be approved now: "+s.view.Problem, true), nil
	case s.image() && scope != supervise.ScopeBottle:
		return m.say("A new image is for this bottle: press b.", true), nil
	case scope == supervise.ScopeManifest && s.period > 0:
		return m.say("What is in the manifest has no end. Take the period away first: press f and leave it empty.", true), nil
	}
	m.pending = grant{scope: scope}
	if s.view.NeedsToken {
		return m.ask(variable), nil
	}
	m.screen, m.status = working, ""
	return m, m.prepare()
}

// edited is what came back from the editor.
type edited struct {
	text []byte
	err  error
}

// edit lets the operator change the proposal in his editor.
func (m Model) edit() tea.Cmd {
	text, suffix, err := m.subject.editable()
	if err != nil {
		return func() tea.Msg { return edited{err: err} }
	}
	file, err := os.CreateTemp("", "podbottle-proposal-*"+suffix)
	if err == nil {
		_, err = file.Write(text)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		return func() tea.Msg { return edited{err: err} }
	}
	return tea.ExecProcess(m.outside.Editor(m.ctx, file.Name()), func(err error) tea.Msg {
		changed, readErr := os.ReadFile(file.Name())
		return edited{changed, errors.Join(err, readErr, os.Remove(file.Name()))}
	})
}

// editable is the subject as a text, and what its file's name ends with.
func (s subject) editable() ([]byte, string, error) {
	switch {
	case s.image() && s.file != nil:
		return s.file, ".Containerfile", nil
	case s.image():
		return []byte(s.entry.Proposal.Capability.Containerfile), ".Containerfile", nil
	case s.ask != nil:
		text, err := s.ask.YAML()
		return text, ".yaml", err
	}
	ask, err := s.entry.Proposal.Ask()
	if err != nil {
		return nil, "", err
	}
	text, err := ask.YAML()
	return text, ".yaml", err
}

func (m Model) takeEdited(e edited) Model {
	if m.screen != detail {
		return m
	}
	if e.err != nil {
		return m.say("The proposal is as it was: "+e.err.Error(), true)
	}
	if before, _, err := m.subject.editable(); err == nil && string(before) == string(e.text) {
		return m.say("Nothing was changed.", false)
	}
	if m.subject.image() {
		m.subject.file = e.text
	} else {
		ask, err := supervise.ParseAsk(e.text)
		if err != nil {
			return m.say("The proposal is as it was: "+err.Error(), true)
		}
		m.subject.ask = &ask
	}
	m.look()
	return m.say("This is your version now. Nothing is approved yet.", false)
}

// say sets the line that tells what happened last.
func (m Model) say(text string, failed bool) Model {
	m.status, m.failed = visible.String(text), failed
	return m
}
