package cli_test

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

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
	})
}
