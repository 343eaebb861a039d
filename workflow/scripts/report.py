"""Rule report. In: all results. Out: one page that says what they show, and its figures with their numbers."""

from pathlib import Path

from fakeemo.jobs import job
from fakeemo.report import write_report

with job(snakemake.log[0]):
    files, emotions = snakemake.input, snakemake.params.emotions
    write_report(
        snakemake.output.page,
        Path(snakemake.output.figures[0]).parent,
        predictions=files.predictions,
        metrics=files.metrics,
        networks=dict(zip(emotions, files.networks, strict=True)),
        histories=dict(zip(emotions, files.histories, strict=True)),
        pb_tables=dict(zip(emotions, files.pb, strict=True)),
        boosting=dict(zip(emotions, files.boosting, strict=True)),
        qc=files.quality,
        config=snakemake.params.config,
        benchmarks_dir="logs/benchmarks",
    )
