package bottle

import (
	"slices"
	"strings"
	"testing"
)

// A list can be read, and two images in it can be told apart.
func TestLeftoversShown(t *testing.T) {
	a, b := strings.Repeat("0123456789abcdef", 4), "0123456789abc"+strings.Repeat("f", 51)
	for _, tt := range []struct{ whats, want []string }{
		{nil, []string{}},
		{
			[]string{"pod bot-bottle-x-pod", "image " + a, "image localhost/podbottle-git-gate:0123456789abcdef"},
			[]string{"pod bot-bottle-x-pod", "image 0123456789ab", "image localhost/podbottle-git-gate:0123456789abcdef"},
		},
		{[]string{"image sha256:" + a, "image " + a}, []string{"image 0123456789ab", "image 0123456789ab"}},
		{[]string{"image " + a, "image " + b}, []string{"image 0123456789abcd", "image 0123456789abcf"}},
		{[]string{"network " + a}, []string{"network " + a}}, // a name, not an ID
	} {
		var list []leftover
		for _, what := range tt.whats {
			list = append(list, leftover{what: what})
		}
		if got := shown(list); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q", tt.whats, got)
		}
		for i, item := range list {
			if item.what != tt.whats[i] {
				t.Errorf("%q became %q", tt.whats[i], item.what)
			}
		}
	}
}
