package gate

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/podbottle/podbottle/internal/gitgate"
)

const (
	someName = "1111111111111111111111111111111111111111"
	noName   = "0000000000000000000000000000000000000000"
)

// FuzzParseUpdates: whatever names of refs an agent pushes, each becomes one refspec
// of the push to the remote, and nothing becomes an option.
func FuzzParseUpdates(f *testing.F) {
	for _, s := range []string{
		noName + " " + someName + " refs/heads/main\n",
		someName + " " + noName + " refs/tags/v1\n" + noName + " " + someName + " refs/notes/commits\n",
		noName + " " + someName + " refs/heads/--upload-pack=x\n",
		noName + " " + someName + " refs/heads/a:refs/heads/b\n",
		noName + " " + someName + " -refs/heads/main",
		noName + " " + someName + " refs/heads/\xff\x1b[2J\n",
		"\n", noName,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		updates, err := parseUpdates(input, 5)
		if err != nil {
			return
		}
		if len(updates) == 0 || len(updates) > 5 {
			t.Fatalf("%d updates", len(updates))
		}
		args := sendArgs("ssh://git@git.example.org:22/a.git", updates)
		end := slices.Index(args, "--")
		if refspecs := args[end+2:]; len(refspecs) != len(updates) {
			t.Fatalf("%d refspecs of %d updates", len(refspecs), len(updates))
		}
		for i, refspec := range args[end+2:] {
			source, target, ok := strings.Cut(refspec, ":")
			if !ok || target != updates[i].Ref || strings.ContainsAny(target, ":*^ \n\x00") || source != "" && !isObjectName(source) {
				t.Errorf("refspec %q", refspec)
			}
		}
	})
}

// FuzzParseMessage: apart from the names of objects, no part of a commit or a tag
// stays out of the scan.
func FuzzParseMessage(f *testing.F) {
	for _, s := range []string{
		"tree " + someName + "\nparent " + someName + "\nauthor A <a@b.c> 1 +0000\ncommitter A <a@b.c> 1 +0000\n\nmessage\n",
		"object " + someName + "\ntype commit\ntag v1\ntagger A <a@b.c> 1 +0000\n\nmessage",
		"tree x\n\n\n", "", "\n\n", "gpgsig -----BEGIN\n x\n\nm", "tree " + someName, "author",
	} {
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, raw []byte, tag bool) {
		var scanned strings.Builder
		for _, p := range parseMessage(raw, tag) {
			scanned.WriteString(p.text + "\x00")
		}
		header, message, _ := strings.Cut(string(raw), "\n\n")
		if !strings.Contains(scanned.String(), message) {
			t.Errorf("the message %q is not among %q", message, scanned.String())
		}
		for line := range strings.Lines(header) {
			key, value, _ := strings.Cut(line, " ")
			switch key {
			case "tree", "parent", "object":
				if isObjectName(strings.TrimSuffix(value, "\n")) {
					continue
				}
			case "author", "committer", "tagger":
				line = personText(value)
			}
			if !strings.Contains(scanned.String(), line) {
				t.Errorf("the line %q is not among %q", line, scanned.String())
			}
		}
	})
}

// FuzzObject: what an agent puts into an object ends where the object ends, and all of
// it is scanned.
func FuzzObject(f *testing.F) {
	kinds := []string{"blob", "commit", "tag", "tree"}
	f.Add(byte(0), []byte("text\n"+someName+" blob 3\nabc\n"), []byte("next"), "a.txt")
	f.Add(byte(1), []byte("tree "+someName+"\n\nmessage\n"), []byte(""), "")
	f.Add(byte(2), []byte("object "+someName+"\n\n\n"), []byte("\n"), "")
	f.Add(byte(3), []byte("100644 a\n\x00"+strings.Repeat("h", 20)), []byte("next"), "dir")
	f.Fuzz(func(t *testing.T, kind byte, first, second []byte, path string) {
		first, second = first[:min(len(first), chunkSize)], second[:min(len(second), chunkSize)]
		name := kinds[int(kind)%len(kinds)]
		out := bufio.NewReader(strings.NewReader(fmt.Sprintf("%s %s %d\n%s\n%s blob %d\n%s\n", someName, name, len(first), first, noName, len(second), second)))
		scanned := map[string]string{}
		yield := func(p piece) error {
			scanned[p.found.object] += p.text
			return nil
		}
		var s scanner
		err := s.object(out, listed{someName, path}, yield)
		if err != nil {
			if name != "tree" {
				t.Errorf("a %s cannot be read: %v", name, err)
			}
			return // a tree that git takes for damaged, too
		}
		if err := s.object(out, listed{noName, path}, yield); err != nil {
			t.Fatalf("the object behind it cannot be read: %v", err)
		}
		if _, err := out.ReadByte(); err != io.EOF {
			t.Error("something is left")
		}
		if scanned[noName] != string(second) || name == "blob" && scanned[someName] != string(first) {
			t.Errorf("scanned: %q", scanned)
		}
	})
}

// FuzzTreeNames: every entry of a tree has its name scanned, and a tree that cannot
// be read is an error.
func FuzzTreeNames(f *testing.F) {
	hash := strings.Repeat("h", 20)
	for _, s := range []string{"100644 a\x00" + hash + "40000 dir\x00" + hash, "100644 a b\x00" + hash, "100644 a\x00short", "", "\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		names, err := treeNames(raw, 20)
		if err != nil {
			return
		}
		rest := raw
		for _, name := range names {
			entry, after, _ := bytes.Cut(rest, []byte{0})
			if !bytes.HasSuffix(entry, []byte(" "+name)) {
				t.Fatalf("the name %q is not that of %q", name, entry)
			}
			rest = after[20:]
		}
		if len(rest) > 0 {
			t.Errorf("%q was not read", rest)
		}
	})
}

