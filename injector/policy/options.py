"""Settings of ``ipseity authz``: which cluster is asked, and whose identities are its own.

Here because flags and variables are spelled alike in every command. Leaves out the commands.
"""

import dataclasses

from injector import errors
from ipseity import identity, settings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the commands need to ask."""

    kubeconfig: str | None = settings.field(
        None, "File to reach the API server with; none: KUBECONFIG, ~/.kube/config, or the pod's own account.",
        metavar="FILE",
    )  # fmt: skip
    context: str | None = settings.field(None, "Context in that file; none: its current one.", metavar="NAME")
    trust_domain: str = settings.field("cluster.local", "Trust domain of the mesh.", metavar="NAME")

    @property
    def domain(self) -> identity.TrustDomain:
        """The trust domain. Raises errors.CannotRun."""
        try:
            return identity.TrustDomain(self.trust_domain)
        except identity.InvalidIdentity as error:
            raise errors.CannotRun(str(error), hint="see --trust-domain") from error
