"""Rule evaluate. In: PB vectors and classifiers of all emotions, faces to pair. Out: the verdict on every video, and how many hold."""

from pathlib import Path

from fakeemo.jobs import job  # first, see there
from fakeemo.evaluation import evaluate

with job(snakemake.log[0]):
    evaluate(
        snakemake.input.pb,
        snakemake.input.models,
        snakemake.params.samples,
        snakemake.input.quality,
        snakemake.output.predictions,
        snakemake.output.metrics,
        judged=snakemake.params.judged,
        protocol=snakemake.params.protocol,
        pairing=snakemake.params.pairing,
        faces={Path(face).stem: face for face in snakemake.input.faces},
    )
