package probe

import (
	"context"
	"strings"
)

// egressPaths tries to get out of the route's path_allowlist, /open/ and /echo/.
func egressPaths(ctx context.Context, b *bottle) Result {
	var requests []request
	for _, path := range []string{
		"/secret/MARK", "/", "/OPEN/MARK", "/open", "/open%2f../secret/MARK", "/open/../secret/MARK", "/open/%2e%2e/secret/MARK", "/open/.%2e/secret/MARK", "/open/%252e%252e/secret/MARK",
		"/open/..%2fsecret/MARK", "/open/..%5csecret/MARK", "/open/..\\secret/MARK", "/open//..//../secret/MARK", "/open/..;/secret/MARK", "/open/;/../secret/MARK",
		"//secret/MARK", "/./secret/MARK", "/secret/MARK?/open/", "/secret/MARK#/open/", "/secret/MARK;/open/", "/%6fpen/../secret/MARK", "/open/%c0%ae%c0%ae/secret/MARK",
		"/open/\x00/../secret/MARK", "/open/..%00/secret/MARK", "/open/%u002e%u002e/secret/MARK", "*", "secret/MARK", "/secret/MARK/../open/", "/open/..%252fsecret/MARK",
	} {
		requests = append(requests, request{connect: b.target(), path: strings.ReplaceAll(path, "MARK", b.mark())})
	}
	return b.paths(ctx, requests)
}

// paths is refused for paths of which some are harmless once the dots are
// resolved: what counts is that no server got another path than was allowed.
func (b *bottle) paths(ctx context.Context, requests []request) Result {
	control, present, err := b.allowed(ctx)
	if err != nil {
		return incomplete("the control failed: %v", err)
	}
	let := 0
	var absent []string
	answers := b.all(ctx, requests)
	for i, r := range requests {
		a := answers[i]
		if a.through() && !strings.Contains(a.body, "path /open/") {
			return breach("path %q was answered with %s", r.path, a.text())
		}
		if a.through() {
			let++
			continue
		}
		absent = append(absent, b.marksIn(r)...)
	}
	result := held("%d paths, %d of them ended below /open/", len(requests), let).with("%s", control)
	result.Absent, result.Present = absent, []string{present}
	return result
}
