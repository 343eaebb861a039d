"""Rule recognise. In: an emotion's LSTM-PB and the variants of its videos. Out: the table of their PB vectors."""

from pathlib import Path

from fakeemo.jobs import job
from fakeemo.recognition import RecognitionSettings, recognise_emotion

with job(snakemake.log[0]):
    params = snakemake.params
    recognise_emotion(
        snakemake.input.variants,
        Path(snakemake.input.weights).parent,
        snakemake.output.pb,
        settings=RecognitionSettings(**params.settings),
        device=params.device,
        threads=params.torch_threads,
        description=snakemake.wildcards.emotion,
    )
