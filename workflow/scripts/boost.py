"""Rule boost. In: an emotion's PB vectors. Out: the classifier fitted on those of training, and how it was chosen."""

from fakeemo.jobs import job  # first, see there
from fakeemo.boosted_trees import BoostingSettings
from fakeemo.boosting import fit_boosting

with job(snakemake.log[0]):
    fit_boosting(
        snakemake.input.pb,
        snakemake.params.labels,
        snakemake.params.subjects,
        snakemake.output.model,
        snakemake.output.info,
        emotion=snakemake.wildcards.model,
        settings=BoostingSettings(**snakemake.params.settings),
    )
