package resolve

import "fmt"

// MaxContainerSuffix is the last number that is tried for a container's name.
const MaxContainerSuffix = 99

// ContainerNames are the names that a container may get, in the order in which
// they are tried: base, base-2 … base-99. Package pod uses the same list when
// another process took the name in the meantime.
func ContainerNames(base string) []string {
	names := make([]string, 0, MaxContainerSuffix)
	names = append(names, base)
	for n := 2; n <= MaxContainerSuffix; n++ {
		names = append(names, fmt.Sprintf("%s-%d", base, n))
	}
	return names
}

// chooseContainer picks the agent's container name: the pinned one, or the first that is free.
func chooseContainer(host Host, slug string) (name string, pinned bool, err error) {
	if name = host.env("BOT_BOTTLE_CONTAINER", ""); name != "" {
		taken, err := host.Exists(KindContainer, name)
		if err != nil {
			return "", false, err
		}
		if taken {
			return "", false, fmt.Errorf("container '%s' already exists (pinned via BOT_BOTTLE_CONTAINER). "+
				"Remove it with 'podman rm -f %s' or unset the override", name, name)
		}
		return name, true, nil
	}
	base := "bot-bottle-" + slug
	for _, candidate := range ContainerNames(base) {
		taken, err := host.Exists(KindContainer, candidate)
		if err != nil {
			return "", false, err
		}
		if !taken {
			return candidate, false, nil
		}
	}
	return "", false, fmt.Errorf("could not find a free container name after %s-%d; clean up old containers with 'podman rm -f <name>'", base, MaxContainerSuffix)
}

// refuseOrphan fails when the pod of the slug is still there: creating it again
// would fail much later and without a hint.
func refuseOrphan(host Host, slug string) error {
	pod := "bot-bottle-" + slug + "-pod"
	taken, err := host.Exists(KindPod, pod)
	if err != nil {
		return err
	}
	if taken {
		return fmt.Errorf("pod '%s' already exists. It runs, or is an orphan from a previous run; "+
			"take it down with 'podbottle stop %s', which keeps its state, and retry", pod, slug)
	}
	return nil
}
