// Command podbottle runs coding agents in rootless Podman pods.
package main

import (
	"os"

	"github.com/podbottle/podbottle/internal/cli"
)

// version is set by the linker.
var version = "devel"

func main() { os.Exit(cli.Main(version)) }
