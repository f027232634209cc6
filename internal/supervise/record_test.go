package supervise

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLargestRecord has everything in it that an agent and an operator can make large.
func TestLargestRecord(t *testing.T) {
	request := EgressRequest{Host: "a.example.org", Methods: Methods}
	for i := range maxPaths {
		request.PathAllowlist = append(request.PathAllowlist, "/"+strings.Repeat("<", maxPath-3)+fmt.Sprintf("%02d", i))
	}
	p, err := NewProposal(Proposal{
		Slug: "demo-abc12", Tool: ToolEgress, Egress: &request, Time: time.Now(),
		Justification: "a" + strings.Repeat("\x01", maxJustification-1),
	})
	if err != nil {
		t.Fatal(err)
	}
	b := Bottle{
		Slug: "demo-abc12", Queue: filepath.Join(t.TempDir(), "queue", "demo-abc12"), Audit: filepath.Join(t.TempDir(), "audit.jsonl"),
	}
	if err := CreateQueue(b.Queue); err != nil {
		t.Fatal(err)
	}
	q, err := OpenQueue(b.Queue)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if err := q.Submit(p); err != nil {
		t.Fatal(err)
	}
	change, err := Effect(Ask{EgressRequest: request}, []byte("version: 1\nroutes: []\n"), time.Now(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	r := Response{ID: p.ID, Status: StatusModified, Notes: strings.Repeat("\x01", maxNotes), Granted: change.Summary, Time: time.Now()}
	record := DecisionRecord(p, r)
	record.Granted, record.Diff = short(change.Ask), cut(change.Diff)
	record.By = &Operator{User: strings.Repeat("u", 256), Host: strings.Repeat("h", 64), Terminal: "/dev/pts/4", Remote: strings.Repeat("f", 45), Via: "approvals approve"}
	if err := b.decide(t.Context(), p, r, record, func(*undoList) error { return nil }); err != nil {
		t.Errorf("it cannot be approved: %v", err)
	}
}

func TestCut(t *testing.T) {
	for _, s := range []string{"", "short", strings.Repeat("x", maxRecordText-3)} {
		if cut(s) != s {
			t.Errorf("%.20q was cut", s)
		}
	}
	for _, s := range []string{strings.Repeat("x", maxRecordText+1), strings.Repeat("<", maxRecordText/2), strings.Repeat("ä", maxRecordText)} {
		got := cut(s)
		text, err := json.Marshal(got)
		if !strings.HasSuffix(got, "…") || !strings.HasPrefix(s, strings.TrimSuffix(got, "…")) || err != nil || len(text) > maxRecordText+len(`""`) {
			t.Errorf("%.20q is cut to %d bytes", s, len(got))
		}
	}
}
