"""Rule demo. Out: every clip of one synthetic subject, as MP4 files."""

from pathlib import Path

from fakeemo.demo import DemoSettings, render_subject
from fakeemo.jobs import job

with job(snakemake.log[0]):
    clips = [(path, *Path(path).stem.split("_")[1:]) for path in snakemake.output]
    render_subject(snakemake.wildcards.subject, clips, DemoSettings(**snakemake.params.settings))
