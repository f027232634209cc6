package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// The archives that an agent sends in place of what it was asked for. They write over
// the file Victim of the directory Outside, which lies beside the one that a copy goes to.
const (
	// Archive is the name at the top of each, since that was asked for.
	Archive = "archive"
	Outside = "outside"
	Victim  = "victim"
	// Honest is the archive that is to be taken.
	Honest = "honest"
)

// tarMember is one member of an archive, of which every part can lie.
type tarMember struct {
	kind    byte
	name    string
	link    string
	content string
	mode    int64
	size    int64             // 0 for the content's
	records map[string]string // further ones of PAX
	plain   bool              // without records of PAX: the name is in the header alone
}

// The kinds of members (POSIX.1-2024, pax, ustar Interchange Format; GNU tar's L, K and S).
const (
	tarFile, tarHardLink, tarLink, tarCharacter, tarBlock, tarDir, tarPipe = '0', '1', '2', '3', '4', '5', '6'
	tarRecords, tarGlobal, tarLongName, tarLongLink, tarSparse             = 'x', 'g', 'L', 'K', 'S'
)

// hostileArchives are streams that must not do what they say. outside is the path of
// the directory that they are after.
func hostileArchives(outside string) map[string][]tarMember {
	victim := path.Join(outside, Victim)
	top := tarMember{kind: tarDir, name: Archive + "/"}
	in := func(name string) string { return Archive + "/" + name }
	file := func(name string) tarMember { return tarMember{kind: tarFile, name: name, content: "new"} }
	link := func(kind byte, name, target string) tarMember {
		return tarMember{kind: kind, name: name, link: target}
	}
	dotDot := []tarMember{top}
	for n := range 5 {
		dotDot = append(dotDot, file(in(strings.Repeat("../", n+1)+Outside+"/"+Victim)))
	}
	return map[string][]tarMember{
		"absolute":             {top, file(victim)},
		"absolute-in-header":   {top, {kind: tarFile, name: victim, content: "new", plain: true}},
		"dot-dot":              dotDot,
		"another-top":          {top, file("beside")},
		"link":                 {top, link(tarLink, in("l"), outside), file(in("l/" + Victim))},
		"link-up":              {top, link(tarLink, in("l"), "../../"+Outside), file(in("l/" + Victim))},
		"link-through-link":    {top, {kind: tarDir, name: in("a/b/")}, link(tarLink, in("l"), "a/b"), link(tarLink, in("l/up"), "../../.."), file(in("a/b/up/" + Outside + "/" + Victim))},
		"link-at-the-top":      {link(tarLink, Archive, outside), file(in(Victim))},
		"link-over-directory":  {top, {kind: tarDir, name: in("d/")}, link(tarLink, in("d"), outside), file(in("d/" + Victim))},
		"hard-link":            {top, link(tarHardLink, in("h"), victim), file(in("h"))},
		"hard-link-up":         {top, link(tarHardLink, in("h"), "../"+Outside+"/"+Victim), file(in("h"))},
		"hard-link-to-link":    {top, link(tarLink, in("s"), victim), link(tarHardLink, in("h"), in("s")), file(in("h"))},
		"twice":                {top, file(in("x")), link(tarLink, in("x"), victim), file(in("x"))},
		"character-device":     {top, {kind: tarCharacter, name: in("x")}},
		"block-device":         {top, {kind: tarBlock, name: in("x")}},
		"pipe":                 {top, {kind: tarPipe, name: in("x")}},
		"unknown-kind":         {top, {kind: 'Z', name: in("x"), content: "new"}},
		"setuid":               {top, {kind: tarFile, name: in("x"), content: "new", mode: 0o6777}},
		"huge":                 {top, {kind: tarFile, name: in("x"), content: "new", size: 1 << 60}},
		"larger-than-any-file": {top, {kind: tarFile, name: in("x"), content: "new", records: map[string]string{"size": "99999999999999999999"}}},
		"negative":             {top, {kind: tarFile, name: in("x"), content: "new", records: map[string]string{"size": "-1"}}},
		"sparse":               {top, {kind: tarFile, name: in("x"), content: "0\n", records: map[string]string{"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": victim, "GNU.sparse.realsize": "9000000000000"}}},
		"sparse-in-header":     {top, {kind: tarSparse, name: in("x"), content: "new", plain: true}},
		"nul":                  {top, file(in("x\x00/../../" + Outside + "/" + Victim))},
		"no-name":              {top, {kind: tarFile, name: in("x"), content: "new", records: map[string]string{"path": ""}}},
		"odd-records": {top, {kind: tarFile, name: in(nameEscapes + "\n/.envrc"), content: "new", records: map[string]string{
			"uname": Escapes, "comment": Escapes, "mtime": "99999999999999", "SCHILY.xattr.security.capability": "\x01\x00\x00\x02", "LIBARCHIVE.symlinktype": "dir", "hdrcharset": "BINARY",
		}}},
		"global-records":    {top, {kind: tarGlobal, records: map[string]string{"path": victim, "linkpath": victim}}, file(in("x"))},
		"long-name":         {top, {kind: tarLongName, name: "././@LongLink", content: victim + "\x00", plain: true}, {kind: tarFile, name: in("x"), content: "new", plain: true}},
		"long-link":         {top, {kind: tarLongLink, name: "././@LongLink", content: victim + "\x00", plain: true}, {kind: tarLink, name: in("x"), link: "y", plain: true}, file(in("x"))},
		"very-long-name":    {top, file(in(strings.Repeat("a/", 1<<15) + "x"))},
		"below-a-file":      {top, file(in("x")), file(in("x/y"))},
		"name-of-a-setting": {top, file(in(".git/hooks/" + nameEscapes))},
	}
}

