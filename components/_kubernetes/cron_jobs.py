"""CronJobs of one pod. Commands such as `make backup` make Jobs from them too."""

import pulumi
import pulumi_kubernetes as k8s

from .._kubernetes.labels import metadata

NEVER = "0 0 1 1 *"
"""Schedule of a CronJob that is always suspended. Kubernetes demands a schedule."""


def cron_job(
    name: str,
    *,
    namespace: pulumi.Input[str],
    labels: dict[str, str],
    schedule: str | None = None,
    usual: str = NEVER,
    time_zone: str | None = "Etc/UTC",
    kept: int | None = None,
    seconds: int,
    retries: int = 0,
    template: k8s.core.v1.PodTemplateSpecArgs,
    opts: pulumi.ResourceOptions,
) -> None:
    """Make a CronJob whose Jobs never run beside each other.

    Args:
        name: name of the CronJob.
        namespace: namespace of the CronJob.
        labels: labels of the CronJob.
        schedule: when a Job is made, as a cron expression; None or empty: the CronJob is suspended.
        usual: the schedule that a suspended CronJob shows.
        time_zone: name of the time zone of the schedule.
        kept: how many Jobs stay that succeeded, and that failed. Defaults to Kubernetes' numbers.
        seconds: how long a Job may take.
        retries: how often a Job that failed is tried again, before its next time.
        template: the pod.
        opts: options of the CronJob.
    """
    k8s.batch.v1.CronJob(
        name,
        metadata=metadata(name, namespace, labels),
        spec=k8s.batch.v1.CronJobSpecArgs(
            schedule=schedule or usual,
            suspend=not schedule,
            time_zone=time_zone,
            concurrency_policy="Forbid",
            # A Job that was missed, as while a laptop slept, is made within the next hour.
            starting_deadline_seconds=3600,
            successful_jobs_history_limit=kept,
            failed_jobs_history_limit=kept,
            job_template=k8s.batch.v1.JobTemplateSpecArgs(
                spec=k8s.batch.v1.JobSpecArgs(
                    backoff_limit=retries,
                    active_deadline_seconds=seconds,
                    template=template,
                )
            ),
        ),
        opts=opts,
    )
