"""Rule baseline. In: PB vectors or facial activity. Out: the verdict of one baseline on every video."""

from pathlib import Path

from fakeemo.jobs import job  # first, see there
from fakeemo.baselines import write_baseline

with job(snakemake.log[0]):
    tables, params = snakemake.input.tables, snakemake.params
    write_baseline(
        snakemake.wildcards.baseline,
        [tables] if isinstance(tables, str) else tables,
        params.models,
        params.samples,
        snakemake.input.quality,
        snakemake.output.predictions,
        pairing=params.pairing,
        faces={Path(face).stem: face for face in snakemake.input.faces},
        seed=params.seed,
    )
