package supervise

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// newQueue makes a queue as podbottle does.
func newQueue(t *testing.T) *Queue {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "queue", "demo-abc12")
	if err := CreateQueue(dir); err != nil {
		t.Fatal(err)
	}
	q, err := OpenQueue(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

func newProposal(t *testing.T, change func(*Proposal)) Proposal {
	t.Helper()
	p := Proposal{
		Slug: "demo-abc12", Tool: ToolEgress, Egress: &EgressRequest{Host: "a.example.org", PathAllowlist: []string{"/v1/"}, Methods: []string{"GET"}},
		Justification: "read the documentation", Time: time.Now(),
	}
	if change != nil {
		change(&p)
	}
	p, err := NewProposal(p)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestQueueModes(t *testing.T) {
	q := newQueue(t)
	if err := q.Submit(newProposal(t, nil)); err != nil {
		t.Fatal(err)
	}
	names, _ := filepath.Glob(filepath.Join(q.Dir(), "*.json"))
	for path, want := range map[string]os.FileMode{
		filepath.Dir(q.Dir()):               os.ModeDir | 0o700,
		q.Dir():                             os.ModeDir | 0o777,
		filepath.Join(q.Dir(), "processed"): os.ModeDir | 0o777,
		names[0]:                            0o644,
	} {
		info, err := os.Stat(path)
		if err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v %v, want %v", path, info.Mode(), err, want)
		}
	}
}

// TestSubordinateUser lets another uid be the sidecar, as in a rootless pod.
func TestSubordinateUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("not root: the sidecar's side runs as the same user")
	}
	q := newQueue(t)
	p := newProposal(t, nil)
	asSidecar(t, func() error { return q.Submit(p) })
	entry, err := q.Find(p.ID)
	if err != nil || entry.Response != nil {
		t.Fatalf("the host reads %+v %v", entry, err)
	}
	if err := q.Respond(Response{ID: p.ID, Status: StatusRejected, Time: time.Now()}); err != nil {
		t.Fatal(err)
	}
	asSidecar(t, func() error {
		entry, err := q.Find(p.ID)
		if err == nil && entry.Response == nil {
			err = errors.New("no answer")
		}
		return errors.Join(err, q.Archive(p.ID))
	})
	if entry, err = q.Find(p.ID); err != nil || entry.Response == nil || entry.Response.Status != StatusRejected {
		t.Fatalf("archived: %+v %v", entry, err)
	}
	if err := os.RemoveAll(q.Dir()); err != nil {
		t.Errorf("the host cannot remove the queue: %v", err)
	}
}

// asSidecar runs f with the filesystem identity of another user where that is possible.
func asSidecar(t *testing.T, f func() error) {
	t.Helper()
	failed := make(chan error, 1)
	go func() {
		if os.Getuid() == 0 {
			// setfsuid is per thread; the thread is never unlocked, so it ends with the goroutine.
			lockThread()
			if err := setFilesystemUser(165532); err != nil {
				failed <- err
				return
			}
		}
		failed <- f()
	}()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

func TestDecidedOnce(t *testing.T) {
	q := newQueue(t)
	p := newProposal(t, nil)
	if err := q.Submit(p); err != nil {
		t.Fatal(err)
	}
	answer := Response{ID: p.ID, Status: StatusApproved, Scope: ScopeBottle, Time: time.Now()}
	if err := q.Respond(answer); err != nil {
		t.Fatal(err)
	}
	if err := q.Respond(answer); !errors.Is(err, ErrDecided) {
		t.Errorf("second answer: %v", err)
	}
	if err := q.Archive(p.ID); err != nil {
		t.Fatal(err)
	}
	if err := q.Respond(answer); !errors.Is(err, ErrDecided) {
		t.Errorf("answer after the archive: %v", err)
	}
	if n, err := Waiting(q.Dir()); n != 0 || err != nil {
		t.Errorf("waiting %d %v", n, err)
	}
}

func TestPrune(t *testing.T) {
	q := newQueue(t)
	var ids []string
	for i := range 5 {
		p := newProposal(t, func(p *Proposal) { p.Time = p.Time.Add(time.Duration(i) * time.Second) })
		if err := errors.Join(q.Submit(p), q.Respond(Response{ID: p.ID, Status: StatusRejected, Time: p.Time}), q.Archive(p.ID)); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, p.ID)
		// The clock of files may not tell them apart.
		if err := os.Chtimes(filepath.Join(q.Dir(), processedDir, p.ID+responseSuffix), p.Time, p.Time); err != nil {
			t.Fatal(err)
		}
	}
	if newest, damaged := q.Decided(1); len(newest) != 1 || len(damaged) != 0 || newest[0].Proposal.ID != ids[4] {
		t.Errorf("the newest: %v %v", newest, damaged)
	}
	if err := q.Prune(2); err != nil {
		t.Fatal(err)
	}
	entries, damaged := q.Decided(10)
	if len(entries) != 2 || len(damaged) != 0 || entries[0].Proposal.ID != ids[4] || entries[1].Proposal.ID != ids[3] {
		t.Errorf("left: %v %v", entries, damaged)
	}
	if left, err := q.IDs(""); err != nil || len(left) != 2 {
		t.Errorf("files are left of %v %v", left, err)
	}
	if found, err := q.IDs(ids[4][:8]); err != nil || len(found) != 1 || found[0] != ids[4] {
		t.Errorf("by the beginning of its ID: %v %v", found, err)
	}
}

