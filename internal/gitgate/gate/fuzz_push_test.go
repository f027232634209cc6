package gate

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1" // #nosec G505 -- git's
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/gitgate"
)

// FuzzPush speaks git's protocol to the gate in any way: whatever the request, the
// commands and the objects look like, a push that would bring a file with a secret is
// not forwarded, and the mirror stays as it is.
func FuzzPush(f *testing.F) {
	const (
		receive = "git-receive-pack /app.git\x00host=x\x00"
		options = "\x00 report-status side-band-64k atomic"
		header  = "author A <a@b.c> 1 +0000\ncommitter A <a@b.c> 1 +0000\n\nm\n"
		tagger  = "tagger A <a@b.c> 1 +0000\n\nm\n"
	)
	for _, commands := range []string{
		"ZERO COMMIT refs/heads/x" + options,
		"MAIN COMMIT refs/heads/main" + options,
		"ZERO TAG refs/tags/v1" + options + "\nZERO MAIN refs/heads/y",
		"ZERO BLOB refs/tags/blob" + options,
		"ZERO TREE refs/for/main" + options,
		"ZERO MAIN refs/heads/x" + options,
		"MAIN ZERO refs/heads/main" + options,
		"COMMIT COMMIT refs/heads/--exec=x" + options,
		"ZERO COMMIT refs/heads/../../config" + options,
		"ZERO COMMIT HEAD" + options,
		"shallow MAIN\nZERO COMMIT refs/heads/x" + options,
		"push-cert\x00 report-status",
	} {
		f.Add(receive, commands, "a.txt", header, tagger)
	}
	f.Add(receive, "ZERO COMMIT refs/heads/x"+options, "go.sum", "author \n\n", "tag x")
	f.Add("git-receive-pack /../state/mirrors/app.git\x00host=x\x00\x00version=1\x00", "ZERO COMMIT refs/heads/x"+options, ".git", header, "")
	f.Add("git-upload-pack /app.git\x00host=x\x00", "want MAIN\ndone", ".gitattributes", "", "")

	g := newUnreachable(f)
	if answer := g.speak(f, receive, "ZERO COMMIT refs/heads/x"+options, "a.txt", header, ""); !strings.Contains(answer, "aws-access-token in a.txt, line 1") {
		f.Fatalf("a push with a secret is answered with %q", answer)
	}
	if answer := g.speak(f, receive, "ZERO MAIN refs/heads/x"+options, "a.txt", header, ""); !strings.Contains(answer, "nothing found in 0 new objects") {
		f.Fatalf("a push without one is answered with %q", answer)
	}
	g.newRecords(f)
	f.Fuzz(func(t *testing.T, request, commands, name, header, tag string) {
		g.speak(t, request, commands, name, header, tag)
		for _, r := range g.newRecords(t) {
			if r.Event == gitgate.EventPush && r.Verdict == gitgate.VerdictAllow && r.Objects > 0 {
				t.Errorf("forwarded: %+v", r)
			}
		}
		if now := g.refs(t); now != g.before {
			t.Errorf("the mirror's refs were\n%s\nand are\n%s", g.before, now)
		}
	})
}

// TestLargeRefusalIsRecorded: long names keep a push neither out of the audit file nor
// from the operator.
func TestLargeRefusalIsRecorded(t *testing.T) {
	g := newUnreachable(t)
	var commands []string
	for i := range 60 {
		commands = append(commands, fmt.Sprintf("ZERO COMMIT refs/pull/%d/%s", i, strings.Repeat("\xff", 15_000)))
	}
	commands[0] += "\x00 report-status side-band-64k"
	answer := g.speak(t, "git-receive-pack /app.git\x00host=x\x00", strings.Join(commands, "\n"), "a", "author A <a@b.c> 1 +0000\ncommitter A <a@b.c> 1 +0000\n\nm\n", "")
	records := g.newRecords(t)
	if len(records) != 1 || records[0].FindingCount != 61 || len(records[0].Findings) != gitgate.MaxListed || len(records[0].Updates) != gitgate.MaxListed {
		t.Fatalf("recorded: %.1000v\nanswered: %.3000q", records, answer)
	}
	if kept, err := gitgate.Refusals(g.path("state")); err != nil || len(kept) != 1 || len(kept[0].Findings) != 61 || len(kept[0].Updates) != 60 {
		t.Errorf("kept: %.1000v, %v", kept, err)
	}
}

// unreachable is a gate whose mirror is filled and whose remote is down.
type unreachable struct {
	*bottle
	mirror string
	main   string // the commit of refs/heads/main
	before string // all refs
	read   int64  // of the audit file
}

