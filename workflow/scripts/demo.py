"""Rule demo. Out: every clip of one synthetic subject, as MP4 files."""

from pathlib import Path

from fakeemo.jobs import job  # first, see there
from fakeemo.demo import DemoSettings, render_subject

with job(snakemake.log[0]):
    clips = [(path, *Path(path).stem.split("_")[1:]) for path in snakemake.output]
    render_subject(snakemake.wildcards.subject, clips, DemoSettings(**snakemake.params.settings))
