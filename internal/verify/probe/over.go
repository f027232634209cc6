package probe

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

// Over are names of what the agent makes to be copied over what is there already.
const (
	OverHonest = "honest" // a directory, at first as it should be; then sub in it is a link
	OverFile   = "file"   // a file, and then a link
	OverTree   = "tree"   // a directory that is there as well
	OverLib    = "lib"    // a directory, where there is a link to another
	OverConfig = "config" // a file, where there is a link to another
	OverNames  = "names"  // a directory with names that upset a terminal
	OverLinked = "linked" // a directory with a link a to the directory b; then a is a directory
)

// over makes them in the new directory DIR of the home, with MARK in the honest ones,
// or changes them to what they are then.
func over(_ context.Context, args []string) (any, error) {
	if len(args) != 3 {
		return nil, errors.New("wanted: over DIR MARK at-first | then")
	}
	dir, mark := filepath.Join(os.Getenv("HOME"), args[0]), args[1]
	write := func(name, text string) error {
		path := filepath.Join(dir, name)
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)) // #nosec G301 G306 -- to be copied
	}
	replace := func(name, target string) error {
		path := filepath.Join(dir, name)
		return errors.Join(os.RemoveAll(path), os.Symlink(target, path))
	}
	if args[2] == "then" {
		return true, errors.Join(
			replace(OverFile, "/etc/passwd"),
			replace(OverHonest+"/sub", "../../../.."),
			os.Remove(filepath.Join(dir, OverLinked, "a")), write(OverLinked+"/a/"+Victim, "new"),
		)
	}
	return true, errors.Join(
		write(OverHonest+"/sub/file", mark+EveryByte()), write(OverFile, mark),
		write(OverTree+"/"+Victim, "new"), write(OverLib+"/"+Victim, "new"), write(OverConfig, "new"),
		os.Symlink("../../"+Outside, filepath.Join(dir, OverTree, "out")),
		write(OverNames+"/"+nameEscapes+"\xff/.envrc", "new"), os.Symlink("/etc/passwd", filepath.Join(dir, OverNames, "l"+nameEscapes)),
		write(OverLinked+"/b/"+Victim, mark), os.Symlink("b", filepath.Join(dir, OverLinked, "a")),
	)
}
