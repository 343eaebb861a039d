"""Rule report. In: all results. Out: one page that says what they show, and its figures with their numbers."""

from pathlib import Path

from fakeemo.jobs import job  # first, see there
from fakeemo.report import write_report

with job(snakemake.log[0]):
    files, models = snakemake.input, snakemake.params.models
    write_report(
        snakemake.output.page,
        Path(snakemake.output.figures[0]).parent,
        predictions=files.predictions,
        metrics=files.metrics,
        networks=dict(zip(models, files.networks, strict=True)),
        histories=dict(zip(models, files.histories, strict=True)),
        pb_tables=dict(zip(models, files.pb, strict=True)),
        generated=dict(zip(snakemake.params.shown, files.generated, strict=True)),
        boosting=dict(zip(models, files.boosting, strict=True)),
        qc=files.quality,
        config=snakemake.params.config,
        playback_dir=files.playback,
        sheets_dir=Path(files.quality).parent,
        shown=snakemake.params.shown,
        ablation=files.ablation,
        benchmarks_dir="logs/benchmarks",
    )
