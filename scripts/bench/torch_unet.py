"""The training step of `keras_robust.models.UNet` in plain PyTorch, timed on request.

Started by `training.py` and `gpu.py` under a Python that has PyTorch; needs nothing else. Reads one
JSON object from its arguments, answers with facts, and for each line of its input runs a few steps
and prints the seconds that they took, on a CPU those of the processor; at the end, on a GPU, the
most bytes that it has held there.
"""

import json
import sys
import time

import torch
from torch import nn


def block(rank: int, before: int, after: int, stride: int = 1) -> nn.Sequential:
    conv = {2: nn.Conv2d, 3: nn.Conv3d}[rank]
    norm = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[rank]
    return nn.Sequential(
        conv(before, after, 3, stride, padding=1),
        norm(after, affine=True, eps=1e-5),
        nn.LeakyReLU(0.01, inplace=True),
    )


class UNet(nn.Module):
    """Two convolutions per stage, strided down, transposed up, as `keras_robust.models.UNet`."""

    def __init__(self, rank: int, channels: int, classes: int, widths: list[int]):
        super().__init__()
        up = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[rank]
        self.down, self.ups, self.decode = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for stage, width in enumerate(widths):
            first = block(rank, channels, width, 1 if stage == 0 else 2)
            self.down.append(nn.Sequential(first, block(rank, width, width)))
            channels = width
        for width in widths[-2::-1]:
            self.ups.append(up(channels, width, 2, 2))
            self.decode.append(
                nn.Sequential(block(rank, 2 * width, width), block(rank, width, width))
            )
            channels = width
        self.head = {2: nn.Conv2d, 3: nn.Conv3d}[rank](channels, classes, 1)

    def forward(self, x):
        skips = []
        for stage in self.down:
            x = stage(x)
            skips.append(x)
        skips.pop()
        for up, decode in zip(self.ups, self.decode, strict=True):
            x = decode(torch.cat([up(x), skips.pop()], 1))
        return self.head(x)


def ce_and_dice(logits, labels, classes: int):
    axes = tuple(range(2, logits.ndim))
    probabilities = torch.softmax(logits, 1)[:, 1:]
    targets = nn.functional.one_hot(labels, classes).movedim(-1, 1)[:, 1:].float()
    both = (probabilities * targets).sum(axes)
    total = probabilities.sum(axes) + targets.sum(axes)
    dice = ((2 * both + 1e-5) / (total + 1e-5)).mean()
    return nn.functional.cross_entropy(logits, labels) + 1 - dice


def main() -> None:
    options = json.loads(sys.argv[1])
    torch.set_num_threads(options["threads"])
    torch.manual_seed(0)
    patch, classes = options["patch"], options["classes"]
    model = UNet(len(patch), options["channels"], classes, options["widths"])
    images = torch.randn(options["batch"], options["channels"], *patch)
    labels = torch.randint(0, classes, (options["batch"], *patch))
    if options["channels_last"]:
        layout = {2: torch.channels_last, 3: torch.channels_last_3d}[len(patch)]
        model, images = model.to(memory_format=layout), images.to(memory_format=layout)
    device = "cpu"
    if options.get("device") == "best" and torch.cuda.is_available():
        device = "cuda"
    model, images, labels = model.to(device), images.to(device), labels.to(device)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.99, weight_decay=3e-5, nesterov=True)
    half = options["precision"] == "mixed_bfloat16"
    network = torch.compile(model) if options.get("compile") and device == "cuda" else model

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=half):
            logits = network(images)
        ce_and_dice(logits.float(), labels, classes).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 12)
        optimizer.step()

    for _ in range(2):
        step()
    parameters = sum(p.numel() for p in model.parameters())
    print(json.dumps({"parameters": parameters, "version": torch.__version__}), flush=True)
    clock = time.perf_counter if device == "cuda" else time.process_time
    for _ in sys.stdin:
        start = clock()
        for _ in range(options["steps"]):
            step()
        if device == "cuda":
            torch.cuda.synchronize()
        print(clock() - start, flush=True)
    if device == "cuda":
        print(torch.cuda.max_memory_allocated(), flush=True)


if __name__ == "__main__":
    main()
