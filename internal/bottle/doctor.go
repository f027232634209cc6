package bottle

import (
	"context"

	"github.com/podbottle/podbottle/internal/doctor"
	"github.com/podbottle/podbottle/internal/pipelock"
	"github.com/podbottle/podbottle/internal/pod"
)

// Doctor checks the host for what the user's configuration asks of it.
func (l *Launcher) Doctor(ctx context.Context, flag FirewallChoice) []doctor.Check {
	return doctor.Run(ctx, doctor.Options{
		RequireRunsc: l.Config.RequireRunsc,
		DataDir:      l.dataDir(),
		Config:       l.Config.Path,
		Firewall: func(ctx context.Context, client *pod.Client) (string, error) {
			choice, err := firewall(flag, l.Config.Firewall)
			if err != nil || choice.Engine == pipelock.EngineBuiltin || choice.Binary != "" {
				return choice.String(), err
			}
			exists, err := client.ImageExists(ctx, choice.Image)
			if err == nil && !exists {
				err = doctor.ErrNotPulled
			}
			return choice.String(), err
		},
	})
}
