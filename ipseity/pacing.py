"""How soon an informer asks again: what failed, and how often, decides.

Here because whoever asks too soon keeps an overloaded API server down, and whoever asks too late sees its return late.
Leaves out what a failure means for what is known (``informer``).
"""

import dataclasses
import random
from typing import Final

from ipseity import kube, paging

ABSENT: Final = 404


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How hard an informer tries. Every delay is jittered down to half."""

    first_delay_s: float = 0.1
    unreachable_s: float = 1.0
    """Longest delay while nobody answers: such attempts cost the API server nothing, and its return is seen at once."""
    refused_s: float = 30.0
    """Longest delay while the API server answers with an error, or with no page: it may be overloaded. As client-go's
    reflector."""
    absent_s: float = 1.5
    """Longest delay while the API server has no such collection (404): its definition may come at any time."""
    watch_s: float = 300.0
    """How long one watch request lives; jittered up by a fifth, so that a fleet does not reconnect in step."""
    page: int = 250
    """Objects per list request: a page of full pods is about 2.5 MB, and dropped before the next one."""

    def longest_s(self, error: kube.KubernetesError) -> float:
        """Give the longest delay after such an error."""
        if error.status == ABSENT:
            return self.absent_s
        return self.refused_s if error.status or isinstance(error, paging.NoPage) else self.unreachable_s

    def delay_s(self, error: kube.KubernetesError, failures: int) -> float:
        """Give how long to wait after so many of them in a row."""
        longest_s = self.longest_s(error)
        delay_s: float = min(longest_s, self.first_delay_s * 2.0 ** min(failures - 1, 20))
        delay_s *= random.uniform(0.5, 1.0)  # noqa: S311  # jitter, not a secret
        return max(min(error.retry_after_s, longest_s), delay_s)
