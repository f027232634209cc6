package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/podbottle/podbottle/internal/bottle"
	"github.com/podbottle/podbottle/internal/manifest"
	"github.com/podbottle/podbottle/internal/provider"
	"github.com/podbottle/podbottle/internal/visible"
)

// initFlags describe the new agent and bottle. What they leave open is asked for.
type initFlags struct {
	bottle, template, authToken, image, prompt string

	hosts, env, skills []string

	hostLogin, supervise bool
}

func newInit(s Streams) *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use:   "init [AGENT [-- COMMAND...]]",
		Short: "Write the files of a new agent and its bottle",
		Long: `Write the files of a new agent and its bottle.

At a terminal podbottle asks for what the flags leave open, and asks again where an
answer will not do; otherwise AGENT is needed and everything else has its default.
An existing bottle is used as it is. Nothing is ever overwritten.`,
		Example: `  podbottle init
  podbottle init fixer --provider claude --auth-token CLAUDE_TOKEN --allow github.com --prompt "Mend what is broken."
  podbottle init echo --provider command --image docker.io/library/alpine -- sh -c 'exec cat'`,
		Args: func(cmd *cobra.Command, args []string) error {
			const what = "the name of one new agent, and its command after --"
			if len(args) > 1 && cmd.ArgsLenAtDash() != 1 {
				return errors.New("wanted " + what)
			}
			return noneEmpty(args[:min(1, len(args))], what)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := findManifests()
			if err != nil {
				return err
			}
			m.index, err = manifest.Open(m.root, m.cwd)
			if err != nil && !errors.Is(err, manifest.ErrNoRoot) {
				return err
			}
			ask := &questions{streams: s, changed: cmd.Flags().Changed}
			if !s.Interactive() {
				ask.silent = true
				if len(args) == 0 {
					return errors.New("wanted the name of the new agent: there is no terminal to ask on")
				}
			}
			draft, err := f.draft(ask, args, m.index)
			if err != nil {
				return err
			}
			files, err := draft.Write(m.root)
			if err != nil {
				return err
			}
			for _, file := range files {
				fmt.Fprintln(s.Out, file)
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.bottle, "bottle", "", "bottle that the agent runs in (default: one of the agent's name)")
	complete(cmd, "bottle", completeBottles)
	choose(cmd, &f.template, "provider", "claude", "provider of a new bottle: "+enumerate(provider.Templates()), provider.Templates()...)
	flags.StringVar(&f.authToken, "auth-token", "", "claude: variable of the host that holds the token")
	flags.BoolVar(&f.hostLogin, "forward-host-credentials", false, "codex: use the host's login")
	flags.StringVar(&f.image, "image", "", "command: image of a new bottle")
	flags.StringArrayVar(&f.hosts, "allow", nil, "host that a new bottle may reach; may be given several times")
	flags.StringArrayVar(&f.env, "env", nil, "NAME=VALUE of a new bottle; may be given several times")
	flags.BoolVar(&f.supervise, "supervise", false, "let the agent of a new bottle ask for more")
	flags.StringVar(&f.prompt, "prompt", "", "system prompt of the agent")
	flags.StringArrayVar(&f.skills, "skill", nil, "skill of the agent; may be given several times")
	return cmd
}

// bottleFlags names the flags that only a new bottle has a meaning for.
func bottleFlags() []string {
	return []string{"provider", "auth-token", "forward-host-credentials", "image", "allow", "env", "supervise"}
}

// draft gathers the files from the flags and the answers.
func (f *initFlags) draft(ask *questions, args []string, index *manifest.Index) (manifest.Draft, error) {
	var d manifest.Draft
	var command []string
	if len(args) > 0 {
		d.Agent, command = args[0], args[1:]
		if err := newName(index)(d.Agent); err != nil && !ask.silent {
			return d, err
		}
	} else {
		ask.text("Name of the agent", "", newName(index), &d.Agent)
	}
	ask.flag("bottle", "Name of its bottle", d.Agent, checkName, &f.bottle)
	d.Front = manifest.AgentFile{Bottle: f.bottle, Skills: f.skills}
	if index != nil && slices.Contains(index.Bottles(), f.bottle) {
		for _, name := range bottleFlags() {
			if ask.changed(name) {
				return d, fmt.Errorf("bottle %s exists already and --%s would change it; leave the flag out, or name a new bottle with --bottle", f.bottle, name)
			}
		}
		if len(command) > 0 {
			return d, fmt.Errorf("bottle %s exists already and has its command; name a new bottle with --bottle", f.bottle)
		}
	} else {
		block, err := f.newBottle(ask, command)
		if err != nil {
			return d, err
		}
		d.Bottle = block
	}
	ask.flag("prompt", "System prompt, in one line (more with podbottle edit)", "", nil, &f.prompt)
	d.Prompt = f.prompt
	return d, ask.err
}

