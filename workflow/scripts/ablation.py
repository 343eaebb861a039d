"""Rule ablation. In: the verdicts of all methods. Out: how many of each hold, each method against the paper's."""

from fakeemo.jobs import job  # first, see there
from fakeemo.ablation import write_ablation

with job(snakemake.log[0]):
    files, params = snakemake.input, snakemake.params
    write_ablation(
        dict(zip(params.names, [files.paper, *files.arms, *files.baselines], strict=True)),
        params.protocol,
        snakemake.output.table,
        snakemake.output.numbers,
        snakemake.output.page,
        snakemake.output.figure,
        pairing=params.pairing,
        demo=params.demo,
    )