// HostileArchives names them.
func HostileArchives() []string { return slices.Sorted(maps.Keys(hostileArchives("/"))) }

// SendArgs are the arguments of podbottle-sidecar that send the archive of that name;
// outside is the path of the directory that it is after.
func SendArgs(name, outside string) []string { return []string{"probe", "send", name, outside} }

// ArchiveStream is the archive of that name, as it is sent; nil for none.
func ArchiveStream(name, outside string) []byte {
	members, ok := hostileArchives(outside)[name]
	switch {
	case name == Honest:
		members = []tarMember{
			{kind: tarDir, name: Archive + "/"},
			{kind: tarDir, name: Archive + "/sub/"},
			{kind: tarFile, name: Archive + "/sub/file", content: EveryByte()},
		}
	case !ok:
		return nil
	}
	return tarStream(members)
}

// send writes the archive NAME, which is after the directory OUTSIDE, on standard
// output. That nobody reads to its end is no fault of it.
func send(_ context.Context, args []string) (any, error) {
	if len(args) != 2 {
		return nil, errors.New("wanted: send NAME OUTSIDE")
	}
	stream := ArchiveStream(args[0], args[1])
	if stream == nil {
		return nil, fmt.Errorf("there is no archive %q", args[0])
	}
	_, _ = os.Stdout.Write(stream)
	return nil, nil
}

// EveryByte is what a copier might stop at or change.
func EveryByte() string {
	var b strings.Builder
	for value := range 256 {
		b.WriteByte(byte(value))
	}
	return b.String()
}

// tarStream is an archive. The tar package writes none that is wrong.
func tarStream(members []tarMember) []byte {
	const end = 2 * blockSize
	var b bytes.Buffer
	for _, m := range members {
		if !m.plain {
			records := map[string]string{}
			if m.kind != tarGlobal {
				records["path"] = m.name
			}
			if m.link != "" {
				records["linkpath"] = m.link
			}
			if m.size != 0 {
				records["size"] = fmt.Sprint(m.size)
			}
			maps.Copy(records, m.records)
			kind := byte(tarRecords)
			if m.kind == tarGlobal {
				kind = tarGlobal
			}
			writeMember(&b, tarMember{kind: kind, name: "records", content: paxText(records)})
		}
		if m.kind != tarGlobal {
			writeMember(&b, m)
		}
	}
	b.Write(make([]byte, end))
	return b.Bytes()
}

const blockSize = 512

// writeMember writes a header with what of the member fits into it, and the content.
func writeMember(b *bytes.Buffer, m tarMember) {
	var h [blockSize]byte
	field := func(offset, size int, text string) { copy(h[offset:offset+size], text) }
	mode := m.mode
	if mode == 0 {
		mode = 0o755
	}
	field(0, 100, m.name)
	field(100, 8, fmt.Sprintf("%07o", mode))
	field(108, 8, "0000000")
	field(116, 8, "0000000")
	field(124, 12, fmt.Sprintf("%011o", len(m.content)))
	field(136, 12, "00000000000")
	h[156] = m.kind
	field(157, 100, m.link)
	field(257, 8, "ustar\x0000")
	if m.kind == tarSparse || m.kind == tarLongName || m.kind == tarLongLink {
		field(257, 8, "ustar  \x00")
	}
	field(148, 8, "        ")
	sum := 0
	for _, value := range h {
		sum += int(value)
	}
	field(148, 8, fmt.Sprintf("%06o\x00 ", sum))
	b.Write(h[:])
	b.WriteString(m.content)
	b.Write(make([]byte, (blockSize-len(m.content)%blockSize)%blockSize))
}

// paxText are records, each with its own length before it.
func paxText(records map[string]string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(records)) {
		rest := " " + key + "=" + records[key] + "\n"
		size := len(rest)
		for size != len(fmt.Sprint(size))+len(rest) {
			size = len(fmt.Sprint(size)) + len(rest)
		}
		fmt.Fprintf(&b, "%d%s", size, rest)
	}
	return b.String()
}
