package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/podbottle/podbottle/internal/audit"
	"github.com/podbottle/podbottle/internal/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"podbottle": func() { os.Exit(cli.Main("test")) },
	})
}

// Each script in testdata is one behaviour of the command line. HOME is $WORK/home.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir+"/home")
			env.Setenv("XDG_RUNTIME_DIR", env.WorkDir+"/run")
			for _, dir := range []string{"/home", "/run", "/repo"} {
				if err := os.MkdirAll(env.WorkDir+dir, 0o700); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"record": record, "waitfor": waitFor},
	})
}

// record FILE RECORDS appends every line of RECORDS, a JSON object, to an audit file.
func record(ts *testscript.TestScript, _ bool, args []string) {
	file := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(file), 0o700))
	w, err := audit.Open(file)
	ts.Check(err)
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		_, err := w.Append(json.RawMessage(strings.TrimSpace(line)))
		ts.Check(err)
	}
	ts.Check(w.Close())
}

// waitfor FILE TEXT waits until a program in the background has written TEXT.
func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if data, err := os.ReadFile(ts.MkAbs(args[0])); err == nil && strings.Contains(string(data), args[1]) {
			return
		}
	}
	ts.Fatalf("%s does not get %q", args[0], args[1])
}
