# `snakemake ablation`: each part left out in turn, and simpler ways to judge, over the same videos. An arm is the stages
# of train.smk and evaluate.smk with other keys of the config (fakeemo.workflow.ARMS).
wildcard_constraints:
    arm="|".join(plan.ARMS),


use rule train as ablation_train with:
    output:
        weights="results/ablation/{arm}/models/{model}/lstm_pb.safetensors",
        config="results/ablation/{arm}/models/{model}/config.json",
        history="results/ablation/{arm}/models/{model}/history.csv",
    log:
        "logs/ablation_train/{arm}/{model}.log",
    benchmark:
        "logs/benchmarks/ablation_train/{arm}/{model}.tsv"
    params:
        sequences=lambda w: plan.arm(config, w.arm)["sequences"],
        resume="results/checkpoints/{arm}_{model}.safetensors",


use rule recognise as ablation_recognise with:
    input:
        weights=lambda w: plan.network_of(w.arm, w.model, "lstm_pb.safetensors"),
        config=lambda w: plan.network_of(w.arm, w.model, "config.json"),
        variants=lambda w: expand(
            rules.preprocess.output.variants, video=SHEET.models[w.model].recognised
        ),
    output:
        pb="results/ablation/{arm}/pb/{model}.parquet",
        convergence="results/ablation/{arm}/pb/{model}_convergence.csv",
    log:
        "logs/ablation_recognise/{arm}/{model}.log",
    benchmark:
        "logs/benchmarks/ablation_recognise/{arm}/{model}.tsv"
    params:
        settings=lambda w: plan.arm(config, w.arm)["recognition"],


use rule boost as ablation_boost with:
    input:
        pb=rules.ablation_recognise.output.pb,
    output:
        model="results/ablation/{arm}/models/{model}/boosting.ubj",
        info="results/ablation/{arm}/models/{model}/boosting.json",
    log:
        "logs/ablation_boost/{arm}/{model}.log",
    benchmark:
        "logs/benchmarks/ablation_boost/{arm}/{model}.tsv"


use rule evaluate as ablation_evaluate with:
    input:
        pb=expand(
            rules.ablation_recognise.output.pb, model=SHEET.models, allow_missing=True
        ),
        models=expand(
            rules.ablation_boost.output.model, model=SHEET.models, allow_missing=True
        ),
        infos=expand(
            rules.ablation_boost.output.info, model=SHEET.models, allow_missing=True
        ),
        quality=rules.quality.output.table,
        faces=rules.evaluate.input.faces,
    output:
        predictions="results/ablation/{arm}/predictions.csv",
        metrics="results/ablation/{arm}/metrics.json",
    log:
        "logs/ablation_evaluate/{arm}.log",
    benchmark:
        "logs/benchmarks/ablation_evaluate/{arm}.tsv"


rule ablation:
    input:
        paper=rules.evaluate.output.predictions,
        arms=expand(rules.ablation_evaluate.output.predictions, arm=plan.ARMS),
        baselines=expand(
            rules.baseline.output.predictions, baseline=plan.baselines(SHEET)
        ),
    output:
        table="results/ablation.csv",
        numbers="results/ablation.json",
        page="results/report/ablation.html",
        figure=report(
            "results/report/figures/ablation.svg",
            caption="../report/ablation.rst",
            category="Figures",
        ),
        others=expand("results/report/figures/ablation.{kind}", kind=["png", "csv"]),
    log:
        "logs/ablation.log",
    benchmark:
        "logs/benchmarks/ablation.tsv"
    conda:
        "../envs/fakeemo.yaml"
    params:
        code=plan.code("ablation", "ablation"),
        names=["paper", *plan.ARMS, *plan.baselines(SHEET)],
        protocol=plan.protocol_in_words(config, SHEET),
        pairing=config["evaluation"]["pairing"],
        demo="demo" in config,
    script:
        "../scripts/ablation.py"
