package resolve

// Workspace is the copy of a host directory that goes into a derived image.
type Workspace struct {
	Dir string `json:"dir"` // on the host
}
