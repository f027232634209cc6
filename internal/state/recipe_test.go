package state

import (
	"errors"
	"os"
	"testing"
)

func TestDockerfile(t *testing.T) {
	root := t.TempDir()
	tree, err := Of(root, "a-x7k2p")
	if err != nil {
		t.Fatal(err)
	}
	if err := MakeDir(tree.Dir()); err != nil {
		t.Fatal(err)
	}
	is := func(want string) {
		t.Helper()
		got, err := os.ReadFile(tree.Dockerfile())
		if string(got) != want || (want == "") != errors.Is(err, os.ErrNotExist) {
			t.Errorf("the recipe is %q, %v; want %q", got, err, want)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	if err := WithdrawDockerfile(root, "a-x7k2p"); !errors.Is(err, ErrNoDockerfile) {
		t.Errorf("nothing to withdraw: %v", err)
	}
	do(ReplaceDockerfile(root, "a-x7k2p", []byte("FROM one\n")))
	do(ReplaceDockerfile(root, "a-x7k2p", []byte("FROM two\n")))
	is("FROM two\n")
	do(WithdrawDockerfile(root, "a-x7k2p"))
	is("FROM one\n")
	do(WithdrawDockerfile(root, "a-x7k2p"))
	is("")
	do(ReplaceDockerfile(root, "a-x7k2p", []byte("FROM one\n")))
	do(ReplaceDockerfile(root, "a-x7k2p", []byte("FROM two\n")))
	do(os.Remove(tree.Dockerfile()))
	do(ReplaceDockerfile(root, "a-x7k2p", []byte("FROM three\n")))
	do(WithdrawDockerfile(root, "a-x7k2p"))
	is("") // what was removed by hand does not come back
}
