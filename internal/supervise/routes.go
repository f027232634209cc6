package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"gopkg.in/yaml.v3"

	"github.com/podbottle/podbottle/internal/egress"
)

type routesFile struct {
	Routes []egress.Route `yaml:"routes"`
}

// ParseRoutes reads egress's route table.
func ParseRoutes(data []byte) ([]egress.Route, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	var file routesFile
	if err := decoder.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("routes: %w", err)
	}
	return file.Routes, nil
}

// RenderRoutes writes egress's route table.
func RenderRoutes(routes []egress.Route) ([]byte, error) {
	data, err := yaml.Marshal(routesFile{Routes: routes})
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	return data, nil
}
