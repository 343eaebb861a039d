# The config and the sample sheet, checked before the first job, and what the rules ask of them.
import os

from snakemake.exceptions import WorkflowError

from fakeemo import workflow as plan
from fakeemo.errors import FakeemoError

try:
    config = plan.complete_config(
        config,
        workflow.source_path("../schemas/config.schema.yaml"),
        workflow.configfiles,
    )
    SHEET = plan.read_sheet(config)
except FakeemoError as error:
    raise WorkflowError(str(error)) from None

# Jobs inherit this: a progress bar adds to its log every 10 s.
os.environ.setdefault("TQDM_MININTERVAL", "10")


wildcard_constraints:
    video="[A-Za-z0-9._-]+",
    emotion="[A-Za-z0-9-]+",


localrules:
    all,
