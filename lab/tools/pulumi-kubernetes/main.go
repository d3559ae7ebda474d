// Pulumi's official Kubernetes provider, as the program that the engine starts as a plugin.
//
// The upstream main package embeds two files that its own build generates: the schema of the
// package, which only code generators and CRD parameterization read, and a mapping for
// `pulumi convert`. The Go module does not carry them, and no program needs them to run.
package main

import "github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"

var version string // set by the linker to the version of the Python SDK that asks for the plugin

func main() {
	provider.Serve("kubernetes", version, []byte(`{"name":"kubernetes"}`), []byte(`{}`))
}
