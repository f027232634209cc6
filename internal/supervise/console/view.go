package console

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/docker/go-units"

	"github.com/podbottle/podbottle/internal/supervise"
	"github.com/podbottle/podbottle/internal/visible"
)

var (
	bold   = lipgloss.NewStyle().Bold(true)
	faint  = lipgloss.NewStyle().Faint(true)
	alarm  = lipgloss.NewStyle().Foreground(lipgloss.Color("1")).Bold(true)
	good   = lipgloss.NewStyle().Foreground(lipgloss.Color("2"))
	notice = lipgloss.NewStyle().Foreground(lipgloss.Color("3"))
	cursor = lipgloss.NewStyle().Reverse(true)
)

// Lines around the text: the title and an empty line above, the status and the keys below.
const frame = 4

// layOut fits the text to the window.
func (m *Model) layOut() {
	m.text.Width, m.text.Height = m.width, max(m.height-frame, 1)
	switch m.screen {
	case detail, prompt, working:
		m.text.SetContent(m.subject.render(m.width))
	case confirm:
		m.text.SetContent(m.renderGrant())
	}
}

// View implements tea.Model.
func (m Model) View() string {
	title, body, keys := "", m.text.View(), ""
	switch m.screen {
	case list:
		title, body, keys = m.listTitle(), m.renderList(), "↑/↓ choose · enter look · q leave"
	case detail:
		title, keys = m.subject.title(), m.subject.keys()
	case prompt:
		title, keys = m.subject.title(), m.asking.label()+" "+m.input.View()+faint.Render("  (esc: back)")
	case confirm:
		title, keys = "Approve this?", bold.Render("y")+" approves, any other key goes back"
	case working:
		title, keys = m.subject.title(), "one moment…"
	}
	status := strings.Split(ansi.Wrap(m.status, m.width, ""), "\n")
	room := max(m.height-frame+1-len(status), 1)
	lines := strings.Split(body, "\n")
	for len(lines) < room {
		lines = append(lines, "")
	}
	rows := append([]string{bold.Render(title), ""}, lines[:room]...)
	for _, line := range status {
		rows = append(rows, m.statusStyle().Render(line))
	}
	rows = append(rows, keys)
	for i := range rows {
		rows[i] = ansi.Truncate(rows[i], m.width, "…")
	}
	return strings.Join(rows, "\n")
}

func (m Model) statusStyle() lipgloss.Style {
	if m.failed {
		return alarm
	}
	return good
}

func (m Model) listTitle() string {
	switch len(m.entries) {
	case 0:
		return "podbottle supervise"
	case 1:
		return "podbottle supervise: 1 proposal waits"
	}
	return fmt.Sprintf("podbottle supervise: %d proposals wait", len(m.entries))
}

func (m Model) renderList() string {
	if len(m.entries) == 0 {
		return faint.Render("Nothing waits. What an agent asks for appears here by itself.")
	}
	rows := []string{faint.Render(fmt.Sprintf("  %-24s  %-14s  %s", "BOTTLE", "WAITS SINCE", "ASKS FOR"))}
	for _, e := range m.entries {
		p := e.Proposal
		row := fmt.Sprintf("%-24s  %-14s  %s", ansi.Truncate(p.Slug, 24, "…"), units.HumanDuration(m.outside.Now().Sub(p.Time)), p.Asks())
		if p.ID == m.chosen {
			rows = append(rows, cursor.Render("> "+row))
		} else {
			rows = append(rows, "  "+row)
		}
	}
	// The chosen one stays in sight below the headings.
	room := max(m.height-frame-1, 1)
	first := max(m.index(m.chosen)-room+1, 0)
	return strings.Join(append(rows[:1:1], rows[1+first:]...), "\n")
}

func (s subject) title() string {
	p := s.entry.Proposal
	title := fmt.Sprintf("%s asks with %s  (%s)", p.Slug, p.Tool, p.ShortID())
	if s.ask != nil || s.file != nil {
		title += "  — your version"
	}
	return title
}

func (s subject) keys() string {
	if s.image() {
		return "b approve for this bottle · e edit · r reject · ↑/↓ scroll · esc back"
	}
	once, hold := " "+short(supervise.OnceFor), ""
	if s.period > 0 {
		hold = " " + short(s.period)
		once = hold
	}
	return "o once" + once + " · b bottle" + hold + " · m manifest · f for · e edit · r reject · esc back"
}

// short writes a period without its zero seconds and minutes.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func (q question) label() string {
	switch q {
	case reason:
		return "Why not (the agent reads it):"
	case period:
		return "For how long, such as 30m (empty: no end, or 15m for once):"
	}
	return "Variable of this shell with the credential:"
}

// render is the proposal as text: what it permits first, the agent's own words set apart.
func (s subject) render(width int) string {
	v := s.view
	var b strings.Builder
	paragraph := func(style lipgloss.Style, text string) {
		b.WriteString(style.Render(ansi.Wrap(text, width, "")) + "\n")
	}
	paragraph(bold, v.Summary)
	for _, warning := range v.Warnings {
		paragraph(notice, "! "+warning)
	}
	if v.Problem != "" {
		paragraph(alarm, "It cannot be approved now: "+v.Problem)
	}
	b.WriteString("\nThe agent says, at " + v.Proposal.Time.Local().Format(time.DateTime) + ":\n")
	for _, line := range v.Quotation() {
		for part := range strings.SplitSeq(ansi.Wrap(line, max(width-4, 10), ""), "\n") {
			b.WriteString(faint.Render("  │ ") + part + "\n")
		}
	}
	if v.Diff != "" {
		b.WriteString("\n" + renderDiff(v.Diff, width) + "\n")
	}
	return b.String()
}

// renderDiff colours a unified diff.
func renderDiff(diff string, width int) string {
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSuffix(diff, "\n"), "\n") {
		style := lipgloss.NewStyle()
		switch {
		case strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "---"), strings.HasPrefix(line, "diff "), strings.HasPrefix(line, "@@"):
			style = faint
		case strings.HasPrefix(line, "+"):
			style = good
		case strings.HasPrefix(line, "-"):
			style = alarm
		}
		lines = append(lines, style.Render(ansi.Hardwrap(line, width, true)))
	}
	return strings.Join(lines, "\n")
}

// renderGrant is all that the approval does.
func (m Model) renderGrant() string {
	s, g := m.subject, m.pending
	var parts []string
	if s.image() {
		parts = append(parts, s.view.Summary, renderDiff(s.view.Diff, m.width))
		return ansi.Wrap(strings.Join(parts, "\n\n"), m.width, "")
	}
	parts = append(parts, bold.Render(ansi.Wrap(g.routes.Change.Summary, m.width, "")))
	switch g.scope {
	case supervise.ScopeOnce:
		parts = append(parts, "Once: it is taken back by itself.")
	case supervise.ScopeBottle:
		parts = append(parts, "For this bottle, as long as it runs.")
	case supervise.ScopeManifest:
		parts = append(parts, "For this bottle, and written into its manifest for its next starts:")
	}
	if g.tokenRef != "" {
		parts = append(parts, "The credential is the value of "+g.tokenRef+" in this shell.")
	}
	if g.scope == supervise.ScopeManifest {
		diff := g.routes.Manifest.Diff
		if diff == "" {
			diff = "(the manifest has it already)"
		}
		parts = append(parts, renderDiff(strings.Join(visible.Lines(diff), "\n"), m.width))
	}
	parts = append(parts, "The live routes:", renderDiff(strings.Join(visible.Lines(g.routes.Change.Diff), "\n"), m.width))
	return strings.Join(parts, "\n\n")
}
