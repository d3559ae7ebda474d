// Package v2 is where the provider's components register the objects that they have rendered.
package v2

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// RegisterResource refuses: a component that renders YAML or a chart is not built in.
func RegisterResource(
	_ *pulumi.Context, apiVersion, kind, name string, _ pulumi.Input, _ ...pulumi.ResourceOption,
) (pulumi.CustomResource, error) {
	return nil, fmt.Errorf("%s %s %s: this build of the Kubernetes provider has no components "+
		"that render YAML, Kustomize or Helm charts", apiVersion, kind, name)
}
