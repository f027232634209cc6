package probe

// Controls that many probes share.
const (
	controlEgress  = "egress accepts a connection from the same container"
	controlAllowed = "a request to the allowed host is answered, and its server saw it"
)

// catalogue lists what runs inside, as data and the function that tries it.
func catalogue() []inside {
	var all []inside
	for _, class := range [][]inside{networkProbes(), podProbes(), hostProbes(), dnsProbes(), egressProbes(), secretProbes(), kernelProbes()} {
		all = append(all, class...)
	}
	return all
}
