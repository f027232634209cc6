// Package console is the operator's terminal interface: what agents ask for, what
// each would be given, and keys to answer. It decides nothing itself; an answer is
// given by the same functions as on the command line.
//
// Nothing is approved by Enter and nothing by default: an approval takes the key of
// its scope and then a y, on a screen that shows exactly what is granted.
package console

import (
	"context"
	"os/exec"
	"slices"
	"time"

	"github.com/charmbracelet/bubbles/textinput"
	"github.com/charmbracelet/bubbles/viewport"
	tea "github.com/charmbracelet/bubbletea"

	"github.com/podbottle/podbottle/internal/supervise"
)

// Outside is all that the interface does outside of itself.
type Outside struct {
	// Bottles lists the bottles whose proposals are shown.
	Bottles func() ([]supervise.Bottle, error)
	// Editor is the command that edits a file.
	Editor func(ctx context.Context, file string) *exec.Cmd
	Lookup func(name string) (string, bool) // environment
	Now    func() time.Time
	By     supervise.Operator
}

// screen is what the operator sees.
type screen int

const (
	list    screen = iota // all proposals
	detail                // one of them
	prompt                // a text is asked for
	confirm               // what an approval grants, and a last question
	working               // what an approval grants is worked out, or an answer is under way; no key counts
)

// Model is the state of the interface. It implements tea.Model.
type Model struct {
	ctx     context.Context
	outside Outside
	answers *answers

	screen  screen
	entries []supervise.Entry
	bottles map[string]supervise.Bottle
	chosen  string // ID of the proposal under the cursor
	status  string // what happened last; safe to print
	failed  bool   // status is an error
	width   int
	height  int

	subject subject
	pending grant
	text    viewport.Model
	input   textinput.Model
	asking  question
}

// subject is the proposal that is looked at.
type subject struct {
	bottle supervise.Bottle
	entry  supervise.Entry
	view   supervise.View
	period time.Duration // zero for the scope's own
	// What the operator made of it; at most one is set.
	ask  *supervise.Ask
	file []byte
}

// New makes the interface; ctx ends its answers, which Leave waits for.
func New(ctx context.Context, outside Outside) Model {
	return Model{ctx: ctx, outside: outside, answers: &answers{}, width: 80, height: 24, text: viewport.New(80, 20), input: textinput.New()}
}

// reloadEvery is how often the queues are looked at.
const reloadEvery = time.Second

// Problem is a message of the program around the interface, to be shown.
type Problem struct{ Err error }

type (
	tick   struct{}
	loaded struct {
		entries []supervise.Entry
		bottles map[string]supervise.Bottle
		problem error
	}
)

// Init implements tea.Model.
func (m Model) Init() tea.Cmd { return tea.Batch(m.load, wait()) }

func wait() tea.Cmd { return tea.Tick(reloadEvery, func(time.Time) tea.Msg { return tick{} }) }

// load reads the queues.
func (m Model) load() tea.Msg {
	bottles, err := m.outside.Bottles()
	if err != nil {
		return loaded{problem: err}
	}
	found := loaded{bottles: map[string]supervise.Bottle{}}
	for _, b := range bottles {
		found.bottles[b.Slug] = b
	}
	var damaged []error
	if found.entries, damaged = supervise.Collect(bottles, false); len(damaged) > 0 {
		found.problem = damaged[0]
	}
	return found
}

// Update implements tea.Model.
func (m Model) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	next, cmd := m.update(message)
	next.layOut() // what stands below the text may have another height now
	return next, cmd
}

func (m Model) update(message tea.Msg) (Model, tea.Cmd) {
	switch message := message.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = message.Width, message.Height
		return m, nil
	case tick:
		return m, tea.Batch(m.load, wait())
	case Problem:
		return m.say(message.Err.Error(), true), nil
	case loaded:
		return m.take(message), nil
	case edited:
		return m.takeEdited(message), nil
	case prepared:
		return m.takePrepared(message), nil
	case answered:
		return m.takeAnswer(message), m.load
	case tea.KeyMsg:
		if message.Type == tea.KeyCtrlC {
			return m, tea.Quit
		}
		return m.key(message)
	}
	return m, nil
}

func (m Model) key(key tea.KeyMsg) (Model, tea.Cmd) {
	switch m.screen {
	case list:
		return m.keyInList(key)
	case detail:
		return m.keyInDetail(key)
	case prompt:
		return m.keyInPrompt(key)
	case confirm:
		return m.keyInConfirm(key)
	}
	return m, nil
}

// take shows what the queues hold now. A proposal that was looked at and is answered
// or gone is left, unless the answer is ours.
func (m Model) take(l loaded) Model {
	if l.problem != nil {
		m = m.say(l.problem.Error(), true)
	}
	if l.bottles == nil {
		return m
	}
	m.entries, m.bottles = l.entries, l.bottles
	if m.screen != list && m.screen != working && m.index(m.subject.entry.Proposal.ID) < 0 {
		m.screen = list
		m = m.say("Proposal "+m.subject.entry.Proposal.ShortID()+" was answered elsewhere, or its bottle is gone.", true)
	}
	if m.index(m.chosen) < 0 && len(m.entries) > 0 {
		m.chosen = m.entries[0].Proposal.ID
	}
	return m
}

// index is the place of a proposal in the list; -1 when it is not there.
func (m Model) index(id string) int {
	return slices.IndexFunc(m.entries, func(e supervise.Entry) bool { return e.Proposal.ID == id })
}

func (m Model) keyInList(key tea.KeyMsg) (Model, tea.Cmd) {
	at := m.index(m.chosen)
	switch key.String() {
	case "q": // and not esc, which gets here from everywhere else
		return m, tea.Quit
	case "up", "k":
		at = max(at-1, 0)
	case "down", "j":
		at = min(at+1, len(m.entries)-1)
	case "home", "g":
		at = 0
	case "end", "G":
		at = len(m.entries) - 1
	case "enter", "right", "l":
		return m.open(at), nil
	}
	if at >= 0 && at < len(m.entries) {
		m.chosen = m.entries[at].Proposal.ID
	}
	return m, nil
}

// open looks at a proposal of the list.
func (m Model) open(at int) Model {
	if at < 0 || at >= len(m.entries) {
		return m
	}
	entry := m.entries[at]
	m.subject = subject{bottle: m.bottles[entry.Proposal.Slug], entry: entry}
	m.screen, m.status = detail, ""
	m.look()
	m.text.GotoTop()
	return m
}
