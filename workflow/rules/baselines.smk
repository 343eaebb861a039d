# What `snakemake ablation` compares with: simpler ways to judge the same videos, from PB vectors or from facial activity.
wildcard_constraints:
    baseline="|".join(plan.baselines(SHEET)),


rule activity:
    input:
        variants=expand(rules.preprocess.output.variants, video=SHEET.videos),
    output:
        table="results/ablation/activity.parquet",
    log:
        "logs/activity.log",
    benchmark:
        "logs/benchmarks/activity.tsv"
    conda:
        "../envs/fakeemo.yaml"
    params:
        code=plan.code("activity", "activity"),
        sequences={k: config["sequences"][k] for k in ("neutral_frames", "pose")},
    script:
        "../scripts/activity.py"


rule baseline:
    input:
        tables=lambda w: (
            expand(rules.recognise.output.pb, model=SHEET.models)
            if w.baseline.endswith("-pb")
            else rules.activity.output.table
        ),
        quality=rules.quality.output.table,
        faces=rules.evaluate.input.faces,
    output:
        predictions="results/ablation/{baseline}/predictions.csv",
    log:
        "logs/baseline/{baseline}.log",
    benchmark:
        "logs/benchmarks/baseline/{baseline}.tsv"
    conda:
        "../envs/fakeemo.yaml"
    params:
        code=plan.code("baseline", "baselines"),
        models=[model._asdict() for model in SHEET.models.values()],
        samples=SHEET.rows(),
        pairing=config["evaluation"]["pairing"],
        seed=config["seed"],
    script:
        "../scripts/baseline.py"
