"""Rule intake. In: boxes of a model's training videos. Out: how they were prepared, and within what range they lie."""

from fakeemo.jobs import job  # first, see there
from fakeemo.intake import write_intake

with job(snakemake.log[0]):
    write_intake(snakemake.input.rois, snakemake.output.intake, settings=snakemake.params.settings)
