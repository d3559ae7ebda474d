"""From the objects of a cluster to an nginx that serves them, whatever one of them says."""

from collections.abc import Mapping
from dataclasses import replace

from lab.ingress import certificates, rules
from lab.ingress.config import Listen, render
from lab.ingress.nginx import Nginx
from lab.progress import LabError

_NOTHING = rules.Cluster([], [], [], [], [])


class Front:
    """The server that users meet; it holds its addresses from the first moment to the last."""

    def __init__(self, nginx: Nginx, listen: Listen, *, root: bool) -> None:
        self._nginx = nginx
        self._listen = listen
        self._root = root
        self._serving = ""
        certificates.make_fallback(nginx.prefix)
        self.serve(_NOTHING)

    def serve(self, cluster: rules.Cluster) -> rules.Site:
        """Serve every Ingress that can be served; return what is served and what to report."""
        site = rules.build(rules.ours(cluster), cluster)
        wanted = {server.secret for server in site.servers if server.secret}
        files, errors = certificates.store(self._nginx.prefix, cluster.secrets, wanted)
        if self._render(site, files) != self._serving:
            site = self._without_breakers(site, cluster, files)
        text = self._render(site, files)
        if text != self._serving:
            self._nginx.serve(text)
            self._serving = text
        certificates.prune(self._nginx.prefix, files.values())
        for ingress in site.served:
            for tls in ingress.spec.tls or []:
                secret = f"{ingress.metadata.namespace}/{tls.secretName}"
                if secret in errors:
                    message = f"secret {secret}: {errors[secret]}; a self-made one is served"
                    site.reports.append(rules.Report(ingress, "NoCertificate", message))
        return site

    def _without_breakers(
        self, site: rules.Site, cluster: rules.Cluster, files: Mapping[str, str]
    ) -> rules.Site:
        """Leave out the Ingresses that nginx refuses, so that no other suffers from them."""
        if self._nginx.test(self._render(site, files)) is None:
            return site
        if error := self._nginx.test(self._render(rules.build([], cluster), files)):
            raise LabError(f"nginx refuses even an empty configuration: {error}")
        good: list[rules.Ingress] = []
        for ingress in site.served:
            attempt = rules.build([*good, ingress], cluster)
            if error := self._nginx.test(self._render(attempt, files)):
                site.reports.append(rules.Report(ingress, "Rejected", f"not served: {error}"))
            else:
                good.append(ingress)
        return replace(rules.build(good, cluster), reports=site.reports)

    def _render(self, site: rules.Site, files: Mapping[str, str]) -> str:
        return render(site.servers, files, self._listen, root=self._root)
