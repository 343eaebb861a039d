# The config and the sample sheet, checked before the first job, and what the rules ask of them.
import atexit
import gc
import os
from pathlib import Path

from fakeemo import workflow as plan
from fakeemo.errors import FakeemoError

plan.SCRIPTS = Path(workflow.basedir) / "workflow" / "scripts"

# Planning thousands of jobs makes millions of objects that stay: looking among them for what can go took a tenth of it,
# and another tenth the last look when all is done.
gc.set_threshold(100_000, 50, 1000)
atexit.register(gc.freeze)

try:
    plan.check_writable(".snakemake")  # Snakemake itself would end in a traceback
    config = plan.complete_config(
        config,
        workflow.source_path("../schemas/config.schema.yaml"),
        workflow.configfiles,
    )
    SHEET = plan.read_sheet(config)
except FakeemoError as error:
    # One line; Snakemake's own exceptions are printed with the place in the rules, which is not where the fault is.
    raise SystemExit(f"fakeemo: {error}") from None

# Jobs inherit this environment: libraries take no more cores than the job asked for (torch and xgboost are told theirs
# by the config).
for name in ("OPENCV_FOR_THREADS_NUM", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")


# Of a run alone: Snakemake calls no hooks in a dry run, nor (--no-hooks) where it starts itself anew for a job.
onstart:
    try:
        plan.hold_folder()
        plan.check_job_arrays(workflow, len(SHEET.videos))
        plan.lift_rate_limit(workflow)
    except FakeemoError as error:
        raise SystemExit(f"fakeemo: {error}") from None


wildcard_constraints:
    video="[A-Za-z0-9._-]+",
    # An emotion, or EMOTION.foldNUMBER in cross-validation.
    model="[A-Za-z0-9-]+([.]fold[0-9]+)?",


localrules:
    all,
    figures,