// FuzzParseChanges: paths are whatever an agent commits; they must not be taken for
// commits or for other objects.
func FuzzParseChanges(f *testing.F) {
	change := ":000000 100644 " + noName + " " + someName + " A\x00"
	for _, s := range []string{
		"C " + someName + " " + someName + " \x00" + change + "path\x00",
		"C " + someName + " " + someName + " " + noName + "\x00\n" + change + "C " + noName + " " + noName + "\x00",
		"C " + someName + "\x00", ":\x00", change, "",
	} {
		f.Add([]byte(s))
	}
	wanted := map[string]bool{someName: true}
	f.Fuzz(func(t *testing.T, out []byte) {
		commits, err := parseChanges(out, wanted)
		if err != nil {
			return
		}
		for _, c := range commits {
			if len(c.changes) == 0 && !wanted[c.tree] {
				t.Errorf("commit %q brings nothing that is wanted", c.oid)
			}
			for _, ch := range c.changes {
				if !wanted[ch.new] {
					t.Errorf("object %q is not wanted", ch.new)
				}
			}
		}
	})
}

// FuzzParseRemoteRefs: a remote may list anything; what becomes of it are names that
// git accepts.
func FuzzParseRemoteRefs(f *testing.F) {
	for _, s := range []string{
		"ref: refs/heads/main\tHEAD\n" + someName + "\tHEAD\n" + someName + "\trefs/heads/main\n" + someName + "\trefs/tags/v1^{}\n",
		someName + "\t../../config\n", "ref: \tHEAD\n", "x\n", "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, out []byte) {
		remote, err := parseRemoteRefs(out)
		if err != nil {
			return
		}
		for ref, oid := range remote.refs {
			if !isRefName(ref) || !isObjectName(oid) {
				t.Errorf("%q %q", ref, oid)
			}
		}
		if remote.headRef != "" && !isRefName(remote.headRef) {
			t.Errorf("HEAD is %q", remote.headRef)
		}
	})
}

// FuzzEachChunk: the pieces of a text hold all of it, each with the end of the one
// before, and know their lines.
func FuzzEachChunk(f *testing.F) {
	f.Add(strings.Repeat("a long line ", 1000)+"\n", uint16(20))
	f.Add("line\n", uint16(50_000))
	f.Add("\n", uint16(60_000))
	f.Add("no newline at all", uint16(20_000))
	f.Add("", uint16(0))
	f.Fuzz(func(t *testing.T, pattern string, count uint16) {
		// Numbers between the patterns: no piece is in two places of the text.
		var numbered strings.Builder
		for i := 0; i < int(count) && numbered.Len() < 3*(chunkSize+chunkOverlap); i++ {
			fmt.Fprintf(&numbered, "%s%d ", pattern, i)
		}
		text, end := numbered.String(), 0
		err := eachChunk(strings.NewReader(text), func(piece string, line int) error {
			at := strings.Index(text, piece)
			if at < 0 || at > max(0, end-chunkOverlap) || 1+strings.Count(text[:at], "\n") != line {
				t.Fatalf("a piece of %d bytes from line %d is at %d, and the last one ended at %d", len(piece), line, at, end)
			}
			end = max(end, at+len(piece))
			return nil
		})
		if err != nil || end != len(text) {
			t.Errorf("%d of %d bytes: %v", end, len(text), err)
		}
	})
}

// FuzzDetector compares with gitleaks alone, which looks at every byte.
func FuzzDetector(f *testing.F) {
	d, err := sharedDetector()
	if err != nil {
		f.Fatal(err)
	}
	alone := wholeGitleaks(f, d)
	for _, s := range []string{
		"key = " + awsKey + "\n", "a\napi_key: \"zaQ1xsw2CDE3vfr4BGT5nhy6\"\n", "a2V5IGlzIEFLSUFRWUxQTU41SEhIRlBaQU0yIG9r",
		"\\u0041KIA" + awsKey[4:], "%41KIA" + awsKey[4:] + "%20", "jira_token = 0123456789abcdef01234567\n",
		"-----BEGIN RSA " + "PRIVATE KEY-----\n" + strings.Repeat("Ab3d", 40) + "\n-----END RSA " + "PRIVATE KEY-----",
		"facebook\n123456789012345|abcdefghijklmnopqrstuvwxyz01\n",
	} {
		f.Add(s, "a.txt")
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		// gitleaks alone takes a second for every 300 kB.
		missing(t, d, alone, text[:min(len(text), 4<<10)], path)
	})
}

// FuzzMatchRef: a pattern never lets a ref pass that does not begin with what stands
// before its star and end with what stands behind it.
func FuzzMatchRef(f *testing.F) {
	f.Add("refs/heads/agent/*", "refs/heads/agent/x")
	f.Add("refs/heads/*/x", "refs/heads/x")
	f.Add("refs/heads/main", "refs/heads/main2")
	f.Fuzz(func(t *testing.T, pattern, ref string) {
		r := gitgate.Repository{Refs: []string{pattern}}
		before, behind, star := strings.Cut(pattern, "*")
		switch {
		case !r.Allows(ref):
		case !star && ref != pattern:
			t.Errorf("%q allows %q", pattern, ref)
		case star && (!strings.HasPrefix(ref, before) || !strings.HasSuffix(ref, behind) || len(ref) <= len(before)+len(behind)):
			t.Errorf("%q allows %q", pattern, ref)
		}
	})
}
