package console

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"github.com/podbottle/podbottle/internal/supervise"
	"github.com/podbottle/podbottle/internal/supervise/supervisetest"
)

// operator drives the interface with keys. What it sets off outside, it does at once.
type operator struct {
	*testing.T
	model  Model
	quit   bool
	bottle *supervisetest.Live
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	bottle := supervisetest.New(t)
	bottle.Manifest = func() (supervise.ManifestFile, error) {
		return supervise.ManifestFile{}, errors.New("there is no manifest here")
	}
	o := &operator{T: t, bottle: bottle}
	o.model = New(context.Background(), Outside{
		Bottles: func() ([]supervise.Bottle, error) { return []supervise.Bottle{bottle.Bottle}, nil },
		Editor: func(ctx context.Context, file string) *exec.Cmd {
			return exec.CommandContext(ctx, "sed", "-i", "s/wanted/less/", file)
		},
		Lookup: func(name string) (string, bool) { return "the-value", name == "MY_TOKEN" },
		Now:    time.Now,
		By:     supervise.Operator{User: "tester"},
	})
	o.reload()
	return o
}

func (o *operator) reload() { o.handle(o.model.load()) }

// handle gives the interface a message, and then what its command brings.
func (o *operator) handle(message tea.Msg) {
	next, cmd := o.model.Update(message)
	o.model = next.(Model)
	if cmd == nil {
		return
	}
	switch result := cmd().(type) {
	case tea.QuitMsg:
		o.quit = true
	case loaded, edited, prepared, answered: // what else there is makes the cursor blink
		o.handle(result)
	}
}

// press presses keys by their names; a text is typed.
func (o *operator) press(keys ...string) {
	for _, key := range keys {
		switch key {
		case "enter":
			o.handle(tea.KeyMsg{Type: tea.KeyEnter})
		case "esc":
			o.handle(tea.KeyMsg{Type: tea.KeyEsc})
		case "down":
			o.handle(tea.KeyMsg{Type: tea.KeyDown})
		case "ctrl-c":
			o.handle(tea.KeyMsg{Type: tea.KeyCtrlC})
		default:
			o.handle(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(key)})
		}
	}
}

func (o *operator) shows(parts ...string) {
	o.Helper()
	shown := o.model.View()
	for _, part := range parts {
		if !strings.Contains(shown, part) {
			o.Errorf("%q is not on the screen:\n%s", part, shown)
		}
	}
}

func (o *operator) hides(parts ...string) {
	o.Helper()
	shown := o.model.View()
	for _, part := range parts {
		if strings.Contains(shown, part) {
			o.Errorf("%q is on the screen:\n%s", part, shown)
		}
	}
}

// ask has the agent ask for a path of the one host that it knows.
func (o *operator) ask() <-chan supervisetest.Answer {
	o.Helper()
	answer, _ := o.bottle.Ask("egress-block", map[string]any{
		"host": "known.example.org", "path_allowlist": []string{"/wanted/"}, "justification": "for \x1b[31mthe\x1b[0m tests",
	})
	o.reload()
	return answer
}

// hears waits for what the agent is answered.
func (o *operator) hears(answer <-chan supervisetest.Answer) supervisetest.Answer {
	o.Helper()
	select {
	case got := <-answer:
		return got
	case <-time.After(2 * time.Minute):
		o.Fatalf("the agent hears nothing; the screen is:\n%s", o.model.View())
		return supervisetest.Answer{}
	}
}

func (o *operator) passes(path string) bool {
	status, _ := o.bottle.Get("known.example.org", path)
	return status == 200
}

func TestApprove(t *testing.T) {
	o := newOperator(t)
	o.shows("Nothing waits")
	answer := o.ask()
	o.shows("1 proposal waits", "known.example.org /wanted/")

	o.press("enter")
	o.shows("/wanted/", "<ESC>[31mthe<ESC>[0m tests")
	o.press("enter", "y") // neither is an answer here
	if o.passes("/wanted/x") {
		t.Fatal("approved without the key of a scope")
	}
	o.press("b")
	o.shows("Approve this?", "/wanted/ and below pass", "as long as it runs")
	o.press("enter")
	o.shows("Nothing is approved")
	if o.passes("/wanted/x") {
		t.Fatal("Enter approved")
	}
	o.press("b", "y")
	o.shows("Approved.", "Nothing waits")
	if got := o.hears(answer); got.Status != "approved" {
		t.Errorf("the agent hears %+v", got)
	}
	if !o.passes("/wanted/x") {
		t.Error("what was approved does not pass")
	}
	o.press("q")
	if !o.quit {
		t.Error("q does not leave")
	}
}

