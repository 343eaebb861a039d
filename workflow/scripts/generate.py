"""Rule generate. In: an emotion's LSTM-PB. Out: the expressions that its two PB vectors stand for."""

from pathlib import Path

from fakeemo.jobs import job  # first, see there
from fakeemo.generation import generate, write_generated_table

with job(snakemake.log[0]):
    folder = Path(snakemake.input.weights).parent
    write_generated_table(snakemake.output.table, generate(folder, steps=2), folder)
