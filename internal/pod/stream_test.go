package pod

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// A process that prints what looks like frames prints nothing into its other stream.
func TestDemultiplex(t *testing.T) {
	streams := [3]string{1: "out\x02\x00\x00\x00\x00\x00\x00\x03err\n", 2: "\x03\x00\x00\x00\x00\x00\x00\x02no\x01\x00\x00\x00\x7f\xff\xff\xff"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var frames, stdout, stderr bytes.Buffer
		for left := streams; left[1]+left[2] != ""; {
			fd := 1 + random.IntN(2)
			n := random.IntN(len(left[fd]) + 1)
			frames.Write(binary.BigEndian.AppendUint32([]byte{byte(fd), 0, 0, 0}, uint32(n)))
			frames.WriteString(left[fd][:n])
			left[fd] = left[fd][n:]
		}
		if err := demultiplex(&frames, &stdout, &stderr); err != nil || stdout.String() != streams[1] || stderr.String() != streams[2] {
			t.Fatalf("%q and %q, %v", &stdout, &stderr, err)
		}
	}
	// A frame that is cut, as when Podman is killed, is an error.
	if err := demultiplex(bytes.NewReader([]byte("\x01\x00\x00\x00\x00\x00\x00\x05cut")), new(bytes.Buffer), new(bytes.Buffer)); err == nil {
		t.Error("half a frame is taken for a whole one")
	}
}
