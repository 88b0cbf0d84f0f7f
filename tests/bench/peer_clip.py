"""What bench_clip is measured against: the same pictures, weights and threads through PyTorch as it is commonly written in Python.

	peer_clip.py folder|tower|first --clip DIR --pictures DIR --batch N [--device D] [--threads N] [--tries N] [--vectors FILE]

The network is CLIP's image tower with plain torch.nn modules, eager; pictures come through Pillow; one picture after the other, then the batch.
Prints "name value" lines.
"""
import argparse
import json
import mmap
import os
import struct
import sys
import time
from statistics import median

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy
import torch
from PIL import Image
from torch import nn

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
DEVIATION = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)


class Attention(nn.Module):
	def __init__(self, width, heads):
		super().__init__()
		self.heads, self.scale = heads, (width // heads) ** -0.5
		self.k_proj = nn.Linear(width, width)
		self.v_proj = nn.Linear(width, width)
		self.q_proj = nn.Linear(width, width)
		self.out_proj = nn.Linear(width, width)

	def split(self, x, batch, rows):
		return x.view(batch, rows, self.heads, -1).transpose(1, 2).reshape(batch * self.heads, rows, -1)

	def forward(self, x):
		batch, rows, width = x.shape
		query = self.split(self.q_proj(x) * self.scale, batch, rows)
		key = self.split(self.k_proj(x), batch, rows)
		value = self.split(self.v_proj(x), batch, rows)
		weights = nn.functional.softmax(torch.bmm(query, key.transpose(1, 2)), dim=-1)
		mixed = torch.bmm(weights, value).view(batch, self.heads, rows, -1).transpose(1, 2).reshape(batch, rows, width)
		return self.out_proj(mixed)


class MLP(nn.Module):
	def __init__(self, width, inner):
		super().__init__()
		self.fc1 = nn.Linear(width, inner)
		self.fc2 = nn.Linear(inner, width)

	def forward(self, x):
		x = self.fc1(x)
		return self.fc2(x * torch.sigmoid(1.702 * x))


class Layer(nn.Module):
	def __init__(self, width, inner, heads, eps):
		super().__init__()
		self.self_attn = Attention(width, heads)
		self.layer_norm1 = nn.LayerNorm(width, eps=eps)
		self.mlp = MLP(width, inner)
		self.layer_norm2 = nn.LayerNorm(width, eps=eps)

	def forward(self, x):
		x = x + self.self_attn(self.layer_norm1(x))
		return x + self.mlp(self.layer_norm2(x))


class Tower(nn.Module):
	"""Named as the published weights are."""

	def __init__(self, config):
		super().__init__()
		c = config["vision_config"]
		width, patch, grid = c["hidden_size"], c["patch_size"], c["image_size"] // c["patch_size"]
		embeddings, encoder, vision = nn.Module(), nn.Module(), nn.Module()
		embeddings.class_embedding = nn.Parameter(torch.empty(width))
		embeddings.patch_embedding = nn.Conv2d(3, width, patch, patch, bias=False)
		embeddings.position_embedding = nn.Embedding(grid * grid + 1, width)
		encoder.layers = nn.ModuleList(
			Layer(width, c["intermediate_size"], c["num_attention_heads"], c["layer_norm_eps"]) for _ in range(c["num_hidden_layers"]))
		vision.embeddings, vision.encoder = embeddings, encoder
		vision.pre_layrnorm = nn.LayerNorm(width, eps=c["layer_norm_eps"])
		vision.post_layernorm = nn.LayerNorm(width, eps=c["layer_norm_eps"])
		self.vision_model = vision
		self.visual_projection = nn.Linear(width, config["projection_dim"], bias=False)

	def forward(self, pixels):
		v = self.vision_model
		patches = v.embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2)
		first = v.embeddings.class_embedding.expand(len(pixels), 1, -1)
		x = torch.cat([first, patches], dim=1) + v.embeddings.position_embedding.weight
		x = v.pre_layrnorm(x)
		for layer in v.encoder.layers:
			x = layer(x)
		features = self.visual_projection(v.post_layernorm(x[:, 0]))
		return features / features.norm(dim=-1, keepdim=True)


