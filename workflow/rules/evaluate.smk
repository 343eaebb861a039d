# Sections 2.4 and 4: boosting for each emotion (and fold), and the verdict on every video.
rule boost:
    input:
        pb=rules.recognise.output.pb,
    output:
        model="results/models/{model}/boosting.ubj",
        info="results/models/{model}/boosting.json",
    log:
        "logs/boost/{model}.log",
    benchmark:
        "logs/benchmarks/boost/{model}.tsv"
    conda:
        "../envs/fakeemo.yaml"
    threads: config["boosting"]["threads"]
    resources:
        gpu=plan.gpus(config["boosting"]),
    params:
        code=plan.code("boost", "boosting"),
        labels=lambda w: SHEET.models[w.model].labels,
        subjects=lambda w: SHEET.models[w.model].subjects,
        settings=lambda w: plan.boosting_settings(config, SHEET.models[w.model].emotion),
    script:
        "../scripts/boost.py"


rule evaluate:
    input:
        pb=expand(rules.recognise.output.pb, model=SHEET.models),
        models=expand(rules.boost.output.model, model=SHEET.models),
        infos=expand(rules.boost.output.info, model=SHEET.models),
        quality=rules.quality.output.table,
        faces=expand(
            rules.preprocess.output.face, video=plan.paired_by_faces(config, SHEET)
        ),
    output:
        predictions=report(
            "results/predictions.csv",
            caption="../report/predictions.rst",
            category="Results",
        ),
        metrics="results/metrics.json",
    log:
        "logs/evaluate.log",
    benchmark:
        "logs/benchmarks/evaluate.tsv"
    conda:
        "../envs/fakeemo.yaml"
    params:
        code=plan.code("evaluate", "evaluation"),
        samples=SHEET.rows(),
        judged=SHEET.judged(),
        protocol=plan.protocol_in_words(config, SHEET),
        pairing=config["evaluation"]["pairing"],
    script:
        "../scripts/evaluate.py"
