package secret

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

func TestNoPrintedFormHoldsTheSecret(t *testing.T) {
	const canary = "canary-77aa"
	type nested struct {
		Exported Value
		hidden   Value
		list     []Value
	}
	value := nested{New(canary), New(canary), []Value{New(canary)}}
	forms := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		forms[verb] = fmt.Sprintf(verb, value) + fmt.Sprintf(verb, &value) + fmt.Sprintf(verb, value.Exported)
	}
	asJSON, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(map[string]Value{"k": value.Exported})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "k", value.Exported, "n", value)
	forms["json"], forms["yaml"], forms["slog"] = string(asJSON), string(asYAML), log.String()
	for name, text := range forms {
		if strings.Contains(text, canary) || strings.Contains(text, fmt.Sprintf("%x", canary)) {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestReveal(t *testing.T) {
	if New("a").Reveal() != "a" || (Value{}).Reveal() != "" || !(Value{}).Empty() {
		t.Error("a secret does not give back what it was given")
	}
	if !New("a").Equal(New("a")) || New("a").Equal(New("b")) {
		t.Error("Equal is wrong")
	}
}
