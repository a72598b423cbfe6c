"""A plain PyTorch training of what a recipe trains: timm's network, torchvision's transforms, a DataLoader.

    python -m benchmarks.torch_loop RECIPE.json ROWS.json

ROWS.json gets, after each epoch, its training's seconds so far and the top-1 of the validation images. Network, images,
batch, learning rates, weight decay and smoothing are the recipe's; what PyTorch has no part for is left out (mixup,
distillation, colours turned by hue; PCA noise).
"""

from __future__ import annotations

import importlib
import io
import json
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from gluon_tricks.core.environment import usable_cores
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import write_text
from gluon_tricks.core.foreign import import_torchvision
from gluon_tricks.core.wording import some
from gluon_tricks.data.records import Records
from gluon_tricks.recipes.kinds import read_recipe
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tricks import (
    Cosine,
    Distillation,
    LabelSmoothing,
    LinearDecay,
    LinearScaling,
    Mixup,
    NoBiasDecay,
    PolyDecay,
    StepDecay,
    Warmup,
    ZeroGamma,
)
from model_zoo import get_model

_FIELDS = {  # of a recipe, with the values that this loop has
    **dict(optimizer=("nag",), crop=("area",), augment=("paper", "gluoncv"), auto_augment=("",), aug_repeats=(1,)),
    **dict(net=({},), sampling=("plain",), accumulate=(1,), bn_batch=(None,), freeze=((),), pretrained=("",)),
}
_TRICKS = (LinearScaling, Warmup, ZeroGamma, NoBiasDecay, LabelSmoothing, Cosine, StepDecay, LinearDecay, PolyDecay)
_LEFT_OUT = (Mixup, Distillation)


class Photos:
    """Records as a data set of PyTorch's: image and label."""

    def __init__(self, paths, transform):
        self._records, self._transform = Records(paths), transform

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, i: int):
        label, _, data = self._records.read(i)
        image = importlib.import_module("PIL.Image").open(io.BytesIO(data)).convert("RGB")
        return self._transform(image), int(label)


def network_name(recipe: Recipe) -> str:
    """timm's name of a recipe's network. Raises Refused: it has none, or the recipe has what this loop has not."""
    odd = [f"{name} {getattr(recipe, name)}" for name, known in _FIELDS.items() if getattr(recipe, name) not in known]
    odd += ["training images of another size"] if recipe.training_sizes != (recipe.input_size,) else []
    odd += [trick.label() for trick in recipe.tricks if not isinstance(trick, (*_TRICKS, *_LEFT_OUT))]
    if odd:
        raise Refused(
            f"the recipe {recipe.name} has what the PyTorch loop has not ({some(odd)}): leave it out of the recipe of "
            "--against"
        )
    peers = get_model(recipe.model).peers
    if "timm" not in peers:
        raise Refused(f"timm has no {recipe.model}: choose a recipe of another network")
    return peers["timm"].model


def train(recipe: Recipe) -> Iterator[dict[str, float]]:
    """Trains a resolved recipe; yields after each epoch the seconds of training so far and the top-1, a fraction."""
    torch, timm = importlib.import_module("torch"), (import_torchvision(), importlib.import_module("timm"))[1]
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(usable_cores())
    net = timm.create_model(network_name(recipe), num_classes=recipe.classes).to(memory_format=torch.channels_last)
    smoothing = next((trick.eps for trick in recipe.tricks if isinstance(trick, LabelSmoothing)), 0.0)
    loss, optimiser = torch.nn.CrossEntropyLoss(label_smoothing=smoothing), _optimiser(torch, net, recipe)
    batches, seconds, step = _loader(torch, recipe, True), 0.0, 0
    lr_at, _ = recipe.schedule(len(batches))
    for _ in range(recipe.epochs):
        net.train()
        started = time.perf_counter()
        for images, labels in batches:
            for group in optimiser.param_groups:
                group["lr"] = lr_at(step)
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe.dtype != "float32"):
                logits = net(images.to(memory_format=torch.channels_last))
            loss(logits.float(), labels).backward()
            optimiser.step()
            step += 1
        seconds += time.perf_counter() - started
        yield {"seconds": seconds, "top1": _top1(torch, net, recipe)}


def _optimiser(torch, net, recipe: Recipe):
    """SGD with Nesterov's momentum; without decay of what NoBiasDecay leaves out, where the recipe has it."""
    all_decay = not any(isinstance(trick, NoBiasDecay) for trick in recipe.tricks)
    decayed = [p for p in net.parameters() if all_decay or p.ndim > 1]
    rest = [] if all_decay else [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.wd}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.SGD(
        [g for g in groups if g["params"]], lr=recipe.base_lr(), momentum=recipe.momentum, nesterov=True
    )


def _loader(torch, recipe: Recipe, training: bool):
    """Batches as users of torchvision make them, on as many workers as there are cores."""
    t, size = importlib.import_module("torchvision.transforms"), recipe.input_size
    crops = (
        [t.RandomResizedCrop(size, (recipe.min_area, 1.0), tuple(recipe.aspect)), t.RandomHorizontalFlip(),
         t.ColorJitter(0.4, 0.4, 0.4)]
        if training
        else [t.Resize(round(size / recipe.crop_ratio)), t.CenterCrop(size)]
    )  # fmt: skip
    colours = t.Normalize([level / 255 for level in recipe.mean], [level / 255 for level in recipe.std])
    photos = Photos(recipe.train if training else recipe.val, t.Compose([*crops, t.ToTensor(), colours]))
    return torch.utils.data.DataLoader(
        photos, recipe.batch_size, shuffle=training, drop_last=training, num_workers=usable_cores(),
        persistent_workers=True, generator=torch.Generator().manual_seed(recipe.seed),
    )  # fmt: skip


def _top1(torch, net, recipe: Recipe) -> float:
    right = count = 0
    net.eval()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe.dtype != "float32"):
        for images, labels in _loader(torch, recipe, False):
            right += int((net(images.to(memory_format=torch.channels_last)).argmax(1) == labels).sum())
            count += len(labels)
    return right / count


def main(recipe: str, rows: str) -> None:
    told: list[dict[str, Any]] = []
    for row in train(read_recipe(pathlib.Path(recipe))):
        told.append(row)
        write_text(pathlib.Path(rows), json.dumps(told) + "\n")
        print(f"epoch {len(told)}: {row['top1']:.2%} after {row['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
