"""Rule recognise. In: an emotion's LSTM-PB and its videos' variants. Out: their PB vectors, and how some were found."""

from pathlib import Path

from fakeemo.jobs import job  # first, see there
from fakeemo.devices import take
from fakeemo.recognition import RecognitionSettings, recognise_emotion

with job(snakemake.log[0]), take(snakemake.params.device) as device:
    params = snakemake.params
    recognise_emotion(
        snakemake.input.variants,
        Path(snakemake.input.weights).parent,
        snakemake.output.pb,
        snakemake.output.convergence,
        settings=RecognitionSettings(**params.settings),
        device=device,
        threads=params.torch_threads,
        description=snakemake.wildcards.model,
    )