func TestModifyAndPeriod(t *testing.T) {
	o := newOperator(t)
	answer := o.ask()
	o.press("enter")
	file, err := o.model.subject.bottle.Find(o.model.chosen)
	if err != nil || file.Response != nil {
		t.Fatal(err, file)
	}
	o.handle(edited{text: []byte("host: known.example.org\npath_allowlist: [/less/]\n")})
	o.shows("your version", "/less/", "Nothing is approved yet")
	o.press("m")
	o.shows("cannot be approved", "there is no manifest")
	o.press("f", "soon", "enter")
	o.shows("no period")
	o.press("esc", "f", "30m", "enter")
	o.shows("until ", "b bottle 30m")
	o.hides("no period")
	o.press("m")
	o.shows("no end")
	o.press("b", "y")
	if got := o.hears(answer); !strings.Contains(got.Granted, "/less/") {
		t.Errorf("the agent hears %+v", got)
	}
	if o.passes("/wanted/x") || !o.passes("/less/x") {
		t.Error("the operator's version is not what holds")
	}
	entry, err := o.bottle.Find(file.Proposal.ID)
	if err != nil || entry.Response == nil || entry.Response.Status != supervise.StatusModified || entry.Response.ExpiresAt.IsZero() {
		t.Errorf("the answer is %+v, %v", entry.Response, err)
	}
}

func TestReject(t *testing.T) {
	o := newOperator(t)
	answer := o.ask()
	o.press("enter", "r", "enter")
	o.shows("Give the agent a reason")
	o.press("not today", "enter")
	o.shows("Rejected", "Nothing waits")
	if got := o.hears(answer); got.Notes != "not today" {
		t.Errorf("the agent hears %+v", got)
	}
	if o.passes("/wanted/x") {
		t.Error("what was rejected passes")
	}
}

func TestCredential(t *testing.T) {
	o := newOperator(t)
	answer, _ := o.bottle.Ask("egress-block", map[string]any{
		"host": "new.example.org", "auth": map[string]any{"scheme": "Bearer", "token_ref": "HOME"}, "justification": "packages",
	})
	o.reload()
	o.press("enter", "o")
	o.shows("Variable of this shell")
	o.press("HOME", "enter") // what the agent named is not looked up by itself, and is not set here
	o.shows("HOME is not set here")
	o.press("esc", "o", "MY_TOKEN", "enter")
	o.shows("the value of MY_TOKEN")
	o.press("y")
	if got := o.hears(answer); got.Status != "approved" {
		t.Errorf("the agent hears %+v", got)
	}
}

func TestAnsweredElsewhere(t *testing.T) {
	o := newOperator(t)
	answer := o.ask()
	o.press("enter", "b")
	p := o.model.subject.entry.Proposal
	if _, err := o.bottle.Reject(context.Background(), p, "no", supervise.Operator{}); err != nil {
		t.Fatal(err)
	}
	o.hears(answer)
	o.press("y") // before the interface has seen it
	o.shows("answered elsewhere", "Nothing waits")
	if o.passes("/wanted/x") {
		t.Error("a rejected proposal was approved")
	}
}

// TestTypingAhead presses keys while it is worked out what an approval grants.
func TestTypingAhead(t *testing.T) {
	o := newOperator(t)
	answer := o.ask()
	o.press("enter")
	begin := func(key string) tea.Msg {
		next, cmd := o.model.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(key)})
		o.model = next.(Model)
		return cmd()
	}
	worked := begin("b")
	o.press("r", "y", "esc", "q")
	if o.quit || strings.Contains(o.model.View(), "Why not") {
		t.Errorf("a key counted:\n%s", o.model.View())
	}
	o.handle(worked)
	o.shows("Approve this?")
	o.press("esc")
	o.handle(worked) // a second time, which is not asked for
	o.press("y")
	o.press("r")
	o.handle(worked)
	o.shows("Why not")
	o.press("y")
	if o.passes("/wanted/x") {
		t.Error("approved by what was typed for something else")
	}
	o.press("enter")
	if got := o.hears(answer); got.Status != "rejected" || got.Notes != "y" {
		t.Errorf("the agent hears %+v", got)
	}
}

