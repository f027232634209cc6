package console

import "github.com/podbottle/podbottle/internal/supervise/console/quiet"

func init() { quiet.Restore() }
