package pod

import "testing"

// Labels in another order would be another image.
func TestLabelsOfABuildAreInOrder(t *testing.T) {
	for range 100 {
		params, err := buildParams(Build{Labels: map[string]string{"c": "=3", "a": "1", "b": "2"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := params.Get("labels"); got != `["a=1","b=2","c==3"]` {
			t.Fatalf("labels are asked for as %s", got)
		}
	}
}
