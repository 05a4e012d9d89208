"""Jobs and CronJobs."""

from __future__ import annotations

from ..object import Object
from .common import put, put_text, spec, sub
from .pod import default_template

UNLIMITED = 2147483647


def default_job(job: Object) -> None:
    default_job_spec(spec(job))


def default_job_spec(own: Object) -> None:
    default_template(own)
    if own.get("completions") is None and own.get("parallelism") is None:
        own["completions"] = own["parallelism"] = 1
    put(own, parallelism=1)
    put(own, backoffLimit=UNLIMITED if own.get("backoffLimitPerIndex") is not None else 6)
    put(own, completionMode="NonIndexed", suspend=False, manualSelector=False)
    _default_patterns(own)
    put(own, podReplacementPolicy="TerminatingOrFailed" if own.get("podFailurePolicy") is None else "Failed")


def _default_patterns(own: Object) -> None:
    for rule in (own.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            put_text(pattern, status="True")


def default_cron_job(cron_job: Object) -> None:
    own = spec(cron_job)
    put_text(own, concurrencyPolicy="Allow")
    put(own, suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    template = sub(own, "jobTemplate")
    sub(template, "metadata")
    default_template(spec(template))
    _default_patterns(spec(template))
    # the job's other defaults are given when the job is made
