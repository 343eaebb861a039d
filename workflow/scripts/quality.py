"""Rule quality. In: boxes and landmarks of every video. Out: one row a video on how well it can be used."""

from fakeemo.jobs import job  # first, see there
from fakeemo.quality import summarise_quality

with job(snakemake.log[0]):
    summarise_quality(
        snakemake.params.videos, snakemake.input.rois, snakemake.input.landmarks, snakemake.output.table
    )
