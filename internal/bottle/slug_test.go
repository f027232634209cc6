package bottle

import "testing"

func TestPickSlug(t *testing.T) {
	live := []string{"web-x1y2z", "fixer-b2222", "fixer-a1111", "web"}
	kept := []string{"docs-k3333", "fix-c4444", "docs-k3334", "web-kept1"}
	for name, want := range map[string]string{
		"web-x1y2z":  "web-x1y2z",
		"web":        "web", // a whole slug, though others begin with it
		"fixer-b":    "fixer-b2222",
		"web-":       "web-x1y2z", // one that is live, before the one that is kept
		"fix-":       "fix-c4444",
		"docs-k3334": "docs-k3334",
	} {
		if got, err := pickSlug(name, live, kept); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %s", name, got, err, want)
		}
	}
	for name, want := range map[string]string{
		"":       "no bottle ; podbottle list --all shows those there are",
		"nosuch": "no bottle nosuch; podbottle list --all shows those there are",
		"ixer":   "no bottle ixer; podbottle list --all shows those there are",
		"fix":    "fix is the beginning of several slugs: fixer-a1111, fixer-b2222",
		"docs":   "docs is the beginning of several slugs: docs-k3333, docs-k3334",
	} {
		if got, err := pickSlug(name, live, kept); err == nil || err.Error() != want {
			t.Errorf("%q: got %q, %v; want the error %s", name, got, err, want)
		}
	}
}