def read_weights(path, wanted):
	"""The wanted fp32 tensors of a safetensors file, mapped."""
	with open(path, "rb") as file:
		mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
	size = struct.unpack("<Q", mapped[:8])[0]
	header = json.loads(mapped[8:8 + size])
	tensors = {}
	for name in wanted:
		begin, end = header[name]["data_offsets"]
		flat = torch.frombuffer(mapped, dtype=torch.float32, count=(end - begin) // 4, offset=8 + size + begin)
		tensors[name] = flat.view(header[name]["shape"])
	return tensors


def load_model(options):
	with open(options.clip + "/config.json") as file:
		model = Tower(json.load(file))
	model.load_state_dict(read_weights(options.clip + "/model.safetensors", model.state_dict()))
	return model.eval().to(options.device)


def load_picture(path):
	picture = Image.open(path).convert("RGB")
	width, height = picture.size
	short = min(width, height)
	picture = picture.resize((width * 224 // short, height * 224 // short), Image.BICUBIC)
	left, top = (picture.width - 224) // 2, (picture.height - 224) // 2
	picture = picture.crop((left, top, left + 224, top + 224))
	values = torch.from_numpy(numpy.array(picture)).permute(2, 0, 1).float().div_(255)
	return values.sub_(MEAN).div_(DEVIATION)


def load_batch(files, options):
	return torch.stack([load_picture(file) for file in files]).to(options.device)


def run_folder(model, files, options):
	begin = time.monotonic()
	for at in range(0, len(files), options.batch):
		model(load_batch(files[at:at + options.batch], options)).cpu()
	return time.monotonic() - begin


def peak_bytes():
	with open("/proc/self/status") as file:
		return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024


def bench_folder(model, files, options):
	run_folder(model, files[:2 * options.batch], options)
	print("images_per_s", len(files) / median(run_folder(model, files, options) for _ in range(options.tries or 3)))
	print("peak_mb", peak_bytes() / 1e6)


def tower_flops():
	rows, d, wide = 50, 768, 3072
	return 2 * (49 * 3072 * d + 12 * rows * (4 * d * d + 2 * rows * d + 2 * d * wide) + d * 512)


def timed(run):
	begin = time.monotonic()
	run()
	return time.monotonic() - begin


def bench_tower(model, files, options):
	batch = load_batch([files[i % len(files)] for i in range(options.batch)], options)
	x, w = torch.randn(1600, 768, device=options.device), 0.03 * torch.randn(3072, 768, device=options.device)
	towers, products = [], []
	for i in range(-2, options.tries or 12):
		towers.append(timed(lambda: model(batch).cpu()))
		products += [timed(lambda: nn.functional.linear(x, w)[:1, :1].cpu()) for _ in range(3)]
	print("tower_gflops", options.batch * tower_flops() / median(towers[2:]) / 1e9)
	print("product_gflops", 2.0 * 1600 * 768 * 3072 / median(products) / 1e9)
	if options.vectors:
		ours = torch.from_file(options.vectors, size=options.batch * 512).view(options.batch, 512)
		print("least_cosine", (ours * model(batch).cpu()).sum(-1).min().item())


def main():
	parser = argparse.ArgumentParser()
	parser.add_argument("mode", choices=["folder", "tower", "first"])
	parser.add_argument("--clip", required=True)
	parser.add_argument("--pictures", required=True)
	parser.add_argument("--vectors")
	parser.add_argument("--device", default="cpu")
	for name in "batch", "threads", "tries":
		parser.add_argument("--" + name, type=int, default=0)
	options = parser.parse_args()
	options.batch = options.batch or 1
	torch.set_num_threads(options.threads or len(os.sched_getaffinity(0)))
	files = sorted(entry.path for entry in os.scandir(options.pictures) if not entry.name.startswith("."))
	with torch.inference_mode():
		model = load_model(options)
		if options.mode == "first":
			print(files[0], model(load_batch(files[:1], options)).norm().item())
		elif options.mode == "tower":
			bench_tower(model, files, options)
		else:
			bench_folder(model, files, options)
	sys.stdout.flush()
	os._exit(0)


main()
