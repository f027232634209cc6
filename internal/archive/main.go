package archive

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

// Main is podbottle-sidecar copy, the end of podbottle cp that lies in a bottle:
// with --pack it writes an archive on standard output, with --unpack it reads one
// on standard input. The other end is PackArgs' or UnpackArgs' caller.
func Main(_ context.Context, args []string) error {
	flags := flag.NewFlagSet("copy", flag.ContinueOnError)
	pack := flags.String("pack", "", "write an archive of this file or directory")
	unpack := flags.String("unpack", "", "write an archive to this place")
	name := flags.String("name", "", "name of the member at the archive's top; empty with --unpack for any number of members")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case *pack != "" && *unpack == "" && *name != "":
		go endWithInput()
		out := bufio.NewWriterSize(os.Stdout, 1<<16)
		err := Pack(out, *pack, *name, func(path string) { fmt.Fprintln(os.Stderr, LeftOut(path)) })
		return errors.Join(err, out.Flush())
	case *unpack != "" && *pack == "":
		_, err := UnpackTo(os.Stdin, *unpack, *name)
		// What is not taken would make the connection break before the reason arrives.
		_, drained := io.Copy(io.Discard, os.Stdin)
		return errors.Join(err, drained)
	}
	return errors.New("wanted --pack PATH --name NAME, or --unpack PATH")
}

// endWithInput ends the program when standard input does, which the other end keeps open
// while it reads: to what Podman's conmon takes from a program that is read no more there
// is no end, be it a hole of eight tebibytes.
func endWithInput() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(1)
}

// PackArgs are the arguments of podbottle-sidecar that pack path, as long as its standard
// input is open.
func PackArgs(path, name string) []string { return []string{"copy", "--pack", path, "--name", name} }

// UnpackArgs are the arguments of podbottle-sidecar that unpack to path.
func UnpackArgs(path, name string) []string {
	return []string{"copy", "--unpack", path, "--name", name}
}

// LeftOut says why something did not go along.
func LeftOut(path string) string {
	return path + " is left out: a link that leads out of what is copied, or neither file nor directory"
}