// TestLeavingDuringAnAnswer ends the interface while an approval waits for the
// firewall: the approval takes back what it did, and the operator is told.
func TestLeavingDuringAnAnswer(t *testing.T) {
	o := newOperator(t)
	ctx, cancel := context.WithCancel(t.Context())
	o.model.ctx = ctx
	reloading := make(chan struct{}, 2)
	o.bottle.ReloadFirewall = func(ctx context.Context) error {
		if reloading <- struct{}{}; len(reloading) > 1 {
			return nil // it is taken back
		}
		<-ctx.Done()
		return ctx.Err()
	}
	answer, p := o.bottle.Ask("egress-block", map[string]any{"host": "new.example.org", "justification": "packages"})
	o.reload()
	before := o.bottle.Files()
	o.press("enter", "b")
	_, give := o.model.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("y")})
	go give()
	for len(reloading) == 0 {
		time.Sleep(time.Millisecond)
	}
	o.press("ctrl-c")
	if !o.quit {
		t.Error("ctrl-c does not leave")
	}
	cancel()
	if said, err := o.model.Leave(); said != "" || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "still pending") {
		t.Errorf("the operator is told %q, %v", said, err)
	}
	o.bottle.Untouched(before)
	if said, err := o.model.Leave(); said != "" || err != nil {
		t.Errorf("told twice: %q, %v", said, err)
	}
	if _, err := o.bottle.Reject(t.Context(), p, "no", supervise.Operator{}); err != nil {
		t.Error(err)
	}
	o.hears(answer)
}

// TestAnyWindow draws every screen in windows of all sizes.
func TestAnyWindow(t *testing.T) {
	o := newOperator(t)
	answer, _ := o.bottle.Ask("egress-block", map[string]any{
		"host": "known.example.org", "path_allowlist": []string{"/wanted/"},
		"justification": strings.Repeat("漢字", 60) + "\n\n" + strings.Repeat("long ", 200) + strings.Repeat("x", 300) + "a\u0300\u0301\u0302\u0303\x1b[2J\u202e",
	})
	o.reload()
	for _, screen := range []struct {
		keys []string
		hint string // that is always in sight
	}{
		{nil, "enter look"}, {[]string{"enter"}, "esc back"}, {[]string{"r", "why"}, "esc back"}, {[]string{"esc", "b"}, "y approves"},
	} {
		o.press(screen.keys...)
		for width := 0; width < 130; width += 1 + width/20 {
			for _, height := range []int{0, 1, 2, 5, 10, 24, 60} {
				o.handle(tea.WindowSizeMsg{Width: width, Height: height})
				shown := o.model.View()
				lines := strings.Split(shown, "\n")
				for _, line := range lines {
					if got := ansi.StringWidth(line); width > 0 && got > width {
						t.Fatalf("%d x %d: a line of %d columns: %q", width, height, got, line)
					}
				}
				if width >= 40 && height >= 10 && (len(lines) > height || !strings.Contains(shown, screen.hint)) {
					t.Fatalf("%d x %d: %d lines, want no more and %q:\n%s", width, height, len(lines), screen.hint, shown)
				}
			}
		}
	}
	o.press("esc", "r", "no", "enter", "ctrl-c")
	o.hears(answer)
	if !o.quit {
		t.Error("ctrl-c does not leave")
	}
}

// TestTheLastLineIsTheLast has a window that the proposal just fits into.
func TestTheLastLineIsTheLast(t *testing.T) {
	o := newOperator(t)
	answer := o.ask()
	o.press("enter")
	if text := o.model.subject.render(80); strings.TrimRight(text, " \n") != text {
		t.Errorf("the text ends with nothing: %q", text)
	}
	lines := o.model.text.TotalLineCount()
	o.handle(tea.WindowSizeMsg{Width: 80, Height: lines + 4})
	o.hides("more above", "more below")
	o.handle(tea.WindowSizeMsg{Width: 80, Height: lines + 3})
	o.shows("more below")
	// esc leads to the list from everywhere, and no further.
	o.press("f", "esc", "esc", "esc")
	if o.quit {
		t.Error("esc leaves the interface")
	}
	o.press("enter", "r", "no", "enter")
	o.hears(answer)
	o.press("q")
	if !o.quit {
		t.Error("q does not leave the interface")
	}
}

// TestScroll reads to the end of a proposal in a small window.
func TestScroll(t *testing.T) {
	o := newOperator(t)
	answer := o.ask()
	o.handle(tea.WindowSizeMsg{Width: 40, Height: 10})
	o.press("enter")
	o.shows("more below", "Lets every kind")
	o.press("G")
	o.shows("more above", "/wanted/")
	o.press("f", "nonsense", "enter", "esc", "G") // the answer takes up room
	o.shows("more above", "is no period", "/wanted/")
	o.press("g")
	o.shows("Lets every kind")
	o.press("r", "no", "enter")
	o.hears(answer)
}
