# Sections 2.4 and 4: boosting for each emotion, the verdict on every video, and the report.
rule boost:
    input:
        pb=rules.recognise.output.pb,
    output:
        model="results/models/{emotion}/boosting.ubj",
        info="results/models/{emotion}/boosting.json",
    params:
        code=plan.code("boost", "boosting"),
        labels=lambda w: SHEET.training_labels(w.emotion),
        subjects=lambda w: SHEET.subjects(w.emotion),
        settings=lambda w: plan.boosting_settings(config, w.emotion),
    threads: config["boosting"]["threads"]
    log:
        "logs/boost/{emotion}.log",
    benchmark:
        "logs/benchmarks/boost/{emotion}.tsv"
    script:
        "../scripts/boost.py"


rule evaluate:
    input:
        pb=expand(rules.recognise.output.pb, emotion=SHEET.emotions),
        models=expand(rules.boost.output.model, emotion=SHEET.emotions),
        quality=rules.quality.output.table,
    output:
        predictions=report(
            "results/predictions.csv",
            caption="../report/predictions.rst",
            category="Results",
        ),
        metrics="results/metrics.json",
    params:
        code=plan.code("evaluate", "evaluation"),
        samples=SHEET.rows(),
    log:
        "logs/evaluate.log",
    benchmark:
        "logs/benchmarks/evaluate.tsv"
    script:
        "../scripts/evaluate.py"
