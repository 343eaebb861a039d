"""Rule roi. In: a video. Out: the table of its face's box in every frame."""

from fakeemo.jobs import job  # first, see there
from fakeemo.tracking import TrackingSettings, track_video

with job(snakemake.log[0]):
    params = snakemake.params
    track_video(
        out=snakemake.output.rois,
        settings=TrackingSettings(**params.settings),
        seed=params.seed,
        on_bad_video=params.on_bad_video,
        **params.sample,
    )
