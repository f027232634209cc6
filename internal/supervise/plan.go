// Package supervise is how a stuck agent asks a human for more: the queue of
// proposals and the operator's side of it. The MCP server is in the package
// supervise/mcpserver.
package supervise

// Port is where the MCP server listens on the pod's internal address.
const Port = 9100

// Plan is what resolution decides about supervise; a bottle without it has a nil *Plan.
type Plan struct {
	Slug string `json:"slug"`
	// QueueDir is ~/.bot-bottle/queue/<slug>, mode 0700.
	QueueDir string `json:"queue_dir"`
	// CurrentConfigDir is <state>/<slug>/supervise/current-config; its Dockerfile is
	// what a capability-block proposal changes.
	CurrentConfigDir string `json:"current_config_dir"`
}
