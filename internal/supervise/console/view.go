package console

import (
	"cmp"
	"fmt"
	"slices"
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

// layOut fits the text to the window and to what stands below it.
func (m *Model) layOut() {
	m.input.Width = max(m.width-len(m.input.Prompt)-1, 1)
	m.text.Width, m.text.Height = m.width, m.room()
	switch m.screen {
	case detail, prompt, working:
		m.text.SetContent(m.subject.render(m.width))
	case confirm:
		m.text.SetContent(m.renderGrant())
	}
}

// room is how many lines are left between the title with the line below it and the footer.
func (m Model) room() int { return max(m.height-2-len(m.footer()), 1) }

// View implements tea.Model.
func (m Model) View() string {
	title, hint, body := "", m.scrollHint(), m.text.View()
	switch m.screen {
	case list:
		title, hint, body = m.listTitle(), "", m.renderList()
	case confirm:
		title = "Approve this?"
	default:
		title = m.subject.title()
	}
	lines := strings.Split(body, "\n")
	for len(lines) < m.room() {
		lines = append(lines, "")
	}
	rows := slices.Concat([]string{bold.Render(title), faint.Render(hint)}, lines[:m.room()], m.footer())
	for i := range rows {
		rows[i] = ansi.Truncate(rows[i], m.width, "…")
	}
	return strings.Join(rows, "\n")
}

// scrollHint says that there is more than the window shows.
func (m Model) scrollHint() string {
	above, below := !m.text.AtTop(), !m.text.AtBottom()
	switch {
	case above && below:
		return "↑ ↓ more above and below"
	case above:
		return "↑ more above"
	case below:
		return "↓ more below"
	}
	return ""
}

// footer is what happened last, and what can be done.
func (m Model) footer() []string {
	var lines []string
	for line := range strings.SplitSeq(ansi.Wrap(m.status, m.width, ""), "\n") {
		lines = append(lines, m.statusStyle().Render(line))
	}
	switch m.screen {
	case list:
		return append(lines, fill(m.width, "↑/↓ choose", "enter look", "q leave")...)
	case detail:
		return append(lines, fill(m.width, m.subject.keys()...)...)
	case prompt:
		label := strings.Split(ansi.Wrap(m.asking.label(), m.width, ""), "\n")
		return append(append(lines, label...), m.input.View(), faint.Render("enter answers · esc back"))
	case confirm:
		return append(lines, fill(m.width, bold.Render("y")+" approves", "any other key goes back")...)
	}
	return append(lines, "one moment…")
}

// fill puts as many parts into each line as it holds.
func fill(width int, parts ...string) []string {
	lines := []string{parts[0]}
	for _, part := range parts[1:] {
		longer := lines[len(lines)-1] + " · " + part
		if ansi.StringWidth(longer) <= width {
			lines[len(lines)-1] = longer
		} else {
			lines = append(lines, part)
		}
	}
	return lines
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
	bottle, since := "BOTTLE", "WAITS"
	columns := make([][2]string, len(m.entries))
	for i, e := range m.entries {
		columns[i] = [2]string{ansi.Truncate(e.Proposal.Slug, 24, "…"), units.HumanDuration(m.outside.Now().Sub(e.Proposal.Time))}
	}
	first, second := len(bottle), len(since)
	for _, c := range columns {
		first, second = max(first, ansi.StringWidth(c[0])), max(second, ansi.StringWidth(c[1]))
	}
	row := func(bottle, since, asks string) string {
		return fmt.Sprintf("%-*s  %-*s  %s", first, bottle, second, since, asks)
	}
	rows := []string{faint.Render("  " + row(bottle, since, "ASKS FOR"))}
	for i, e := range m.entries {
		line := row(columns[i][0], columns[i][1], e.Proposal.Asks())
		if e.Proposal.ID == m.chosen {
			rows = append(rows, cursor.Render("> "+line))
		} else {
			rows = append(rows, "  "+line)
		}
	}
	// The chosen one stays in sight below the headings.
	hidden := max(m.index(m.chosen)-max(m.room()-1, 1)+1, 0)
	return strings.Join(append(rows[:1:1], rows[1+hidden:]...), "\n")
}

func (s subject) title() string {
	p := s.entry.Proposal
	title := fmt.Sprintf("%s asks with %s  (%s)", p.Slug, p.Tool, p.ShortID())
	if s.ask != nil || s.file != nil {
		title += "  — your version"
	}
	return title
}

func (s subject) keys() []string {
	if s.image() {
		return []string{"b approve for this bottle", "e edit", "r reject", "esc back"}
	}
	once, hold := " "+short(supervise.OnceFor), ""
	if s.period > 0 {
		hold = " " + short(s.period)
		once = hold
	}
	return []string{"o once" + once, "b bottle" + hold, "m manifest", "f for", "e edit", "r reject", "esc back"}
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
		b.WriteString("\n" + renderDiff(v.Diff, width))
	}
	return strings.TrimSuffix(b.String(), "\n")
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
	if s.image() {
		return m.paragraphs(bold.Render(m.wrap(s.view.Summary)), m.renderWarnings(s.view.Warnings), renderDiff(s.view.Diff, m.width))
	}
	change := g.routes.Change
	parts := []string{bold.Render(m.wrap(change.Summary)), m.renderWarnings(change.Warnings), m.wrap(g.reach())}
	if g.tokenRef != "" {
		parts = append(parts, m.wrap("The credential is the value of "+visible.String(g.tokenRef)+" in this shell."))
	}
	if g.scope == supervise.ScopeManifest {
		diff := cmp.Or(g.routes.Manifest.Diff, "(the manifest has it already)")
		parts = append(parts, renderDiff(strings.Join(visible.Lines(diff), "\n"), m.width))
	}
	return m.paragraphs(append(parts, "The bottle that runs:", renderDiff(strings.Join(visible.Lines(change.Diff), "\n"), m.width))...)
}

// reach says how far the approval reaches.
func (g grant) reach() string {
	switch {
	case g.scope == supervise.ScopeOnce:
		return "Once: it is taken back by itself."
	case g.scope == supervise.ScopeManifest:
		return "For this bottle, and written into its manifest for its next starts:"
	case !g.routes.Until.IsZero():
		return "For this bottle, as long as it runs, and no longer than that."
	}
	return "For this bottle, as long as it runs."
}

func (m Model) renderWarnings(warnings []string) string {
	var lines []string
	for _, w := range warnings {
		lines = append(lines, notice.Render(m.wrap("! "+w)))
	}
	return strings.Join(lines, "\n")
}

func (m Model) wrap(text string) string { return ansi.Wrap(text, m.width, "") }

// paragraphs sets texts apart, without those that are empty.
func (Model) paragraphs(texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(text string) bool { return text == "" }), "\n\n")
}
