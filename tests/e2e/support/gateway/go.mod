// The kinds of the Gateway API, of the version that the pinned Traefik is released with.
module gateway

go 1.26.0

require sigs.k8s.io/gateway-api v1.5.1
