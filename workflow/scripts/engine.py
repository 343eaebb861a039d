"""Rule engine. Out: the landmark model's name and hash, once the engine is compiled and the model parsed for all jobs."""

from fakeemo.jobs import job  # first, see there
from fakeemo.landmarks import write_engine

with job(snakemake.log[0]):
    write_engine(snakemake.output.note, **snakemake.params.settings)