func newUnreachable(t testing.TB) *unreachable {
	t.Helper()
	identity := filepath.Join(t.TempDir(), "identity")
	if err := os.WriteFile(identity, []byte("no key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	b := newBottle(t, gitgate.Upstream{
		Name: "app", URL: fmt.Sprintf("ssh://git@127.0.0.1:%d/app.git", port), User: "git", Host: "127.0.0.1", Port: port, Path: "/app.git",
		IdentityFile: identity, KnownHostKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + strings.Repeat("A", 43),
	})
	g := &unreachable{bottle: b, mirror: b.path("state", gitgate.MirrorsDir, "app.git")}
	git := func(args ...string) string {
		return mustRun(t, "git", append([]string{"--git-dir", g.mirror, "-c", "user.name=A", "-c", "user.email=a@b.c"}, args...)...)
	}
	g.main = git("commit-tree", "-m", "first", git("hash-object", "-t", "tree", "-w", "/dev/null"))
	git("update-ref", "refs/heads/main", g.main)
	if err := os.WriteFile(filepath.Join(g.mirror, filledMarker), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	g.before = g.refs(t)
	return g
}

func (g *unreachable) refs(t testing.TB) string {
	t.Helper()
	return mustRun(t, "git", "--git-dir", g.mirror, "for-each-ref") + mustRun(t, "git", "--git-dir", g.mirror, "symbolic-ref", "HEAD")
}

// newRecords are those that the gate has written since the last call.
func (g *unreachable) newRecords(t testing.TB) []gitgate.Record {
	t.Helper()
	file, err := audit.OpenFile(g.path("state", gitgate.AuditFile))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.NewSectionReader(file, g.read, 1<<30))
	if err != nil {
		t.Fatal(err)
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	g.read += int64(len(whole))
	var records []gitgate.Record
	for line := range bytes.Lines(whole) {
		var r gitgate.Record
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return records
}

// speak sends a request to git daemon, commands for git receive-pack (a line each, in
// which words stand for the names of objects), and a pack with a commit on main that has
// a file with a secret, and a tag on it. It returns what is answered.
func (g *unreachable) speak(t testing.TB, request, commands, name, header, tag string) string {
	t.Helper()
	if name == "" || strings.ContainsAny(name, "/\x00") {
		name = "a" // it would be another tree
	}
	blob := newObject(3, "blob", "key = "+awsKey+"\n")
	tree := newObject(2, "tree", "100644 "+name+"\x00"+string(blob.sum[:]))
	commit := newObject(1, "commit", fmt.Sprintf("tree %x\nparent %s\n%s", tree.sum, g.main, header))
	signed := newObject(4, "tag", fmt.Sprintf("object %x\ntype commit\ntag v1\n%s", commit.sum, tag))
	commands = strings.NewReplacer(
		"ZERO", noName, "MAIN", g.main, "BLOB", fmt.Sprintf("%x", blob.sum), "TREE", fmt.Sprintf("%x", tree.sum),
		"COMMIT", fmt.Sprintf("%x", commit.sum), "TAG", fmt.Sprintf("%x", signed.sum),
	).Replace(commands)
	var out bytes.Buffer
	line := func(text string) { fmt.Fprintf(&out, "%04x%s", len(text)+4, text) }
	line(request[:min(len(request), 1000)])
	for command := range strings.SplitSeq(commands, "\n") {
		line(command[:min(len(command), 60_000)])
	}
	out.WriteString("0000")
	out.Write(packOf(blob, tree, commit, signed))

	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", g.port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	_, _ = conn.Write(out.Bytes())
	_ = conn.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(conn)
	if err, ok := err.(net.Error); ok && err.Timeout() {
		t.Fatalf("no end of the answer %q", answer)
	}
	return string(answer)
}

// packed is an object of a pack (gitformat-pack(5)).
type packed struct {
	kind byte
	text string
	sum  [sha1.Size]byte
}

func newObject(kind byte, name, text string) packed {
	return packed{kind, text, sha1.Sum(fmt.Appendf(nil, "%s %d\x00%s", name, len(text), text))} // #nosec G401 -- git's
}

func packOf(objects ...packed) []byte {
	pack := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), uint32(len(objects)))
	for _, o := range objects {
		first, rest := o.kind<<4|byte(len(o.text)&15), len(o.text)>>4
		if rest > 0 {
			first |= 0x80
		}
		pack = append(pack, first)
		if rest > 0 {
			pack = binary.AppendUvarint(pack, uint64(rest))
		}
		buf := bytes.NewBuffer(pack)
		z := zlib.NewWriter(buf)
		_, _ = io.WriteString(z, o.text)
		_ = z.Close()
		pack = buf.Bytes()
	}
	sum := sha1.Sum(pack) // #nosec G401 -- git's
	return append(pack, sum[:]...)
}
