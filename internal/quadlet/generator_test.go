package quadlet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/containers/podman/v5/pkg/systemd/parser"
	generator "github.com/containers/podman/v5/pkg/systemd/quadlet"
	"github.com/google/go-cmp/cmp"

	"github.com/podbottle/podbottle/internal/blueprint"
)

// generate gives units to Quadlet's own code, of the version in go.mod, and
// returns the services by name.
func generate(units []Unit) (map[string]*parser.UnitFile, error) {
	infos, files := map[string]*generator.UnitInfo{}, map[string]*parser.UnitFile{}
	for _, u := range units {
		if u.IsTimer() {
			continue
		}
		f := parser.NewUnitFile()
		f.Filename = u.Name
		if err := f.Parse(u.Text); err != nil {
			return nil, fmt.Errorf("%s: %w", u.Name, err)
		}
		files[u.Name] = f
		info := &generator.UnitInfo{ServiceName: strings.TrimSuffix(u.Service(), ".service")}
		switch {
		case strings.HasSuffix(u.Name, ".pod"):
			info.ResourceName = generator.GetPodResourceName(f)
		case strings.HasSuffix(u.Name, ".build"):
			info.ResourceName = generator.GetBuiltImageName(f)
		case strings.HasSuffix(u.Name, ".container"):
			info.ResourceName = generator.GetContainerResourceName(f)
		}
		infos[u.Name] = info
	}
	services := map[string]*parser.UnitFile{}
	for _, kind := range []string{".network", ".volume", ".build", ".container", ".pod"} {
		for name, f := range files {
			if !strings.HasSuffix(name, kind) {
				continue
			}
			var service *parser.UnitFile
			var warnings, err error
			switch kind {
			case ".network":
				service, warnings, err = generator.ConvertNetwork(f, name, infos, true)
			case ".volume":
				service, warnings, err = generator.ConvertVolume(f, name, infos, true)
			case ".build":
				service, warnings, err = generator.ConvertBuild(f, infos, true)
			case ".container":
				service, warnings, err = generator.ConvertContainer(f, true, infos)
			case ".pod":
				service, warnings, err = generator.ConvertPod(f, name, infos, true)
			}
			if err := errors.Join(warnings, err); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			services[service.Filename] = service
		}
	}
	return services, nil
}

// command is the command line that systemd runs for a service: unquoted as
// Quadlet does it for Exec=, which is what systemd does, and with specifiers and
// variables left as they are but for the doubled characters.
func command(service *parser.UnitFile) ([]string, error) {
	raw, _ := service.LookupLastRaw("Service", "ExecStart")
	for _, token := range strings.Fields(raw) {
		if token == ";" {
			return nil, fmt.Errorf("systemd would start a second command at the semicolon in %s", raw)
		}
	}
	args, ok, err := service.LookupLastArgs("Service", "ExecStart")
	if err != nil || !ok {
		return nil, fmt.Errorf("no ExecStart: %w", err)
	}
	for i, arg := range args {
		args[i] = strings.NewReplacer("%%", "%", "$$", "$").Replace(arg)
	}
	return args, nil
}

// TestTheGeneratorTakesEveryUnit shows that Quadlet's own code knows every key
// and turns the units into the services that their names promise.
func TestTheGeneratorTakesEveryUnit(t *testing.T) {
	for _, name := range names() {
		b, o := build(t, bottles()[name])
		if o.Podman.Minor != 4 && o.Podman.Minor != 6 {
			continue // the code in go.mod is 5.6's; the end-to-end tests have the installed one
		}
		units, err := Units(b, o)
		if err != nil {
			t.Fatal(err)
		}
		services, err := generate(units)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, u := range units {
			if !u.IsTimer() && services[u.Service()] == nil {
				t.Errorf("%s: %s became none of %v", name, u.Name, services)
			}
		}
	}
}

