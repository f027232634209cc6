package conformance

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Row is one line of the table.
type Row struct {
	// What the request is.
	What string
	// Want is LetThrough, "200" for an answer of egress itself, "REASON STATUS" for a
	// refusal, or "REASON" for a tunnel that is ended without an answer.
	Want string

	try func(*Agent) (Outcome, error)
}

// LetThrough is what a row wants when the upstream must answer.
const LetThrough = "let through"

// badRequest is the one reason that net/http refuses for too, before there is a
// request to judge and so without the header.
const badRequest = "bad-request"

// Outcome is what became of a request.
type Outcome struct {
	Status   int    // 0 where there was no answer
	Reason   string // as the answer gives it
	Upstream bool   // the upstream answered
}

// Try makes the row's request and says in what the outcome differs from the wanted one.
func (r Row) Try(a *Agent) error {
	got, err := r.try(a)
	reason, status, answered := strings.Cut(r.Want, " ")
	switch {
	case !answered && r.Want != "200":
		if !errors.Is(err, errEnded) {
			return fmt.Errorf("got %+v, %w; want the tunnel ended", got, err)
		}
		return nil
	case err != nil:
		return err
	case r.Want == LetThrough:
		reason, status = "", "200"
	case r.Want == "200":
		reason, status = "", r.Want
	case reason == badRequest && got.Reason == "":
		reason = ""
	}
	want := Outcome{Reason: reason, Upstream: r.Want == LetThrough}
	if _, err := fmt.Sscan(status, &want.Status); err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("got %+v, want %+v", got, want)
	}
	return nil
}

// Reason is the one that the request's record must have; recorded is false where
// net/http may refuse by itself, which leaves no record.
func (r Row) Reason() (reason string, recorded bool) {
	if r.Want == LetThrough || r.Want == "200" {
		return "allowed", true
	}
	reason, _, answered := strings.Cut(r.Want, " ")
	return reason, reason != badRequest || !answered
}

// Table is the rows in Markdown, and below them those of the built-in firewall.
func Table() string {
	return table(Rows()) + "\nWith the built-in firewall, whose reasons egress passes on:\n\n" + table(FirewallRows())
}

func table(rows []Row) string {
	var table strings.Builder
	table.WriteString("| request | outcome |\n|---|---|\n")
	for _, row := range rows {
		outcome := row.Want
		if reason, status, _ := strings.Cut(row.Want, " "); row.Want != LetThrough && row.Want != "200" {
			outcome = strings.TrimSpace(fmt.Sprintf("`%s` %s", reason, status))
		}
		fmt.Fprintf(&table, "| %s | %s |\n", row.What, outcome)
	}
	return table.String()
}

// upstreamHeader is set by the upstream, so that its answers cannot be mistaken for the proxy's.
const upstreamHeader = "X-Upstream"

// Upstream is the server that every let-through request must reach.
func Upstream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(upstreamHeader, "yes")
	_, _ = io.Copy(io.Discard, r.Body)
	switch r.URL.Path {
	case "/zip":
		w.Header().Set("Content-Encoding", "deflate") // which egress cannot search
	case "/forged":
		w.Header().Set(reasonHeader, "firewall-secret")
	}
	fmt.Fprintln(w, r.Method, r.Host, r.RequestURI)
}
