"""Rule playback. In: face boxes and landmarks of all videos. Out: a folder of scripts that hand them to the report."""

from fakeemo.jobs import job  # first, see there
from fakeemo.playback import write_playback

with job(snakemake.log[0]):
    files, videos = snakemake.input, snakemake.params.videos
    write_playback(
        dict(zip(videos, files.rois, strict=True)),
        dict(zip(videos, files.landmarks, strict=True)),
        snakemake.output.folder,
    )
