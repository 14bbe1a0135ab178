// CoreDNS with the plugins that our Corefile names. The stock program links those of every cloud
// too, and takes four times as long to build.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
)

func main() {
	// the order in which a query passes them, as in CoreDNS' own plugin.cfg
	dnsserver.Directives = []string{
		"reload", "health", "ready", "errors", "cache", "kubernetes", "forward",
	}
	coremain.Run()
}