// TestTheAgentsCommandLine reads what systemd would run back.
func TestTheAgentsCommandLine(t *testing.T) {
	b, o := build(t, bottles()["everything"])
	units, err := Units(b, o)
	if err != nil {
		t.Fatal(err)
	}
	services, err := generate(units)
	if err != nil {
		t.Fatal(err)
	}
	args, err := command(services[AgentService("fixer")])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"--runtime=%h/.local/share/podbottle/runsc", "--security-opt=no-new-privileges", "--http-proxy=false", "--hosts-file=none",
		"--image-volume=ignore", "--ipc=private", "--uts=private", "--pid=private", "--cgroupns=private", "--tty", "--interactive",
	} {
		if !slices.Contains(args, want) {
			t.Errorf("%s is missing in %q", want, args)
		}
	}
	for _, pair := range [][2]string{
		{"--cap-drop", "all"},
		{"--pull", "never"},
		{"--user", blueprint.AgentUser},
		{"--dns", "10.201.7.2"},
		{"--add-host", "egress:10.201.7.2"},
		{"--pod", "bot-bottle-fixer-pod"},
		{"--pids-limit", "0"},
	} {
		if i := slices.Index(args, pair[0]); i < 0 || args[i+1] != pair[1] {
			t.Errorf("%v is missing in %q", pair, args)
		}
	}
	var networks []string
	for i, arg := range args {
		if arg == "--network" {
			networks = append(networks, args[i+1])
		}
	}
	if len(networks) != 1 || !strings.HasSuffix(networks[0], ":ip=10.201.7.3,interface_name=int0") {
		t.Errorf("networks of the agent: %v", networks)
	}
}

// agentOf renders a bottle with the given values and returns its agent's unit.
func agentOf(t testing.TB, argument, variable, directory string) (unit Unit, services map[string]*parser.UnitFile, err error) {
	t.Helper()
	b, o := build(t, func(in *inputs) {
		in.options.Argv = []string{"agent", argument, "end"}
		in.plan.Literals = map[string]string{"VALUE": variable}
		in.plan.WorkDir = directory
		in.plan.BottleName = "web"
	})
	units, err := Units(b, o)
	if err != nil {
		return Unit{}, nil, err
	}
	services, err = generate(units)
	if err != nil {
		t.Fatalf("the generator refuses what was written: %v", err)
	}
	for _, u := range units {
		if u.Name == UnitName("fixer", "agent")+".container" {
			unit = u
		}
	}
	return unit, services, nil
}

// FuzzNoValueLeavesItsKey writes values of a manifest into a unit and reads them
// back through Quadlet's own code: the unit has the keys that it has with
// harmless values, and podman gets exactly the values.
func FuzzNoValueLeavesItsKey(f *testing.F) {
	for _, s := range []string{
		"x", "", " ", "a b", `"`, `'`, `\`, `\\`, "a\\", "%h", "%%", "$HOME", "${HOME}", "$$", ";", `\;`, "; x", "\n[Service]\nExecStartPre=/bin/false",
		"a\n", "\t", "#", "\u2028", "\u00a0", "\u0085", "\x7f", "\x1b", "\xff", "\ufffd", "--privileged", `\x0a`, `\n`, "\r", "ä", `"a" "b"`, "a=b",
	} {
		f.Add(s, s, s)
	}
	harmless, _, err := agentOf(f, "x", "x", "/x")
	if err != nil {
		f.Fatal(err)
	}
	want := keys(f, harmless)
	f.Fuzz(func(t *testing.T, argument, variable, directory string) {
		unit, services, err := agentOf(t, argument, variable, "/"+directory)
		if err != nil {
			return // refused, with its reason
		}
		if got := keys(t, unit); !cmp.Equal(got, want) {
			t.Fatalf("the unit has other keys:\n%s", cmp.Diff(want, got))
		}
		args, err := command(services[AgentService("fixer")])
		if err != nil {
			t.Fatal(err)
		}
		if tail := args[len(args)-3:]; !slices.Equal(tail, []string{"agent", argument, "end"}) {
			t.Errorf("podman is given the command %q instead of %q", tail, []string{"agent", argument, "end"})
		}
		if !slices.Contains(args, "VALUE="+variable) {
			t.Errorf("podman is not given the variable %q in %q", variable, args)
		}
		if i := slices.Index(args, "--workdir"); args[i+1] != "/"+directory {
			t.Errorf("podman is given the directory %q instead of %q", args[i+1], "/"+directory)
		}
	})
}

// keys lists section and key of every line of a unit.
func keys(t testing.TB, u Unit) []string {
	t.Helper()
	f := parser.NewUnitFile()
	if err := f.Parse(u.Text); err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, group := range f.ListGroups() {
		for _, key := range f.ListKeys(group) {
			list = append(list, fmt.Sprintf("%s.%s×%d", group, key, len(f.LookupAllRaw(group, key))))
		}
	}
	return list
}
