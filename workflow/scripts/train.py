"""Rule train. In: variants of an emotion's training videos. Out: its LSTM-PB, with settings and history."""

from pathlib import Path

from fakeemo.jobs import job  # first, see there
from fakeemo.devices import take
from fakeemo.learning_step import LearningSettings
from fakeemo.lstm_pb import NetworkSettings
from fakeemo.training import train_emotion

with job(snakemake.log[0]), take(snakemake.params.device) as device:
    params = snakemake.params
    train_emotion(
        snakemake.input.variants,
        params.labels,
        Path(snakemake.output.weights).parent,
        network=NetworkSettings(**params.network),
        learning=LearningSettings(**params.learning),
        sequences=params.sequences,
        seed=params.seed,
        device=device,
        threads=params.torch_threads,
        description=snakemake.wildcards.model,
        resume=params.resume,
        code=params.code,
    )
