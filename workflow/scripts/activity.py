"""Rule activity. In: variants of all videos. Out: statistics of their facial activity, one row a variant."""

from fakeemo.jobs import job  # first, see there
from fakeemo.activity import write_activity

with job(snakemake.log[0]):
    write_activity(snakemake.input.variants, snakemake.output.table, **snakemake.params.sequences)
