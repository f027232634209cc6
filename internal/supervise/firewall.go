package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/podbottle/podbottle/internal/egress"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/visible"
)

// firewallChange replaces the firewall's configuration.
type firewallChange struct{ before, after []byte }

// withFirewall adds what the change needs of the firewall: the host in its
// allowlist, and the header that carries the host's credential among those that are
// not searched for leaks. Where the routes permit all of it already, that alone is
// what is newly permitted.
func (c Change) withFirewall(config []byte, until time.Time) (Change, error) {
	after, err := openFirewall(config, c.Ask.Host, headerOf(c.Routes, c.Ask.Host))
	if err != nil || after == nil {
		return c, err
	}
	c.firewall = &firewallChange{before: config, after: after}
	if !c.Nothing {
		return c, nil
	}
	if !until.IsZero() {
		return Change{}, fmt.Errorf("the routes let requests to %s pass already and the firewall's list knows no end; approve it for the bottle", c.Ask.Host)
	}
	c.Nothing = false
	c.Summary = visible.String(fmt.Sprintf("Opens the firewall for %s. The routes let what is asked for pass already, and stay as they are.", c.Ask.Host))
	c.Warnings = append(slices.DeleteFunc(c.Warnings, func(w string) bool { return w == otherReason }),
		"Everything that the routes permit to the host passes the firewall then, not only what is asked for.")
	c.Diff = string(diff.Diff("firewall now", config, "firewall afterwards", after))
	return c, nil
}

// headerOf is the header of the host's credential besides Authorization; empty for none.
func headerOf(routes []egress.Route, host string) string {
	if i := slices.IndexFunc(routes, func(r egress.Route) bool { return r.Host == host }); i >= 0 {
		return routes[i].AuthHeader
	}
	wild, _ := inherited(routes, host)
	return wild.AuthHeader
}

// openFirewall returns the configuration with host in its allowlist, and with header,
// unless that is empty, among those that are not searched; nil when it has both.
func openFirewall(config []byte, host, header string) ([]byte, error) {
	c, err := pipelock.ParseConfig(config)
	if err != nil {
		return nil, err
	}
	ignored := &c.RequestBodyScanning.IgnoreHeaders
	listed, searched := c.Allows(host), header != "" && !slices.Contains(*ignored, header)
	if listed && !searched {
		return nil, nil
	}
	if !listed {
		c.APIAllowlist = append(c.APIAllowlist, host)
	}
	if searched {
		*ignored = append(*ignored, header)
		slices.Sort(*ignored)
	}
	return c.Marshal()
}

// undoTime bounds how long taking back may take after the operator has given up.
const undoTime = 10 * time.Second

// replaceFirewall puts a configuration in force, nil for none.
func (b Bottle) replaceFirewall(ctx context.Context, c *firewallChange, done *undoList) error {
	if c == nil {
		return nil
	}
	current, err := readRegular(b.Firewall, maxTable)
	if err != nil {
		return fmt.Errorf("the firewall's configuration: %w", err)
	}
	if !bytes.Equal(current, c.before) {
		return errors.New("the firewall's configuration has changed since this was shown; look at it again")
	}
	done.add(func() error {
		if err := replaceFile(b.Firewall, c.before); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
		defer cancel()
		return b.ReloadFirewall(ctx)
	})
	if err := replaceFile(b.Firewall, c.after); err != nil {
		return fmt.Errorf("the firewall's configuration: %w", err)
	}
	if err := b.ReloadFirewall(ctx); err != nil {
		return fmt.Errorf("the firewall: %w", err)
	}
	return nil
}
