package gitgate

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Gitconfig is what the agent's ~/.gitconfig holds: who commits, and for every
// declared remote the spellings of its URL that lead to the gate, in both
// directions. It is empty when the plan has neither.
func Gitconfig(p Plan) []byte {
	var text strings.Builder
	if p.User.Name != "" || p.User.Email != "" {
		text.WriteString("[user]\n")
		if p.User.Name != "" {
			fmt.Fprintf(&text, "\tname = %s\n", quote(p.User.Name))
		}
		if p.User.Email != "" {
			fmt.Fprintf(&text, "\temail = %s\n", quote(p.User.Email))
		}
	}
	spellings := unambiguous(p.Upstreams)
	for i, u := range p.Upstreams {
		fmt.Fprintf(&text, "[url %s]\n", quote("git://git-gate/"+u.Name+".git"))
		for _, s := range spellings[i] {
			fmt.Fprintf(&text, "\tinsteadOf = %s\n", quote(s))
		}
	}
	for i := range p.Upstreams {
		for _, s := range spellings[i] {
			if strings.HasPrefix(s, "https://") && !strings.HasSuffix(s, ".git") {
				leaveLonger(&text, s)
			}
		}
	}
	return []byte(text.String())
}

// nameCharacters are what the name of a repository can go on with, for forges.
const nameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// leaveLonger keeps every https:// URL as it is that only begins like the spelling:
// insteadOf compares prefixes, so that of team/app would take team/app-docs along,
// which the agent may well read through egress. A longer match wins, so each URL
// that goes on with another character of a name is replaced by itself.
func leaveLonger(text *strings.Builder, spelling string) {
	for _, c := range nameCharacters {
		longer := quote(spelling + string(c))
		fmt.Fprintf(text, "[url %s]\n\tinsteadOf = %s\n", longer, longer)
	}
}

// quote writes a value of a git configuration file (git-config(1), Syntax).
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(s) + `"`
}

// unambiguous gives each upstream its spellings. One that two upstreams have in
// common, as with two ports of one host, leads to neither, unless it is the URL as
// one of them declares it.
func unambiguous(upstreams []Upstream) [][]string {
	count := map[string]int{}
	all := make([][]string, len(upstreams))
	for i, u := range upstreams {
		all[i] = u.Spellings()
		for _, s := range all[i] {
			count[s]++
		}
	}
	for i, u := range upstreams {
		all[i] = slices.DeleteFunc(all[i], func(s string) bool {
			declared := slices.ContainsFunc(upstreams, func(o Upstream) bool { return o.URL == s })
			return s != u.URL && (count[s] > 1 || declared)
		})
	}
	return all
}

// Spellings are the ways to write the remote's URL that an agent may find in a
// repository: as declared, ssh:// with and without user and port, scp-like,
// https:// and http://, each with and without .git at the end, for the host and its alias.
// Git takes the longest one that begins a URL, so the form without .git does not
// shadow the one with it.
func (u Upstream) Spellings() []string {
	spellings := []string{u.URL}
	hosts := []string{u.Host}
	if u.Alias != "" {
		hosts = append(hosts, u.Alias)
	}
	for _, host := range hosts {
		for _, path := range bothSuffixes(u.Path) {
			escaped := escapePath(path)
			host := hostInURL(host)
			for _, user := range []string{u.User + "@", ""} {
				spellings = append(spellings, fmt.Sprintf("ssh://%s%s:%d%s", user, host, u.Port, escaped))
				spellings = append(spellings, "ssh://"+user+host+escaped)
				// The scp-like form has no port of its own and knows a path below the
				// user's home, which is how forges write theirs.
				spellings = append(spellings, user+host+":"+strings.TrimPrefix(path, "/"), user+host+":"+path)
			}
			spellings = append(spellings, "https://"+host+escaped, "http://"+host+escaped)
		}
	}
	slices.Sort(spellings)
	return slices.Compact(spellings)
}

func bothSuffixes(path string) []string {
	bare := strings.TrimSuffix(strings.TrimRight(path, "/"), ".git")
	return []string{bare, bare + ".git"}
}

// hostInURL puts an IPv6 address in brackets.
func hostInURL(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

func escapePath(path string) string { return (&url.URL{Path: path}).EscapedPath() }
