package intercept

import "net/http"

// Windows of a stream of HTTP/2. What a peer does not read fills the window of its
// stream; several such streams must not fill that of their connection, or every other one
// would stand still.
const (
	NearWindow = 512 << 10 // for a peer on this machine
	FarWindow  = 1 << 20   // for one that is far away: the window bounds the rate over a long way
)

const (
	connectionWindow = 4<<20 - 1 // the largest that net/http takes
	frameSize        = 64 << 10  // of what is received: fewer and larger pieces than by default
)

// HTTP2 is how a server or a transport speaks HTTP/2.
func HTTP2(window int) *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxReadFrameSize:              frameSize,
		MaxReceiveBufferPerStream:     window,
		MaxReceiveBufferPerConnection: connectionWindow,
	}
}
