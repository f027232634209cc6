package supervise

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// Operator is who decided and from where, for the audit record.
type Operator struct {
	User     string `json:"user"` // name, or the uid where there is no name
	UID      int    `json:"uid"`
	Host     string `json:"host"`
	Terminal string `json:"terminal,omitempty"` // device of standard input
	Remote   string `json:"remote,omitempty"`   // address of the SSH client
	Via      string `json:"via"`                // the podbottle command
}

// CurrentOperator describes the user of this process.
func CurrentOperator(via string, lookup func(string) (string, bool)) Operator {
	o := Operator{UID: os.Getuid(), User: strconv.Itoa(os.Getuid()), Via: via}
	if u, err := user.LookupId(o.User); err == nil {
		o.User = u.Username
	}
	o.Host, _ = os.Hostname()
	if device, err := os.Readlink("/proc/self/fd/0"); err == nil && (strings.HasPrefix(device, "/dev/pts/") || strings.HasPrefix(device, "/dev/tty")) {
		o.Terminal = device
	}
	if connection, ok := lookup("SSH_CONNECTION"); ok {
		o.Remote, _, _ = strings.Cut(connection, " ")
	}
	return o
}

// String names the operator and where he sat.
func (o Operator) String() string {
	where := o.Host
	if o.Terminal != "" {
		where += " " + o.Terminal
	}
	if o.Remote != "" {
		where += " from " + o.Remote
	}
	return fmt.Sprintf("%s on %s with %s", o.User, where, o.Via)
}
