# From raw videos to a report: genuine or acted? Each file under workflow/rules/ is one stage, in the order of the data.
from snakemake.utils import min_version

min_version("9.0")


# A config given by --configfile stands alone: Snakemake would mix the demo's sizes and rates into it.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/samples.smk"
include: "workflow/rules/preprocess.smk"
include: "workflow/rules/given.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/baselines.smk"
include: "workflow/rules/ablation.smk"


rule all:
    default_target: True
    input:
        "results/report/index.html",
        expand(rules.intake.output.intake, model=SHEET.models),