func (f *initFlags) newBottle(ask *questions, command []string) (*manifest.BottleFile, error) {
	ask.flag("provider", "Provider ("+strings.Join(provider.Templates(), ", ")+")", f.template, checkProvider, &f.template)
	switch f.template {
	case "claude":
		ask.flag("auth-token", "Variable of this machine that holds Claude's token (empty for none)", "", checkVariable, &f.authToken)
	case "codex":
		ask.yes("forward-host-credentials", "Use this machine's Codex login?", &f.hostLogin)
	case "command":
		ask.flag("image", "Image", "", checkGiven, &f.image)
		if len(command) == 0 {
			var line string
			ask.text("Command (quotes and the like are read by a shell in the image)", "", checkGiven, &line)
			command = splitCommand(line)
		}
	}
	if !ask.changed("allow") {
		var line string
		ask.text("Hosts that it may reach, separated by spaces", "", checkHosts, &line)
		f.hosts = strings.Fields(line)
	}
	ask.yes("supervise", "May the agent ask you for more?", &f.supervise)
	b := &manifest.BottleFile{
		Supervise: f.supervise,
		AgentProvider: &manifest.AgentProviderBlock{
			Template: f.template, AuthToken: f.authToken, ForwardHostCredentials: f.hostLogin, Image: f.image, Command: command,
		},
	}
	if _, err := provider.RuntimeFor(provider.Config(manifest.AgentProvider(*b.AgentProvider))); err != nil {
		return nil, errors.Join(ask.err, err)
	}
	for _, host := range f.hosts {
		if b.Egress == nil {
			b.Egress = &manifest.EgressBlock{}
		}
		b.Egress.Routes = append(b.Egress.Routes, manifest.RouteBlock{Host: host})
	}
	for _, pair := range f.env {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fmt.Errorf("--env %q has no value; write NAME=VALUE", name)
		}
		b.Env = append(b.Env, manifest.Entry[manifest.Text]{Key: name, Value: manifest.Text(value)})
	}
	return b, nil
}

// questions asks at the terminal for what no flag says; after an error it asks no more.
type questions struct {
	streams Streams
	changed func(flag string) bool
	silent  bool
	err     error
}

// flag asks unless the flag was given.
func (q *questions) flag(name, question, fallback string, check func(string) error, into *string) {
	if !q.changed(name) {
		q.text(question, fallback, check, into)
	}
}

// text asks for a line until check, which may be nil, takes it; an empty answer, or
// nobody to ask, gives fallback.
func (q *questions) text(question, fallback string, check func(string) error, into *string) {
	*into = fallback
	if q.silent || q.err != nil {
		return
	}
	if fallback != "" {
		question += " [" + fallback + "]"
	}
	for {
		answer, err := q.streams.ask(question + ": ")
		if err != nil {
			q.err = err
			return
		}
		answer = cmp.Or(answer, fallback)
		if check != nil {
			err = check(answer)
		}
		if err == nil {
			*into = answer
			return
		}
		fmt.Fprintln(q.streams.Err, visible.String(err.Error()))
	}
}

// yes asks a question whose default is no, unless the flag was given.
func (q *questions) yes(name, question string, into *bool) {
	if q.changed(name) {
		return
	}
	var answer string
	q.text(question+" [y/N]", "", nil, &answer)
	*into = bottle.IsYes(answer)
}

// What an answer has to be. The files are checked as a whole before they are written.

func checkName(name string) error {
	if !manifest.ValidName(name) {
		return fmt.Errorf("%q cannot be a name: a letter and then letters, digits and dashes, all lower-case", name)
	}
	return nil
}

// newName checks the name of an agent that is not there yet; index may be nil.
func newName(index *manifest.Index) func(string) error {
	return func(name string) error {
		if err := checkName(name); err != nil || index == nil {
			return err
		}
		for _, ref := range index.Agents() {
			if ref.Name == name && !ref.FromCwd {
				return fmt.Errorf("there is an agent %s already, in %s", name, ref.File)
			}
		}
		return nil
	}
}

func checkProvider(template string) error {
	if !slices.Contains(provider.Templates(), template) {
		return fmt.Errorf("it can be %s", enumerate(provider.Templates()))
	}
	return nil
}

func checkVariable(name string) error {
	if name != "" && !manifest.ValidVariable(name) {
		return fmt.Errorf("%q is not the name of a variable, such as CLAUDE_TOKEN; the token itself stays out of files", name)
	}
	return nil
}

func checkGiven(text string) error {
	if text == "" {
		return errors.New("this is needed; ctrl-c leaves without writing anything")
	}
	return nil
}

func checkHosts(line string) error {
	for _, host := range strings.Fields(line) {
		if _, _, err := manifest.ParseHost(host); err != nil {
			return fmt.Errorf("%s: %w", host, err)
		}
	}
	return nil
}

// splitCommand is a command line as arguments: its words where it has nothing but words,
// and otherwise a shell that reads it.
func splitCommand(line string) []string {
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil
	}
	if strings.ContainsAny(line, "\"'\\;|&<>()$`*?[]#~") || strings.Contains(words[0], "=") {
		return []string{"sh", "-c", line}
	}
	return words
}
