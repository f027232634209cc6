package progress

// maxTail is how much of a text Tail keeps, in bytes.
const maxTail = 64 << 10

// Tail keeps the end of a text, such as a builder's output: whoever writes it decides
// how long it gets. The zero value is empty.
type Tail struct{ kept []byte }

// Write implements io.Writer.
func (t *Tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p[max(0, len(p)-maxTail):]...)
	if over := len(t.kept) - maxTail; over > maxTail { // not at each write
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

// String is the end of what was written.
func (t *Tail) String() string { return string(t.kept[max(0, len(t.kept)-maxTail):]) }
