// Package v4 has the types of a Helm chart's arguments that the provider's own code names.
package v4

import "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

// RepositoryOpts say where a chart's repository is and how to log in to it.
type RepositoryOpts struct {
	CaFile, CertFile, KeyFile pulumi.AssetOrArchive
	Password, Repo, Username  *string
}

// RepositoryOptsInput is any input of RepositoryOpts.
type RepositoryOptsInput interface{ pulumi.Input }

// PostRenderer is the program that changes a chart's rendered objects.
type PostRenderer struct {
	Args    []string
	Command string
}

// PostRendererInput is any input of a PostRenderer.
type PostRendererInput interface{ pulumi.Input }
