package manifest

import (
	"fmt"

	"github.com/podbottle/podbottle/internal/visible"
)

// Error is a fault in a manifest file (the seed's ManifestError).
type Error struct {
	File string // as opened
	Line int    // 1-based; 0 when the fault is in no line
	Msg  string // what is wrong and how to mend it; holds no value of a variable
}

// Error gives file:line: message. What a terminal would act upon, which may come
// from a repository's file, is made visible.
func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", visible.String(e.File), e.Line, visible.String(e.Msg))
	}
	return fmt.Sprintf("%s: %s", visible.String(e.File), visible.String(e.Msg))
}
