"""The schedule of a job of the project's own that runs once a day."""

import dagster as dg


def daily_schedule(job: str, cron: str) -> dg.ScheduleDefinition:
    """`JOB_schedule` of the job with this name, on a cron of one time a day (UTC). It runs until somebody stops it in the UI."""
    return dg.ScheduleDefinition(
        name=f"{job}_schedule",
        job_name=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Once a day.",
    )
