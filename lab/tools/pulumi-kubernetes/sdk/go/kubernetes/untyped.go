// Package kubernetes takes the place of the provider's own Go SDK, whose 66 packages of typed
// resources only the components that render YAML and charts use: they take 14 CPU minutes to
// compile. See lab/README.md for what is left out.
package kubernetes

import "reflect"

// UntypedArgs are the properties of an object, as its YAML has them.
type UntypedArgs map[string]any

// ElementType makes UntypedArgs a pulumi.Input.
func (UntypedArgs) ElementType() reflect.Type { return reflect.TypeFor[map[string]any]() }
