"""Train the CIFAR-10 network of data/: float16 weights, and a card with its training and accuracy.

    python benchmarks/make_cifar10.py --data ../shared/data/cifar10 --run /tmp/cifar-run

Killed, it goes on from the last epoch, and from the last measured batch, when it is called again.
`--data` is a folder of train_*.npz and test.npz, or of torchvision's CIFAR10 (the package's cache
folder unless given; `--download` fetches it). On a CUDA device the full width is trained.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from machine import machine

from gdws_explorer.bench import cifar10
from gdws_explorer.robust import evaluate
from gdws_explorer.training import StepInfo, TrainingResult, fit
from gdws_explorer.utils import files
from gdws_explorer.utils.threads import torch_threads

DATA = Path(__file__).resolve().parents[1] / "data"


def main() -> None:
    options = _options()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    width = options.width or (cifar10.FULL if device == "cuda" else cifar10.WIDTH)
    options.run.mkdir(parents=True, exist_ok=True)
    print(machine(), flush=True)
    with torch_threads(options.threads):
        images = cifar10.load_images(options.data, train=True, download=options.download)
        net = cifar10.untrained(width).to(device)
        courses: dict[str, TrainingResult] = {}
        for name, recipe in cifar10.COURSES.items():
            courses[name] = fit(
                net,
                images,
                replace(recipe, epochs=options.epochs or recipe.epochs),
                augment=cifar10.downscaled if name == "small" else None,
                checkpoint=options.run / f"{name}.safetensors",
                progress=_progress(time.perf_counter()),
            )
            net = courses[name].model
            for entry in courses[name].history:
                print(name, entry, flush=True)
        # What is measured are the weights as they are stored: float16.
        weights = {
            name: each.cpu().contiguous().half() if each.is_floating_point() else each.cpu()
            for name, each in net.state_dict().items()
        }
        stored = cifar10.untrained(width)
        stored.load_state_dict(weights)
        report = evaluate(
            stored,
            cifar10.load_images(options.data, download=options.download),
            cifar10.ATTACK,
            batch_size=250,
            device=device,
            resume=options.run / f"{name}.evaluation.json",
            progress=_share(time.perf_counter()),
        )
    print(report, flush=True)
    measured = report.to_dict()
    del measured["clean_mask"], measured["robust_mask"]
    card = {**_card(courses, width, options.threads), "measured_on_the_10000": measured}
    with files.atomic(options.out / "cifar10.safetensors") as temporary:
        safetensors.torch.save_file(weights, temporary)
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    files.write_text(options.out / "cifar10.json", text)


def _options() -> argparse.Namespace:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, help="the folder of the images")
    words.add_argument("--download", action="store_true", help="fetch them where they are missing")
    words.add_argument("--run", type=Path, default=Path("cifar10-run"), help="for checkpoints")
    words.add_argument("--out", type=Path, default=DATA, help="for weights and card")
    words.add_argument("--width", type=int, help="channels of the first group")
    words.add_argument("--epochs", type=int, help="instead of the recipe's")
    words.add_argument("--threads", type=int, default=torch.get_num_threads())
    return words.parse_args()


def _card(courses: dict[str, TrainingResult], width: int, used: int) -> dict[str, object]:
    """The card of the network: its training and accuracy."""
    last = list(courses.values())[-1]
    entries = [entry for course in courses.values() for entry in course.history]
    return {
        "name": "cifar10",
        "network": f"PreActResNet-18 with {width} channels in its first group "
        "(gdws_explorer.bench.cifar10.untrained)",
        "width": width,
        "parameters": sum(each.numel() for each in last.model.parameters()),
        "trained_on": "CIFAR-10's 50,000 training images; a course learned from all but those it "
        "held out, which the courses before it may have learned from. The 10,000 test images chose "
        "no epoch; they were looked at once before the last course was added",
        "courses": {
            name: {
                "pixels": cifar10.SMALL if name == "small" else 32,
                "recipe": course.recipe.to_dict(),
                "history": [entry.to_dict() for entry in course.history],
                "best_epoch": course.best,
            }
            for name, course in courses.items()
        },
        "precision": f"{last.precision} training, float16 weights",
        "training_seconds": round(sum(entry.seconds for entry in entries), 1),
        "machine": f"{machine()}; {used} used",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "licence": "BSD-3-Clause, as the project",
    }


def _progress(started: float):
    def report(done: float, known: StepInfo) -> None:
        if known.step % 20 == 0:
            last = None if known.last is None else known.last.validation
            validation = "" if last is None else f", held out {last.robust_correct}/{last.n}"
            print(
                f"{time.perf_counter() - started:6.0f} s {done:6.1%} epoch {known.epoch} "
                f"loss {known.loss:.3f}{validation}, load {os.getloadavg()[0]:.1f}",
                flush=True,
            )

    return report


def _share(started: float):
    seen = [0]

    def report(done: float, partial) -> None:
        if partial.done > seen[0] and partial.done % 1000 == 0:
            seen[0] = partial.done
            print(f"{time.perf_counter() - started:6.0f} s {done:6.1%} {partial}", flush=True)

    return report


if __name__ == "__main__":
    main()
