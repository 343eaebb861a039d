# Section 2.3: learning mode for each emotion (and fold), then recognition mode for its videos. Both want a GPU.
rule train:
    input:
        variants=lambda w: expand(
            rules.preprocess.output.variants, video=SHEET.models[w.model].labels
        ),
    output:
        weights="results/models/{model}/lstm_pb.safetensors",
        config="results/models/{model}/config.json",
        history="results/models/{model}/history.csv",
    log:
        "logs/train/{model}.log",
    benchmark:
        "logs/benchmarks/train/{model}.tsv"
    priority: 10
    conda:
        "../envs/fakeemo.yaml"
    threads: config["torch_threads"]
    resources:
        gpu=plan.gpus(config),
    params:
        code=plan.code("train", "training"),
        labels=lambda w: SHEET.models[w.model].labels,
        sequences=config["sequences"],
        network=config["network"],
        learning=config["learning"],
        seed=config["seed"],
        device=config["device"],
        torch_threads=config["torch_threads"],
        # Not an output: Snakemake deletes the outputs of a killed job, and its next start goes on from here.
        resume="results/checkpoints/{model}.safetensors",
    script:
        "../scripts/train.py"


# What `fakeemo predict` needs to treat another video as the network's were.
rule intake:
    input:
        rois=lambda w: expand(
            rules.preprocess.output.rois, video=SHEET.models[w.model].labels
        ),
    output:
        intake="results/models/{model}/intake.json",
    log:
        "logs/intake/{model}.log",
    benchmark:
        "logs/benchmarks/intake/{model}.tsv"
    conda:
        "../envs/fakeemo.yaml"
    params:
        code=plan.code("intake", "intake"),
        settings=plan.intake_settings(config),
    script:
        "../scripts/intake.py"


rule recognise:
    input:
        weights=rules.train.output.weights,
        config=rules.train.output.config,
        variants=lambda w: expand(
            rules.preprocess.output.variants, video=SHEET.models[w.model].recognised
        ),
    output:
        pb="results/pb/{model}.parquet",
        convergence="results/pb/{model}_convergence.csv",
    log:
        "logs/recognise/{model}.log",
    benchmark:
        "logs/benchmarks/recognise/{model}.tsv"
    priority: 10
    conda:
        "../envs/fakeemo.yaml"
    threads: config["torch_threads"]
    resources:
        gpu=plan.gpus(config),
    params:
        code=plan.code("recognise", "recognition"),
        settings=config["recognition"],
        device=config["device"],
        torch_threads=config["torch_threads"],
    script:
        "../scripts/recognise.py"
