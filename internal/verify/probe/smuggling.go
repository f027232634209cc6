package probe

import "context"

// egressSmuggling sends requests whose end is not clear, each with another request
// in what might be its body (RFC 9112, section 11.2). The hidden ones carry the marks.
func egressSmuggling(ctx context.Context, b *bottle) Result {
	target := b.target()
	hidden := func() string {
		return "GET /secret/" + b.mark() + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n"
	}
	start := func(lines string) string {
		return "POST /open/x HTTP/1.1\r\nHost: " + target + "\r\n" + lines + "\r\n"
	}
	var texts []string
	for _, lines := range []string{
		"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
		"Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n", "Transfer-Encoding : chunked\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
		"Transfer-Encoding: identity, chunked\r\n", "Transfer-Encoding:\x0bchunked\r\n", "Content-Length: 0\r\nContent-Length: 60\r\n", "Content-Length: +0\r\n", "Content-Length: 0, 60\r\n",
		"X: y\r\n Transfer-Encoding: chunked\r\n", "Content-Length: 0x0\r\n",
	} {
		texts = append(texts, start(lines)+"0\r\n\r\n"+hidden())
	}
	texts = append(texts,
		"GET /open/x HTTP/1.1\r\nHost: "+target+"\r\nX: a\rGET /secret/"+b.mark()+" HTTP/1.1\r\n\r\n",
		"GET /open/x HTTP/1.1\nHost: "+target+"\n\n"+hidden(),
		"GET /open/x HTTP/1.1\r\nHost: "+target+"\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"+hidden(),
		"GET /open/x HTTP/0.9\r\nHost: "+target+"\r\n\r\n"+hidden(),
	)
	control, present, err := b.allowed(ctx)
	if err != nil {
		return incomplete("the control failed: %v", err)
	}
	seen := map[string]int{}
	var marks []string
	requests := make([]request, len(texts))
	for i, text := range texts {
		requests[i] = request{connect: target, raw: text, linger: true}
		marks = append(marks, b.marksIn(requests[i])...)
	}
	for _, a := range b.all(ctx, requests) {
		seen[a.kind()]++
	}
	result := held("no hidden request was made (%s)", tally(seen)).with("%s", control)
	result.Absent, result.Present = marks, []string{present}
	return result
}