// TestHostileQueue plants what a taken-over sidecar could leave for the host.
func TestHostileQueue(t *testing.T) {
	q := newQueue(t)
	outside := filepath.Join(t.TempDir(), "outside.json")
	good := newProposal(t, nil)
	text, err := json.Marshal(good)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(outside, text, 0o600); err != nil {
		t.Fatal(err)
	}
	id := func(n string) string { return strings.Repeat(n, 32) }
	path := func(name string) string { return filepath.Join(q.Dir(), name) }
	plant := map[string]error{
		"symlink":     os.Symlink(outside, path(good.ID+proposalSuffix)),
		"fifo":        syscall.Mkfifo(path(id("1")+proposalSuffix), 0o666),
		"directory":   os.Mkdir(path(id("2")+proposalSuffix), 0o777),
		"large":       os.WriteFile(path(id("3")+proposalSuffix), []byte(strings.Repeat(" ", MaxProposal+1)), 0o644),
		"wrong name":  os.WriteFile(path(id("4")+proposalSuffix), text, 0o644),
		"not JSON":    os.WriteFile(path(id("5")+proposalSuffix), []byte("\x1b[2J"), 0o644),
		"other names": os.WriteFile(path("\x1b]0;x\x07.proposal.json"), text, 0o644),
		"changed":     os.WriteFile(path(id("6")+proposalSuffix), []byte(strings.Replace(string(text), "a.example.org", "b.example.org", 1)), 0o644),
		"answer link": os.Symlink(outside, path(id("7")+responseSuffix)),
	}
	for name, err := range plant {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	pending, damaged := q.Pending()
	if len(pending) != 0 {
		t.Errorf("taken for proposals: %+v", pending)
	}
	if len(damaged) != 7 {
		t.Errorf("%d damaged files reported, want 7: %v", len(damaged), damaged)
	}
	if _, err := q.Find(good.ID); err == nil {
		t.Error("a link out of the queue was followed")
	}
	// An archive that points elsewhere is not followed either.
	if err := os.Remove(path(processedDir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(outside), path(processedDir)); err != nil {
		t.Fatal(err)
	}
	if entries, damaged := q.Decided(10); len(entries) != 0 || len(damaged) == 0 {
		t.Errorf("archive through a link: %v %v", entries, damaged)
	}
}

func FuzzParseProposal(f *testing.F) {
	p, err := NewProposal(Proposal{
		Slug: "demo", Tool: ToolPipelock, Pipelock: &PipelockRequest{FailedURL: "https://a.example.org:8443/x"},
		Justification: "why", Time: time.Unix(1_800_000_000, 0),
	})
	if err != nil {
		f.Fatal(err)
	}
	data, err := json.Marshal(p)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"id":"x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParseProposal(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		second, err := ParseProposal(again)
		if err != nil || second.ID != p.ID || !second.Same(p) {
			t.Fatalf("%s is read once but not twice: %v", data, err)
		}
	})
}

// FuzzRequests looks for arguments that pass and would mean something else to a proxy.
func FuzzRequests(f *testing.F) {
	f.Add("a.example.org", "/v1/", "https://b.example.org/x")
	f.Add("EXAMPLE.org.", "/%2e", "http://[::1]/")
	f.Add("bücher.example", "/a//b", "https://a.example.org:1/..")
	f.Fuzz(func(t *testing.T, host, path, url string) {
		if (EgressRequest{Host: host, PathAllowlist: []string{path}}).validate() == nil {
			for _, s := range []string{host, path} {
				if strings.ContainsAny(s, "\x00\r\n %\\?#") || strings.Contains(s, "..") && strings.Contains(s, "/../") {
					t.Fatalf("accepted %q", s)
				}
			}
			if host != strings.ToLower(host) || strings.ContainsAny(host, "*:/@") || strings.HasSuffix(host, ".") {
				t.Fatalf("accepted host %q", host)
			}
		}
		if target, err := (PipelockRequest{FailedURL: url}).parse(); err == nil {
			if err := (EgressRequest{Host: target.host, PathAllowlist: []string{target.path}}).validate(); err != nil {
				t.Fatalf("%q gives a target that egress-block refuses: %v", url, err)
			}
		}
	})
}
