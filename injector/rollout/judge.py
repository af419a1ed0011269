"""Whether a canary's traffic is as it should be. What is not known, or too little to tell, is not as it should be.

Here because a check that passes for want of evidence would promote anything. Pure. Leaves out where the numbers come
from (``proxies``, ``prometheus``).
"""

import math

from injector.rollout import model
from injector.seeing import stat

_UNITS = {model.Metric.SUCCESS: " %", model.Metric.DURATION: " ms"}


def observed(counts: model.Counts) -> model.Observed:
    """Give what counts say."""
    if counts.requests <= 0:
        return model.Observed(requests=0)
    good = max(0, counts.requests - counts.failed)
    return model.Observed(
        requests=counts.requests,
        success=model.ALL * good / counts.requests,
        p99_ms=stat.quantile(counts.within, 0.99),
    )


def judge(spec: model.Spec, seen: model.Observed) -> model.Check:
    """Judge one window."""
    if seen.problem:
        return model.Check(passed=False, message=seen.problem)
    if not seen.requests >= spec.least_requests:
        few = f"{seen.requests:.0f}" if math.isfinite(seen.requests) else "an unknown number of"
        return model.Check(passed=False, message=f"{few} requests, and {spec.least_requests} are needed to tell")
    values = {model.Metric.SUCCESS: seen.success, model.Metric.DURATION: seen.p99_ms}
    told = [_told(each, values[each.metric]) for each in spec.ranges]
    wrong = [message for good, message in told if not good]
    messages = wrong or [message for _, message in told]
    return model.Check(passed=not wrong, message=f"{', '.join(messages)} ({seen.requests:.0f} requests)")


def _told(allowed: model.Range, value: float | None) -> tuple[bool, str]:
    name, unit = allowed.metric.value, _UNITS[allowed.metric]
    if value is None or not math.isfinite(value):
        return False, f"{name} is not known"
    if allowed.least is not None and value < allowed.least:
        return False, f"{name} {value:.2f}{unit} is below {allowed.least:g}"
    if allowed.most is not None and value > allowed.most:
        return False, f"{name} {value:.2f}{unit} is above {allowed.most:g}"
    return True, f"{name} {value:.2f}{unit}"
