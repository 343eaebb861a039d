"""Rule demo. Out: every clip of one synthetic subject, as MP4 files."""

from fakeemo.demo import DemoSettings, render_files
from fakeemo.jobs import job

with job(snakemake.log[0]):
    render_files(snakemake.output, DemoSettings.of(snakemake.params.settings))
