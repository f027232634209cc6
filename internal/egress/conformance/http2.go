package conformance

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"strconv"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// rawHTTP2 is a GET of :path, sent as it stands through a tunnel to api: no client
// sends one that is malformed. A stream that is reset counts as ended.
func rawHTTP2(path string) attempt {
	return func(a *Agent) (Outcome, error) {
		session, err := a.tunnel(a.authority("api"), &tls.Config{ServerName: "api." + a.Domain, NextProtos: []string{"h2"}})
		if err != nil {
			return Outcome{}, err
		}
		defer session.Close()
		if _, err := io.WriteString(session, http2.ClientPreface); err != nil {
			return Outcome{}, err
		}
		var block bytes.Buffer
		encoder := hpack.NewEncoder(&block)
		for _, field := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", a.authority("api")}, {":path", path}} {
			if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
				return Outcome{}, err
			}
		}
		framer := http2.NewFramer(session, session)
		framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		if err := framer.WriteSettings(); err != nil {
			return Outcome{}, err
		}
		err = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
		if err != nil {
			return Outcome{}, err
		}
		return readStream(framer)
	}
}

// readStream reads frames until the one stream has a header or is reset.
func readStream(framer *http2.Framer) (Outcome, error) {
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return Outcome{}, err
		}
		switch frame := frame.(type) {
		case *http2.RSTStreamFrame:
			return Outcome{}, errEnded
		case *http2.MetaHeadersFrame:
			return outcomeOfFields(frame)
		}
	}
}

func outcomeOfFields(frame *http2.MetaHeadersFrame) (Outcome, error) {
	status, err := strconv.Atoi(frame.PseudoValue("status"))
	got := Outcome{Status: status}
	for _, field := range frame.RegularFields() {
		switch http.CanonicalHeaderKey(field.Name) {
		case reasonHeader:
			got.Reason = field.Value
		case upstreamHeader:
			got.Upstream = true
		}
	}
	return got, err
}
